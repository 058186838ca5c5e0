"""The use cases of the service, put together from what it stands on. Here and not in `__main__`, because tests stand them on something else."""

from dataclasses import dataclass

from services.chassis.audit import AuditTrail
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.idempotency import Idempotency
from services.chassis.outbox import Relay
from services.chassis.sealing import Sealer
from services.chassis.ulids import new_ulid
from services.chassis.watch import ChangeLog
from services.chassis.watching import RunningCalls, Watch
from services.inference.clients.metering import Metering
from services.inference.domain import phi
from services.inference.domain.catalogue import Catalogue
from services.inference.usecases.admission import Admission
from services.inference.usecases.chat import Chat
from services.inference.usecases.conversations import Conversations
from services.inference.usecases.engine import Engine, Provider
from services.inference.usecases.gate import Agreements, Entitlements, Gate
from services.inference.usecases.messages import Messages
from services.inference.usecases.models import Models
from services.inference.usecases.phi import Phi
from services.inference.usecases.records import Records
from services.inference.usecases.recovery import Recovery
from services.inference.usecases.replay import Replays
from services.inference.usecases.retention import Retention
from services.inference.usecases.runs import Runs
from services.inference.usecases.settings import SettingsOfOrganizations
from services.inference.usecases.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Ground:
    """What the use cases stand on."""

    db: Database
    clock: Clock
    sealer: Sealer
    catalogue: Catalogue
    changes: ChangeLog
    relay: Relay
    metering: Metering
    agreements: Agreements
    provider: Provider
    guard: phi.Guard
    text_guard: phi.TextGuard
    phi_policy: str
    phi_patience: float = 5.0


@dataclass(frozen=True, slots=True)
class Watches:
    """What this process keeps in memory, by who pushes it."""

    identity: Watch
    compliance: Watch
    billing: Watch
    own: Watch


class Inference:
    def __init__(self, ground: Ground, watches: Watches) -> None:
        g = ground
        self.gate = Gate(g.agreements, watches.compliance, g.clock)
        self.idempotency = Idempotency(g.db, g.clock, g.sealer)
        self.settings = SettingsOfOrganizations(
            g.db, g.clock, g.sealer, AuditTrail(g.clock), g.changes, watches.own, g.relay
        )
        self.runs = Runs(g.db, g.clock, g.sealer, g.metering, g.relay, owner_id=new_ulid(g.clock))
        self.upkeep = Upkeep(g.db, owner_id=self.runs.owner_id)
        self.recovery = Recovery(g.db, g.clock, self.runs, g.relay)
        self.retention = Retention(g.db, g.clock, g.sealer, AuditTrail(g.clock), g.relay)
        self.models = Models(g.catalogue, g.clock)
        self.records = Records(g.db, g.sealer, g.catalogue)
        entitlements = Entitlements(g.metering, watches.billing, g.clock)
        engine = Engine(
            clock=g.clock,
            sealer=g.sealer,
            guard=g.guard,
            upstream=g.provider,
            settings=self.settings,
            admission=Admission(g.db, g.clock, g.catalogue, g.metering, entitlements, g.relay, phi_policy=g.phi_policy),
            runs=self.runs,
            running_calls=RunningCalls(watches.identity),
            phi_policy=g.phi_policy,
            phi_patience=g.phi_patience,
        )
        replays = Replays(g.db, self.idempotency, g.sealer)
        self.messages = Messages(engine, replays)
        self.phi = Phi(engine, g.text_guard)
        self.chat = Chat(engine, Conversations(g.db, g.sealer), replays)
