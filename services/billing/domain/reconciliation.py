"""What the reconciler finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.billing.domain.usage import exact
from services.chassis.access import OrgId

INTERVAL = timedelta(hours=1)
RECENT = timedelta(days=62)
"""Holds the current cycle of every account and the one before: no cycle is longer than 31 days."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures of one thing that are not the same."""

    org_id: OrgId
    cycle_start: datetime | None
    """None: of the account."""
    what: str
    request_id: str
    """Of a settlement that is not what its catalogue says; else empty."""
    balance: Decimal
    journal: Decimal | None
    """What it should be. None: a settlement's catalogue does not know its model."""

    @property
    def key(self) -> str:
        """The same for the same difference, though its amounts move on."""
        cycle = self.cycle_start.isoformat() if self.cycle_start else "-"
        return " ".join(filter(None, (self.org_id, cycle, self.what, self.request_id)))

    @property
    def line(self) -> str:
        should = "unknown" if self.journal is None else exact(self.journal)
        against = "its catalogue" if self.request_id else "journal"
        return f"{self.key}: balance {exact(self.balance)}, {against} {should}"


@dataclass(frozen=True, slots=True)
class Report:
    """Of one run."""

    reconciled_at: datetime
    since: datetime
    """Cycles that began before were not looked at."""
    checked: int
    """Accounts."""
    found: tuple[str, ...]
    """The keys of the differences, a thousand at most."""
