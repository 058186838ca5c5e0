"""Compliance: `python -m services.compliance` serves, `python -m services.compliance migrate` migrates."""

import sys

from services.chassis import logs, migrations, process
from services.chassis.authentication import RemoteAuthenticator
from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.contract import methods_of
from services.chassis.database import Database
from services.chassis.idempotency import Idempotency
from services.chassis.sealing import FileKek, Sealer
from services.chassis.server import Server
from services.chassis.tls import Tls
from services.chassis.watch import ChangeLog
from services.chassis.watching import Watch
from services.compliance import servicer
from services.compliance.clients.destinations import Destinations, SystemResolver
from services.compliance.clients.press.certificates import load_signing_identity
from services.compliance.clients.press.press import Press
from services.compliance.clients.receivers import Receivers, trust
from services.compliance.clients.signing_keys import load_endorsements, load_signing_key
from services.compliance.clients.time_stamping import time_stamping
from services.compliance.config import MigrationSettings, Settings
from services.compliance.domain.checkpoints import Signers
from services.compliance.domain.destinations import Policy
from services.compliance.usecases.agreements import Agreements, Gates
from services.compliance.usecases.audit_log import AuditIntake, AuditLog, IntakeTrail
from services.compliance.usecases.courier import Courier
from services.compliance.usecases.dispatcher import Dispatcher
from services.compliance.usecases.documents import Documents
from services.compliance.usecases.exporting import Exports
from services.compliance.usecases.fan_out import FanOut
from services.compliance.usecases.proofs import Proofs
from services.compliance.usecases.pruning import Pruning
from services.compliance.usecases.publishing import Publishing
from services.compliance.usecases.sequencer import Sequencer
from services.compliance.usecases.webhooks import Webhooks


async def serve() -> None:
    settings = process.load(Settings)
    logs.configure("compliance", settings.log_level)
    clock, db = SystemClock(), Database(settings.database_url)
    signers = Signers(settings.deployment, load_signing_key(settings.audit_key_file))
    authority = time_stamping(settings.tsa_url, settings.tsa_certificate_file)
    press = Press(load_signing_identity(settings.baa_key_file, settings.baa_certificate_file), authority)
    await db.open()
    tls = Tls.from_dir(settings.tls_dir, "compliance")
    identity = connect(settings.identity_address, "identity", tls)
    watch, changes = Watch(identity, name="identity"), ChangeLog(db, clock)
    authenticator = RemoteAuthenticator(identity, watch, clock)
    sealer, trail = Sealer(db, FileKek(settings.kek_file)), IntakeTrail(clock)
    answers = Idempotency(db, clock, sealer)
    documents = Documents(db, clock, trail, press, deployment=settings.deployment)
    agreements = Agreements(db, clock, trail, changes, documents, countersigned_by=settings.baa_signatory)
    methods = methods_of(servicer.SERVICES)
    boundary = Boundary(methods=methods, authenticator=authenticator, clock=clock, answers=answers)
    server = Server(listen=settings.listen, tls=tls, boundary=boundary)
    gates, intake, log = Gates(db, clock), AuditIntake(db), AuditLog(db)
    endorsements = load_endorsements(settings.audit_endorsements_file)
    exports = Exports(db, clock, trail, signers, endorsements, authority)
    destinations = Destinations(Policy(settings.webhook_allowed_networks), SystemResolver())
    webhooks = Webhooks(db, clock, trail, sealer, destinations)
    receivers = Receivers(destinations, trust(settings.webhook_ca_file))
    dispatcher = Dispatcher(db, clock, Courier(db, clock, sealer, trail, receivers.send))
    servicer.register(
        server,
        agreements=agreements,
        documents=documents,
        gates=gates,
        intake=intake,
        log=log,
        proofs=Proofs(db),
        exports=exports,
        webhooks=webhooks,
        publishing=Publishing(db, clock, sealer),
        changes=changes,
    )
    audit_work = (Sequencer(db, clock, signers).run, FanOut(db, clock, sealer).run, Pruning(db, clock).run)
    background = (watch.run, authenticator.run, changes.run, answers.run, dispatcher.run, *audit_work)
    tasks = [process.in_background(work, name=work.__qualname__) for work in background]
    await server.serve_until_stopped()
    await process.end(tasks)
    await receivers.close()
    await identity.close(None)
    await db.close()


if sys.argv[1:] == ["migrate"]:
    migrations.upgrade(process.load(MigrationSettings).owner_database_url, "compliance")
else:
    process.run(serve)
