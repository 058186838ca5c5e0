"""Compliance: `python -m services.compliance` serves, `python -m services.compliance migrate` migrates."""

import sys

from services.chassis import logs, migrations, process
from services.chassis.authentication import RemoteAuthenticator
from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.contract import methods_of
from services.chassis.database import Database
from services.chassis.sealing import FileKek, Sealer
from services.chassis.server import Server
from services.chassis.tls import Tls
from services.chassis.watching import Watch
from services.compliance import servicer
from services.compliance.clients.destinations import Destinations, SystemResolver
from services.compliance.clients.organizations import Organizations
from services.compliance.clients.press.certificates import load_signing_identity
from services.compliance.clients.press.press import Press
from services.compliance.clients.receivers import Receivers, trust
from services.compliance.clients.signing_keys import load_endorsements, load_signing_key
from services.compliance.clients.time_stamping import time_stamping
from services.compliance.config import MigrationSettings, Settings
from services.compliance.domain.checkpoints import Signers
from services.compliance.domain.destinations import Policy
from services.compliance.usecases.compliance import Compliance, Ground


async def serve() -> None:
    settings = process.load(Settings)
    logs.configure("compliance", settings.log_level)
    clock, db = SystemClock(), Database(settings.database_url)
    authority = time_stamping(settings.tsa_url, settings.tsa_certificate_file)
    destinations = Destinations(Policy(settings.webhook_allowed_networks), SystemResolver())
    receivers = Receivers(destinations, trust(settings.webhook_ca_file))
    tls = Tls.from_dir(settings.tls_dir, "compliance")
    identity = connect(settings.identity_address, "identity", tls)
    ground = Ground(
        db=db,
        clock=clock,
        sealer=Sealer(db, FileKek(settings.kek_file)),
        signers=Signers(settings.deployment, load_signing_key(settings.audit_key_file)),
        endorsements=load_endorsements(settings.audit_endorsements_file),
        authority=authority,
        press=Press(load_signing_identity(settings.baa_key_file, settings.baa_certificate_file), authority),
        name_of=Organizations(identity).name_of,
        destinations=destinations,
        send=receivers.send,
        deployment=settings.deployment,
        baa_signatory=settings.baa_signatory,
    )
    await db.open()
    watch = Watch(identity, name="identity")
    authenticator = RemoteAuthenticator(identity, watch, clock)
    compliance = Compliance(ground)
    boundary = Boundary(
        methods=methods_of(servicer.SERVICES),
        authenticator=authenticator,
        clock=clock,
        answers=compliance.idempotency,
    )
    server = Server(listen=settings.listen, tls=tls, boundary=boundary)
    servicer.register(server, compliance)
    workers = (watch, authenticator, compliance.changes, compliance.idempotency, *compliance.workers)
    tasks = [process.in_background(worker.run, name=worker.run.__qualname__) for worker in workers]
    await server.serve_until_stopped()
    await process.end(tasks)
    await receivers.close()
    await identity.close(None)
    await db.close()


if sys.argv[1:] == ["migrate"]:
    migrations.upgrade(process.load(MigrationSettings).owner_database_url, "compliance")
else:
    process.run(serve)
