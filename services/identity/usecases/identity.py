"""Everything identity does, built once a process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from services.chassis.audit import AuditTrail
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.idempotency import Idempotency, Seals
from services.chassis.watch import ChangeLog
from services.identity.domain.tokens import Peppers
from services.identity.usecases.agents import Agents
from services.identity.usecases.api_keys import ApiKeys
from services.identity.usecases.authentication import Authentication, Uses
from services.identity.usecases.credentials import Credentials
from services.identity.usecases.invocations import Invocations
from services.identity.usecases.organizations import Organizations
from services.identity.usecases.revocation import Revocation


class Identity:
    def __init__(self, db: Database, clock: Clock, peppers: Peppers, seals: Seals) -> None:
        trail = AuditTrail(clock)
        self.db = db
        self.clock = clock
        self.changes = ChangeLog(db, clock)
        self.uses = Uses(db)
        self.authentication = Authentication(db, clock, peppers, self.uses)
        self.answers = Idempotency(db, clock, seals)
        self.organizations = Organizations(db, clock, trail)
        self.keys = ApiKeys(db, clock, peppers, trail, self.changes)
        revocation = Revocation(clock, trail, self.changes)
        self.agents = Agents(db, clock, trail, self.changes, revocation)
        self.credentials = Credentials(db, clock, peppers, trail, self.changes, revocation)
        self.invocations = Invocations(db, clock)

    @property
    def background(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What runs beside the calls until the process ends."""
        return (self.changes.run, self.answers.run, self.uses.run, self.invocations.run)
