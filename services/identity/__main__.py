"""Identity: `python -m services.identity` serves, `python -m services.identity migrate` migrates."""

import sys
from datetime import timedelta

from services.chassis import audit, logs, migrations, process
from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.contract import methods_of
from services.chassis.database import Database
from services.chassis.outbox import Relay
from services.chassis.sealing import FileKek, Sealer
from services.chassis.server import Server
from services.chassis.tls import Tls
from services.identity import servicer
from services.identity.clients.billing import Accounts
from services.identity.clients.compliance import AuditIntake
from services.identity.config import MigrationSettings, Settings
from services.identity.domain.tokens import Peppers
from services.identity.usecases.identity import Identity
from services.identity.usecases.organizations import ACCOUNT_TOPIC


async def serve() -> None:
    settings = process.load(Settings)
    logs.configure("identity", settings.log_level)
    clock, db = SystemClock(), Database(settings.database_url)
    await db.open()
    tls = Tls.from_dir(settings.tls_dir, "identity")
    peppers = Peppers.parse(settings.token_pepper_file.read_text())
    identity = Identity(db, clock, peppers, Sealer(db, FileKek(settings.kek_file)))
    compliance = connect(settings.compliance_address, "compliance", tls)
    billing = connect(settings.billing_address, "billing", tls)
    owed = {audit.TOPIC: AuditIntake(compliance).append, ACCOUNT_TOPIC: Accounts(billing).open}
    relay = Relay(db, clock, owed, gather=timedelta(milliseconds=50))
    boundary = Boundary(
        methods=methods_of(servicer.SERVICES),
        authenticator=identity.authentication,
        clock=clock,
        answers=identity.answers,
    )
    server = Server(listen=settings.listen, tls=tls, boundary=boundary)
    servicer.register(server, identity)
    tasks = [process.in_background(work, name=work.__qualname__) for work in (*identity.background, relay.run)]
    await server.serve_until_stopped()
    for task in tasks:
        task.cancel()
    await identity.uses.flush()
    for channel in (compliance, billing):
        await channel.close(None)
    await db.close()


if sys.argv[1:] == ["migrate"]:
    migrations.upgrade(process.load(MigrationSettings).owner_database_url, "identity")
else:
    process.run(serve)
