"""What the hot calls ask and answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.billing.domain.usage import Basis, Tokens
from services.chassis.access import OrgId

EXPIRY = timedelta(minutes=10)
"""A reservation that was not renewed for this long has lost its owner."""


@dataclass(frozen=True, slots=True)
class RequestRef:
    org_id: OrgId
    request_id: str
    """Bare ULID."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A request that wants to run."""

    org_id: OrgId
    request_id: str
    principal_id: str
    model: str
    catalogue_version: str
    input_tokens_bound: int
    max_tokens: int
    count_only: bool
    """Token counting: checks limits and opt-in and counts the request, holds nothing."""


@dataclass(frozen=True, slots=True)
class PricedDemand:
    demand: Demand
    bound: Decimal
    needs_opus: bool


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One limit as of now: of a key's two the one that it meets first."""

    limit: int
    remaining: int
    reset_at: datetime
    """When it is full again."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Each judgement by itself; the caller answers with the first refusal in its own order."""

    reserved: bool
    opus_not_enabled: bool
    rate_limited: bool
    exhausted: bool
    retry_after: int
    """Whole seconds, at least 1 when rate limited, else 0."""
    cycle_end: datetime
    requests: RateLimit | None
    tokens: RateLimit | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one request used, as its owner tells it."""

    org_id: OrgId
    request_id: str
    principal_id: str
    agent_id: str
    model: str
    catalogue_version: str
    tokens: Tokens
    basis: Basis
    occurred_at: datetime
    undelivered: bool
    """The model provider never took the request: nothing is booked."""


@dataclass(frozen=True, slots=True)
class PricedSettlement:
    settlement: Settlement
    credits: Decimal
