"""The hot statements: one call of a database function a batch, on a connection that commits by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from math import ceil
from typing import LiteralString, NamedTuple, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from services.billing.domain.metering import Decision, PricedDemand, PricedSettlement, RateLimit, RequestRef
from services.chassis.access import OrgId
from services.chassis.database import Database

Connection = AsyncConnection[TupleRow]
R = TypeVar("R")


class NotJudged(StrEnum):
    """Why an item of a batch was left as it was."""

    NO_ACCOUNT = "no account"
    CYCLE_OVER = "cycle over"


_NOT_JUDGED = {why.value: why for why in NotJudged}


@dataclass(frozen=True, slots=True)
class Booking:
    """The settlement is booked now, by this or an earlier call, or there was nothing to book."""

    late: bool
    """Its reservation had ended before."""


@dataclass(frozen=True, slots=True)
class Entitlements:
    opus_enabled: bool
    plan: str
    seq: int
    """Of the watch log; the rest includes every change up to it."""


class _Judged(NamedTuple):
    """A row of the function `reserve`. Moments are seconds since the epoch."""

    place: int
    status: str
    opus_not_enabled: bool
    rate_limited: bool
    exhausted: bool
    free_at: Decimal | None
    cycle_end: datetime
    requests_limit: int | None
    requests_left: int | None
    requests_reset: Decimal | None
    tokens_limit: int | None
    tokens_left: int | None
    tokens_reset: Decimal | None


_RESERVE: LiteralString = """
SELECT * FROM reserve(%s::text[], %s::text[], %s::text[], %s::numeric[], %s::bigint[], %s::boolean[], %s::boolean[], %s, %s)
"""
_SETTLE: LiteralString = """
SELECT * FROM settle(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
                     %s::bigint[], %s::bigint[], %s::numeric[], %s::text[], %s::timestamptz[], %s::boolean[], %s)
"""
_RELEASE: LiteralString = "SELECT release(%s::text[], %s::text[], %s, %s)"
# Rows that a settlement or another renewal has locked are skipped: they are ending, or being renewed, and nobody waits in a circle.
_RENEW: LiteralString = """
UPDATE reservations SET expires_at = greatest(reservations.expires_at, %s)
FROM (
    SELECT r.org_id, r.request_id FROM unnest(%s::text[], %s::text[]) AS asked (org_id, request_id)
    JOIN reservations r USING (org_id, request_id) FOR UPDATE OF r SKIP LOCKED
) AS running
WHERE reservations.org_id = running.org_id AND reservations.request_id = running.request_id
"""
_EXPIRED: LiteralString = (
    "SELECT org_id, request_id FROM reservations WHERE expires_at <= %s ORDER BY expires_at LIMIT %s"
)
_ENTITLEMENTS: LiteralString = """
SELECT a.opus_enabled, a.plan, (SELECT seq FROM watch_state) FROM accounts a WHERE a.org_id = %s
"""
_PRUNE_WINDOWS: LiteralString = """
DELETE FROM windows USING (
    SELECT org_id, subject FROM windows
    WHERE CASE WHEN subject LIKE 'day %%' THEN slot * 600 + 87000 ELSE slot * 0.5 + 61 END < %s
    LIMIT %s FOR UPDATE SKIP LOCKED
) AS old WHERE windows.org_id = old.org_id AND windows.subject = old.subject
"""


async def run_repeatably(db: Database, run: Callable[[Connection], Awaitable[R]]) -> R:
    """Run what may be run twice.

    When the server was restarted every pooled connection is dead: the first to find out has them replaced and goes on.
    """
    try:
        async with db.hot.connection() as connection:
            return await run(connection)
    except PoolTimeout:
        raise
    except OperationalError:
        await db.hot.check()
    async with db.hot.connection() as connection:
        return await run(connection)


async def reserve(
    connection: Connection, demands: Sequence[PricedDemand], *, at: datetime, expires: datetime
) -> list[Decision | NotJudged]:
    """Judge a batch, no request twice in it; the answers in the order of the demands."""
    order = sorted(range(len(demands)), key=lambda i: (demands[i].demand.org_id, demands[i].demand.principal_id))
    items = [(demands[i], demands[i].demand) for i in order]
    cursor = await connection.execute(
        _RESERVE,
        (
            [demand.org_id for _, demand in items],
            [demand.request_id for _, demand in items],
            [demand.principal_id for _, demand in items],
            [priced.bound for priced, _ in items],
            [demand.input_tokens_bound + demand.max_tokens for _, demand in items],
            [demand.count_only for _, demand in items],
            [priced.needs_opus for priced, _ in items],
            at,
            expires,
        ),
    )
    answers: dict[int, Decision | NotJudged] = {}
    async for columns in cursor:
        row = _Judged(*columns)
        answers[order[row.place - 1]] = _decision(row, at)
    return [answers[i] for i in range(len(demands))]


def _decision(row, at: datetime) -> Decision | NotJudged:
    if row.status in _NOT_JUDGED:
        return _NOT_JUDGED[row.status]
    return Decision(
        reserved=row.status in {"held", "counted"},
        opus_not_enabled=row.opus_not_enabled,
        rate_limited=row.rate_limited,
        exhausted=row.exhausted,
        retry_after=0 if row.free_at is None else max(1, ceil(float(row.free_at) - at.timestamp())),
        cycle_end=row.cycle_end,
        requests=_rate_limit(row.requests_limit, row.requests_left, row.requests_reset),
        tokens=_rate_limit(row.tokens_limit, row.tokens_left, row.tokens_reset),
    )


def _rate_limit(limit: int | None, left: int | None, reset: Decimal | None) -> RateLimit | None:
    if limit is None or left is None or reset is None:
        return None
    return RateLimit(limit=limit, remaining=left, reset_at=datetime.fromtimestamp(float(reset), UTC))


async def settle(
    connection: Connection, settlements: Sequence[PricedSettlement], *, at: datetime
) -> list[Booking | NotJudged]:
    """Book a batch, no request twice in it; the answers in the order of the settlements."""
    order = sorted(range(len(settlements)), key=lambda i: settlements[i].settlement.org_id)
    items = [(settlements[i].settlement, settlements[i].settlement.tokens) for i in order]
    cursor = await connection.execute(
        _SETTLE,
        (
            [item.org_id for item, _ in items],
            [item.request_id for item, _ in items],
            [item.principal_id for item, _ in items],
            [item.agent_id for item, _ in items],
            [item.model for item, _ in items],
            [item.catalogue_version for item, _ in items],
            [tokens.input for _, tokens in items],
            [tokens.output for _, tokens in items],
            [tokens.cache_read for _, tokens in items],
            [tokens.cache_write for _, tokens in items],
            [settlements[i].credits for i in order],
            [item.basis.value for item, _ in items],
            [item.occurred_at for item, _ in items],
            [item.undelivered for item, _ in items],
            at,
        ),
    )
    answers: dict[int, Booking | NotJudged] = {}
    async for place, status, late in cursor:
        answers[order[place - 1]] = _NOT_JUDGED.get(status) or Booking(late=late)
    return [answers[i] for i in range(len(settlements))]


async def release(connection: Connection, requests: Collection[RequestRef], *, expired: bool, at: datetime) -> int:
    """End the holds, of those that expired only where nobody renewed them; how many."""
    items = sorted(requests, key=lambda ref: ref.org_id)
    why = "expire" if expired else "release"
    orgs, ids = [ref.org_id for ref in items], [ref.request_id for ref in items]
    ended = await (await connection.execute(_RELEASE, (orgs, ids, why, at))).fetchone()
    return ended[0] if ended else 0


async def renew(connection: Connection, requests: Sequence[RequestRef], *, expires: datetime) -> None:
    orgs, ids = [ref.org_id for ref in requests], [ref.request_id for ref in requests]
    await connection.execute(_RENEW, (expires, orgs, ids))


async def expired(connection: Connection, *, at: datetime, limit: int) -> list[RequestRef]:
    """Reservations that nobody renewed or ended, the oldest first."""
    rows = await (await connection.execute(_EXPIRED, (at, limit))).fetchall()
    return [RequestRef(OrgId(org_id), request_id) for org_id, request_id in rows]


async def find_entitlements(connection: Connection, org_id: OrgId) -> Entitlements | None:
    row = await (await connection.execute(_ENTITLEMENTS, (org_id,))).fetchone()
    return Entitlements(*row) if row else None


async def prune_windows(connection: Connection, *, at: datetime, limit: int) -> int:
    """Forget windows that have emptied by themselves; how many."""
    return (await connection.execute(_PRUNE_WINDOWS, (at.timestamp(), limit))).rowcount


async def make_partitions(connection: Connection, *, at: datetime) -> None:
    """The journal's and settlements' partitions of this month and the next two."""
    await connection.execute("SELECT make_ledger_partitions(%s, 3)", (at,))
