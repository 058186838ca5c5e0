"""Billing: `python -m services.billing` serves, `python -m services.billing migrate` migrates."""

import sys

from services.billing import servicer
from services.billing.clients.compliance import AuditIntake
from services.billing.config import MigrationSettings, Settings
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.budgets import Budgets, Thresholds
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.reconciler import Reconciler
from services.billing.usecases.sweeper import Sweeper
from services.billing.usecases.usage import Usages
from services.chassis import audit, logs, migrations, process
from services.chassis.authentication import RemoteAuthenticator
from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.contract import methods_of
from services.chassis.database import Database
from services.chassis.idempotency import Idempotency
from services.chassis.outbox import Relay
from services.chassis.sealing import FileKek, Sealer
from services.chassis.server import Server
from services.chassis.tls import Tls
from services.chassis.watch import ChangeLog
from services.chassis.watching import Watch


async def serve() -> None:
    settings = process.load(Settings)
    logs.configure("billing", settings.log_level)
    clock, db = SystemClock(), Database(settings.database_url)
    await db.open()
    catalogues, trail = Catalogues(db, clock), audit.AuditTrail(clock)
    accounts = Accounts(db, clock, trail)
    await catalogues.register(settings.catalogue.read_bytes())
    tls = Tls.from_dir(settings.tls_dir, "billing")
    identity = connect(settings.identity_address, "identity", tls)
    compliance = connect(settings.compliance_address, "compliance", tls)
    watch, changes = Watch(identity, name="identity"), ChangeLog(db, clock)
    answers = Idempotency(db, clock, Sealer(db, FileKek(settings.kek_file)))
    authenticator = RemoteAuthenticator(identity, watch, clock)
    methods = methods_of(servicer.SERVICES)
    boundary = Boundary(methods=methods, authenticator=authenticator, clock=clock, answers=answers)
    server = Server(listen=settings.listen, tls=tls, boundary=boundary)
    metering, budgets = Metering(db, clock, catalogues, accounts), Budgets(db, clock, accounts, trail, changes)
    usages = Usages(db, accounts)
    servicer.register(server, accounts=accounts, budgets=budgets, metering=metering, usages=usages, changes=changes)
    relay = Relay(db, clock, {audit.TOPIC: AuditIntake(compliance).deliver})
    workers = (Sweeper(db, clock, accounts), Thresholds(db, clock, trail), Reconciler(db, clock, trail))
    background = (each.run for each in (watch, authenticator, changes, answers, relay, *workers))
    tasks = [process.in_background(work, name=work.__qualname__) for work in background]
    await server.serve_until_stopped()
    await process.end(tasks)
    await identity.close(None)
    await compliance.close(None)
    await db.close()


if sys.argv[1:] == ["migrate"]:
    migrations.upgrade(process.load(MigrationSettings).owner_database_url, "billing")
else:
    process.run(serve)
