"""What the operator gives beside the plan: packs and adjustments."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from services.billing.domain.accounts import CycleBalances
from services.chassis.errors import ValidationFailed

_MOST = 10**15
"""As in the catalogue. What is told of a cycle stays below the audit log's largest integer, 2^53 - 1, and exact in JSON."""


class Reason(StrEnum):
    """Why credits are adjusted. There is no free text: it would be in the ledger for ever."""

    CORRECTION = "correction"
    """Something was charged wrongly."""
    GOODWILL = "goodwill"
    """A gift."""
    MIGRATION = "migration"
    """A balance that is brought over from elsewhere."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A pack or an adjustment as the journal has it."""

    credits: Decimal
    reason: Reason | None = None
    """None: a pack."""


def check_adjustment(cycle: CycleBalances, credits_: Decimal) -> None:
    """Raises ValidationFailed for nothing, and for what no cycle holds."""
    if credits_ == 0:
        raise ValidationFailed("An adjustment gives or takes something.", param="credits")
    if abs(cycle.allotment + credits_) >= _MOST:
        raise ValidationFailed("The adjustments of a cycle come to less than 10^15 credits.", param="credits")


def check_pack(cycle: CycleBalances, credits_: Decimal) -> None:
    """Raises ValidationFailed for what no cycle holds."""
    if cycle.overage + credits_ >= _MOST:
        raise ValidationFailed("The packs of a cycle come to less than 10^15 credits.", param="credits")


def check_repeat(posted: Posting, again: Posting, *, param: str) -> None:
    """Raises ValidationFailed where the id was used for something else."""
    if posted != again:
        raise ValidationFailed("This id was used before, for other credits or another reason.", param=param)
