"""The inference service: `python -m services.inference` serves, `… migrate` brings its database up to date."""

import asyncio
import sys
from datetime import timedelta

from services.chassis import logs, migrations
from services.chassis.authentication import RemoteAuthenticator
from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.contract import methods_of
from services.chassis.database import Database
from services.chassis.outbox import Relay
from services.chassis.process import in_background, load, run
from services.chassis.sealing import FileKek, Sealer
from services.chassis.server import Server
from services.chassis.tls import Tls
from services.chassis.watch import ChangeLog
from services.chassis.watching import Watch
from services.inference.clients.compliance import Compliance
from services.inference.clients.metering import SETTLE_TOPIC, Billing
from services.inference.clients.presidio import PoolSettings, PresidioPool, TextScanner
from services.inference.clients.upstream import Patience, Upstream
from services.inference.config import MigrationSettings, Settings
from services.inference.domain.catalogue import Catalogue
from services.inference.domain.phi import Guard, TextGuard
from services.inference.servicer.registration import SERVICES, servicers
from services.inference.usecases.inference import Ground, Inference, Watches


async def serve() -> None:
    settings = load(Settings)
    logs.configure("inference", settings.log_level)
    pool = PresidioPool(PoolSettings(workers=settings.phi_workers, tier=settings.phi_tier, load_seconds=180))
    texts = TextScanner(pool)
    loading = asyncio.create_task(pool.start())  # the model, in a process of its own, beside all that follows
    db, clock = Database(settings.database_url.get_secret_value()), SystemClock()
    await db.open()
    tls = Tls.from_dir(settings.tls_dir, "inference")
    identity = connect(settings.identity_address, "identity", tls)
    compliance = connect(settings.compliance_address, "compliance", tls)
    billing = connect(settings.billing_address, "billing", tls)
    own = connect(settings.address or settings.listen, "inference", tls)
    watches = Watches(
        identity=Watch(identity, name="identity"),
        compliance=Watch(compliance, name="compliance"),
        billing=Watch(billing, name="billing"),
        own=Watch(own, name="inference"),
    )
    agreements, metering = Compliance(compliance), Billing(billing)
    relay = Relay(
        db,
        clock,
        {SETTLE_TOPIC: metering.settle, "compliance.audit": agreements.append},
        gather=timedelta(milliseconds=25),
    )
    upstream = Upstream(
        api_key=settings.anthropic_api_key.get_secret_value(),
        base_url=settings.anthropic_base_url,
        patience=Patience(
            answer=settings.upstream_timeout, silence=settings.upstream_silence, tries=settings.upstream_tries
        ),
    )
    ground = Ground(
        db=db,
        clock=clock,
        sealer=Sealer(db, FileKek(settings.kek_file)),
        catalogue=Catalogue.read(settings.catalogue),
        changes=ChangeLog(db, clock),
        relay=relay,
        metering=metering,
        agreements=agreements,
        provider=upstream,
        guard=Guard(detector=pool, documents=pool),
        text_guard=TextGuard(texts, texts),
        phi_policy=pool.policy,
        phi_patience=settings.phi_timeout,
    )
    inference = Inference(ground, watches)
    authenticator = RemoteAuthenticator(identity, watches.identity, clock)
    boundary = Boundary(
        methods=methods_of(SERVICES),
        authenticator=authenticator,
        clock=clock,
        answers=inference.idempotency,
        gate=inference.gate.admit,
    )
    server = Server(listen=settings.listen, tls=tls, boundary=boundary)
    for add, servicer in servicers(inference, ground.changes, clock):
        server.add(add, servicer)
    await loading
    await inference.upkeep.begin()
    tasks = [
        in_background(work, name=name)
        for name, work in {
            "lease": inference.upkeep.keep_lease,
            "checkpoint": inference.runs.checkpoint,
            "partitions": inference.upkeep.keep_partitions,
            "recovery": inference.recovery.run,
            "retention": inference.retention.run,
            "key uses": authenticator.run,
            "idempotency": inference.idempotency.run,
            "relay": relay.run,
            "changes": ground.changes.run,
            "watch identity": watches.identity.run,
            "watch compliance": watches.compliance.run,
            "watch billing": watches.billing.run,
            "watch own": watches.own.run,
        }.items()
    ]

    async def stop() -> None:
        await inference.runs.drained()
        for task in tasks:
            task.cancel()
        await inference.upkeep.end()
        await pool.stop()
        await upstream.close()
        await db.close()

    await server.serve_until_stopped(on_stop=stop)


def main() -> None:
    if sys.argv[1:] == ["migrate"]:
        migrations.upgrade(load(MigrationSettings).owner_database_url.get_secret_value(), "inference")
    else:
        run(serve)


if __name__ == "__main__":
    main()
