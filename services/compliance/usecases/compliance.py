"""The use cases of the service, put together from what it stands on. Here and not in `__main__`, because tests stand them on something else."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.idempotency import Idempotency
from services.chassis.sealing import Sealer
from services.chassis.watch import ChangeLog
from services.compliance.clients.press.press import Press
from services.compliance.clients.time_stamping import TimeStampingAuthority
from services.compliance.domain.checkpoints import Signers
from services.compliance.usecases.agreements import Agreements, Gates
from services.compliance.usecases.audit_log import AuditIntake, AuditLog, IntakeTrail
from services.compliance.usecases.courier import Courier, Send
from services.compliance.usecases.dispatcher import Dispatcher
from services.compliance.usecases.documents import Documents, NameOf
from services.compliance.usecases.exporting import Exports
from services.compliance.usecases.fan_out import FanOut
from services.compliance.usecases.proofs import Proofs
from services.compliance.usecases.pruning import Pruning
from services.compliance.usecases.publishing import Publishing
from services.compliance.usecases.sequencer import Sequencer
from services.compliance.usecases.webhooks import Destinations, Webhooks


@dataclass(frozen=True, slots=True)
class Ground:
    """What the use cases stand on."""

    db: Database
    clock: Clock
    sealer: Sealer
    signers: Signers
    endorsements: Sequence[str]
    authority: TimeStampingAuthority | None
    press: Press
    name_of: NameOf
    destinations: Destinations
    send: Send
    deployment: str
    baa_signatory: str


class Compliance:
    def __init__(self, ground: Ground) -> None:
        g, trail = ground, IntakeTrail(ground.clock)
        self.changes = ChangeLog(g.db, g.clock)
        self.idempotency = Idempotency(g.db, g.clock, g.sealer)
        self.documents = Documents(g.db, g.clock, trail, g.press, g.name_of, deployment=g.deployment)
        self.agreements = Agreements(
            g.db, g.clock, trail, self.changes, self.documents, countersigned_by=g.baa_signatory
        )
        self.gates = Gates(g.db, g.clock)
        self.intake, self.log = AuditIntake(g.db), AuditLog(g.db)
        self.sequencer = Sequencer(g.db, g.clock, g.signers)
        self.proofs = Proofs(g.db)
        self.exports = Exports(g.db, g.clock, trail, g.signers, g.endorsements, g.authority)
        self.webhooks = Webhooks(g.db, g.clock, trail, g.sealer, g.destinations)
        self.publishing = Publishing(g.db, g.clock, g.sealer)
        self.fan_out = FanOut(g.db, g.clock, g.sealer)
        self.dispatcher = Dispatcher(g.db, g.clock, Courier(g.db, g.clock, g.sealer, trail, g.send))
        self.pruning = Pruning(g.db, g.clock)
        self.workers = (self.sequencer, self.fan_out, self.dispatcher, self.pruning)
        """What runs in the background, beside the change log and the kept answers."""
