"""Tokens, credits and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum


class Basis(StrEnum):
    """Where a settlement's figures are from."""

    REPORTED = "reported"
    """The model provider's own figures."""
    COUNTED = "counted"
    """Counted by us: the provider's figures did not arrive."""
    UNKNOWN = "unknown"
    """Ended before any figure: the input as counted at reservation, no output."""


class Grouping(StrEnum):
    """What `series` is grouped by."""

    DAY = "day"
    MODEL = "model"
    API_KEY = "api_key"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one request. The three kinds of input do not overlap."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write


@dataclass(frozen=True, slots=True)
class Group:
    """Settled requests that have `key` in common: a model, a key's or agent's id, or a UTC day as YYYY-MM-DD."""

    key: str | None
    requests: int
    input_tokens: int
    """Cached ones included."""
    output_tokens: int
    credits: Decimal


@dataclass(frozen=True, slots=True)
class CycleCredits:
    """Credits of the current cycle, exact."""

    allotment: Decimal
    """The plan's, with the adjustments."""
    overage: Decimal
    used: Decimal
    reserved: Decimal
    limit: Decimal
    """What may be used: the spend cap, or allotment and overage where that is less."""

    @property
    def granted(self) -> Decimal:
        """The allotment as it is shown: what adjustments took beyond it was taken from the packs."""
        return max(Decimal(0), self.allotment)

    @property
    def remaining(self) -> Decimal:
        """What may still be used, running requests aside. Never negative: the last request may pass the limit."""
        return max(Decimal(0), self.limit - self.used)

    @property
    def overage_consumed(self) -> Decimal:
        """The allotment is used first; an adjustment that took more than it held took the rest from the packs."""
        return min(self.overage, max(Decimal(0), self.used - self.allotment))


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage from `start` to before `end`."""

    start: datetime
    end: datetime
    credits: CycleCredits
    by_model: tuple[Group, ...]
    """Most credits first."""
    grouping: Grouping | None = None
    series: tuple[Group, ...] = field(default=())

    @property
    def requests(self) -> int:
        return sum(group.requests for group in self.by_model)


def shown(credits_: Decimal) -> int:
    """Whole credits, half-up: 0.5 is shown as 1. Only what is shown is rounded, never what is added."""
    return int(credits_.quantize(Decimal(1), ROUND_HALF_UP))


def exact(credits_: Decimal) -> str:
    """All decimals and no exponent: `-12.5`, `1000`."""
    return f"{credits_.normalize():f}"
