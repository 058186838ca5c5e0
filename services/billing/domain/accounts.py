"""An organization's account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.billing.domain.budgets import Budget, limit_of, reached
from services.billing.domain.usage import CycleCredits
from services.chassis.access import OrgId


@dataclass(frozen=True, slots=True)
class Account:
    org_id: OrgId
    plan: str
    next_plan: str | None
    """From the next cycle on; None: the same."""
    anchor: datetime
    cycle_start: datetime
    cycle_end: datetime
    reserved: Decimal
    spend_cap: Decimal | None
    alert_thresholds: list[int]
    opus_enabled: bool

    @property
    def budget(self) -> Budget:
        return Budget(
            spend_cap=None if self.spend_cap is None else int(self.spend_cap),
            alert_thresholds=tuple(self.alert_thresholds),
            opus_enabled=self.opus_enabled,
        )


@dataclass(frozen=True, slots=True)
class CycleBalances:
    """What one cycle was given and has used."""

    org_id: OrgId
    cycle_start: datetime
    cycle_end: datetime
    plan: str
    allotment: Decimal
    """The plan's, with the adjustments; below nothing where more was taken than the plan gave."""
    adjustments: Decimal
    """Of that."""
    overage: Decimal
    used: Decimal


def credits_of(account: Account, cycle: CycleBalances) -> CycleCredits:
    return CycleCredits(
        allotment=cycle.allotment,
        overage=cycle.overage,
        used=cycle.used,
        reserved=account.reserved,
        limit=limit_of(account.spend_cap, cycle.allotment, cycle.overage),
    )


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold reached for the first time in a cycle."""

    org_id: OrgId
    cycle_start: datetime
    threshold: int
    used: Decimal
    limit: Decimal
    crossed_at: datetime
    announced_at: datetime | None


def crossings_of(account: Account, cycle: CycleBalances, budget: Budget, at: datetime) -> list[Crossing]:
    """What a change of the budget or of the cycle's credits reaches: a lower limit may reach a threshold without any request."""
    limit = limit_of(budget.spend_cap, cycle.allotment, cycle.overage)
    return [
        Crossing(
            org_id=account.org_id,
            cycle_start=cycle.cycle_start,
            threshold=threshold,
            used=cycle.used,
            limit=limit,
            crossed_at=at,
            announced_at=None,
        )
        for threshold in reached(budget.alert_thresholds, cycle.used, limit)
    ]
