"""Invocations: the hot statements. Those of a batch run over all organizations, on the pool without tenancy.

A batch reads under locks, decides, and writes, in one transaction of two round trips. The credentials' rows are locked first,
in the order of organization and id, as a revocation does; what is counted is counted by later statements, which see whatever
was committed while the locks were waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, TypeVar, cast

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from services.chassis.access import OrgId
from services.chassis.database import Database, Tx
from services.chassis.outbox import INSERT_OWED, Owed, owed_parameters
from services.identity.domain.actions import DelegatingUser
from services.identity.domain.invocations import (
    COUNTED,
    CredentialRef,
    GrantRef,
    Invocation,
    Link,
    Meter,
    Standing,
    Status,
    Used,
)

Connection = AsyncConnection[TupleRow]
F = TypeVar("F")
R = TypeVar("R")
InvocationRef = tuple[OrgId, str]
Reply = Callable[[], Awaitable[R]]
"""What was asked, to be read once it has arrived: several statements are one round trip."""

_ATTEMPTS = 3

# The database ends the transaction of a process that falls silent in the middle: it must not keep others from the rows,
# nor from revoking them.
_GUARD: LiteralString = "set_config('idle_in_transaction_session_timeout', '1s', true)"
_CHAINS: LiteralString = """
SELECT asked.number, above.org_id, above.id, above.agent_id, above.delegating_user_id, above.delegation_path, above.chain_depth,
    above.max_concurrent_invocations, above.granted_scopes, above.covered_by
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (org_id, id, number)
JOIN credentials own ON own.org_id = asked.org_id AND own.id = asked.id
JOIN credentials above ON above.org_id = own.org_id AND above.id = ANY (own.delegation_path)
ORDER BY asked.number, above.chain_depth
"""
_LOCK: LiteralString = f"""
SELECT {_GUARD}, c.org_id, c.id, c.revoked_at, c.expires_at, u.id, u.email, u.role
FROM unnest(%s::text[], %s::text[]) AS asked (org_id, id)
JOIN credentials c ON c.org_id = asked.org_id AND c.id = asked.id
JOIN users u ON u.org_id = c.org_id AND u.id = c.delegating_user_id
ORDER BY c.org_id, c.id FOR NO KEY UPDATE OF c
"""  # noqa: S608 - made of constants
# One look into the index for each, whatever the planner believes of the tables' sizes.
_COUNT: LiteralString = """
SELECT asked.org_id, asked.id, NULL::smallint, found.running, NULL::timestamptz
FROM unnest(%s::text[], %s::text[]) AS asked (org_id, id)
CROSS JOIN LATERAL (
    SELECT count(*) AS running FROM invocations i
    WHERE i.org_id = asked.org_id AND i.credential_id = asked.id AND i.status = 'authorized' AND i.expires_at > %s
) AS found
UNION ALL
SELECT asked.org_id, asked.id, asked.grant_no, found.uses, found.oldest
FROM unnest(%s::text[], %s::text[], %s::smallint[]) AS asked (org_id, id, grant_no)
CROSS JOIN LATERAL (
    SELECT sum(g.uses) AS uses, min(g.minute) AS oldest FROM grant_uses g
    WHERE g.org_id = asked.org_id AND g.credential_id = asked.id AND g.grant_no = asked.grant_no AND g.minute > %s
) AS found WHERE found.uses > 0
"""
_AUTHORIZE: LiteralString = f"""
WITH authorized AS (
    INSERT INTO invocations (org_id, id, credential_id, grant_no, status, created_at, expires_at)
    SELECT org_id, id, credential_id, grant_no, 'authorized', created_at, expires_at
    FROM unnest(%(org_ids)s::text[], %(ids)s::text[], %(credential_ids)s::text[], %(grant_nos)s::smallint[],
        %(created_at)s::timestamptz[], %(expires_at)s::timestamptz[])
        AS admitted (org_id, id, credential_id, grant_no, created_at, expires_at)
),
counted AS (
    INSERT INTO grant_uses AS kept (org_id, credential_id, grant_no, minute, uses)
    SELECT org_id, credential_id, grant_no, %(minute)s, uses
    FROM unnest(%(used_org_ids)s::text[], %(used_credential_ids)s::text[], %(used_grant_nos)s::smallint[], %(uses)s::integer[])
        AS used (org_id, credential_id, grant_no, uses)
    ON CONFLICT (org_id, credential_id, grant_no, minute) DO UPDATE SET uses = kept.uses + excluded.uses
)
{INSERT_OWED}
"""  # noqa: S608 - made of constants
_FIND: LiteralString = """
SELECT i.org_id, i.id, i.credential_id, i.grant_no, i.status, i.outcome, i.created_at, i.expires_at, i.ended_at, u.id, u.email, u.role
FROM unnest(%s::text[], %s::text[]) AS asked (org_id, id)
JOIN invocations i ON i.org_id = asked.org_id AND i.id = asked.id
JOIN credentials c ON c.org_id = i.org_id AND c.id = i.credential_id
JOIN users u ON u.org_id = c.org_id AND u.id = c.delegating_user_id
"""
_HOLD: LiteralString = (
    _FIND.replace("SELECT", f"SELECT {_GUARD},", 1) + " ORDER BY i.org_id, i.id FOR NO KEY UPDATE OF i"
)
_END: LiteralString = f"""
WITH ended AS (
    UPDATE invocations i SET status = ended.status, outcome = ended.outcome, ended_at = ended.ended_at
    FROM unnest(%(org_ids)s::text[], %(ids)s::text[], %(statuses)s::text[], %(outcomes)s::text[], %(ended_at)s::timestamptz[])
        AS ended (org_id, id, status, outcome, ended_at)
    WHERE i.org_id = ended.org_id AND i.id = ended.id
)
{INSERT_OWED}
"""  # noqa: S608 - made of constants
# What somebody else has locked is being completed, cancelled, or swept by another replica.
_OVERDUE: LiteralString = f"""
SELECT {_GUARD}, i.org_id, i.id, i.credential_id, i.grant_no, i.status, i.outcome, i.created_at, i.expires_at, i.ended_at,
    c.delegating_user_id, c.delegation_path
FROM invocations i JOIN credentials c ON c.org_id = i.org_id AND c.id = i.credential_id
WHERE i.status = 'authorized' AND i.expires_at <= %s
ORDER BY i.expires_at LIMIT %s FOR NO KEY UPDATE OF i SKIP LOCKED
"""  # noqa: S608 - made of constants
_PRUNE: LiteralString = """
DELETE FROM invocations USING (
    SELECT org_id, id FROM invocations WHERE ended_at < %s ORDER BY ended_at LIMIT %s FOR UPDATE SKIP LOCKED
) AS old WHERE invocations.org_id = old.org_id AND invocations.id = old.id
"""
_PRUNE_USES: LiteralString = "DELETE FROM grant_uses WHERE minute < %s"


@dataclass(frozen=True, slots=True)
class Found:
    invocation: Invocation
    user: DelegatingUser


@dataclass(frozen=True, slots=True)
class Locked:
    """How credentials stand, and what runs and was used under them, while nobody else can change it."""

    standings: dict[CredentialRef, Standing]
    running: dict[CredentialRef, int]
    used: dict[GrantRef, Used]


@dataclass(frozen=True, slots=True)
class Overdue:
    invocation: Invocation
    user_id: str
    delegation_path: Sequence[str]


async def in_one_transaction(
    db: Database,
    ask: Callable[[Connection], Awaitable[Reply[F]]],
    write: Callable[[Connection, F], Awaitable[R]],
) -> R:
    """What `write` makes of what `ask` found and locked.

    Begun anew while nothing is written: the pooled connections of a restarted server are all dead, and a circle of locks has one loser.
    """
    for attempt in range(_ATTEMPTS):
        writing = False
        try:
            async with (
                db.hot.connection() as connection,
                connection.pipeline() as pipeline,
                connection.transaction(),
            ):
                reply = await ask(connection)
                # Not only a flush: without it the server waits for more of a command and no session is idle.
                await pipeline.sync()
                found = await reply()
                writing = True
                return await write(connection, found)
        except PoolTimeout:
            raise
        except OperationalError:
            if writing or attempt == _ATTEMPTS - 1:
                raise
            await db.hot.check()
    raise AssertionError("an attempt neither succeeded nor failed")


async def driver_of(tx: Tx) -> Connection:
    """The connection below `tx`, for the statements of this module."""
    return cast("Connection", (await tx.get_raw_connection()).driver_connection)


async def chains(connection: Connection, refs: Sequence[CredentialRef]) -> list[list[Link]]:
    """For each credential the chain from the root of its delegation to itself; an empty one where there is no such credential."""
    found: list[list[Link]] = [[] for _ in refs]
    async for number, *columns in await connection.execute(_CHAINS, _arrays(refs, 2)):
        found[number - 1].append(Link(*columns))
    return found


async def lock(
    connection: Connection, refs: Collection[CredentialRef], meters: Collection[Meter], now: datetime
) -> Reply[Locked]:
    """Lock the credentials, and those that the meters belong to. `now` is from before the locks, and can only have too much counted."""
    grants = {meter.grant for meter in meters}
    ids = {*refs, *(grant[:2] for grant in grants)}
    locking = await connection.execute(_LOCK, _arrays(ids, 2))
    counting = await connection.execute(_COUNT, (*_arrays(refs, 2), now, *_arrays(grants, 3), now - COUNTED))

    async def read() -> Locked:
        standings = {row[1:3]: Standing(row[3], row[4], DelegatingUser(*row[5:])) for row in await locking.fetchall()}
        counts = await counting.fetchall()
        return Locked(
            standings=standings,
            running={row[:2]: row[3] for row in counts if row[2] is None},
            used={row[:3]: Used(int(row[3]), row[4]) for row in counts if row[2] is not None},
        )

    return read


async def authorize(
    connection: Connection,
    admitted: Sequence[Invocation],
    uses: Mapping[GrantRef, int],
    told: Sequence[Owed],
    *,
    minute: datetime,
) -> None:
    """Write what was admitted, count the uses of metered grants in `minute`, and owe what is told of it. The credentials must be locked."""
    if not told:
        return
    used_org_ids, used_credential_ids, used_grant_nos = _arrays(uses, 3)
    await connection.execute(
        _AUTHORIZE,
        {
            "org_ids": _array(each.org_id for each in admitted),
            "ids": _array(each.id for each in admitted),
            "credential_ids": _array(each.credential_id for each in admitted),
            "grant_nos": _array(each.grant_no for each in admitted),
            "created_at": _array(each.created_at for each in admitted),
            "expires_at": _array(each.expires_at for each in admitted),
            "minute": minute,
            "used_org_ids": used_org_ids,
            "used_credential_ids": used_credential_ids,
            "used_grant_nos": used_grant_nos,
            "uses": _array(uses.values()),
            **owed_parameters(told),
        },
    )


async def find(connection: Connection, refs: Collection[InvocationRef]) -> dict[InvocationRef, Found]:
    """Those of the invocations that exist."""
    cursor = await connection.execute(_FIND, _arrays(refs, 2))
    return {row[:2]: _found(row) for row in await cursor.fetchall()}


async def hold(connection: Connection, refs: Collection[InvocationRef]) -> Reply[dict[InvocationRef, Found]]:
    """As find; nobody else ends them before the transaction does."""
    cursor = await connection.execute(_HOLD, _arrays(refs, 2))

    async def read() -> dict[InvocationRef, Found]:
        return {row[1:3]: _found(row[1:]) for row in await cursor.fetchall()}

    return read


async def end(connection: Connection, ended: Sequence[Invocation], told: Sequence[Owed]) -> None:
    """Write how the invocations ended, which must be held, and owe what is told of it."""
    if not ended:
        return
    await connection.execute(
        _END,
        {
            "org_ids": _array(each.org_id for each in ended),
            "ids": _array(each.id for each in ended),
            "statuses": _array(each.status for each in ended),
            "outcomes": _array(each.outcome for each in ended),
            "ended_at": _array(each.ended_at for each in ended),
            **owed_parameters(told),
        },
    )


async def overdue(connection: Connection, *, now: datetime, limit: int) -> Reply[list[Overdue]]:
    """Invocations that nobody completed in time, held; those that are locked already are somebody else's."""
    cursor = await connection.execute(_OVERDUE, (now, limit))

    async def read() -> list[Overdue]:
        return [Overdue(_invocation(row[1:10]), *row[10:]) for row in await cursor.fetchall()]

    return read


async def prune(connection: Connection, *, ended_before: datetime, limit: int) -> int:
    """Forget invocations that ended before; how many."""
    return (await connection.execute(_PRUNE, (ended_before, limit))).rowcount


async def prune_uses(connection: Connection, *, before: datetime) -> None:
    """Forget what no rate counts any more."""
    await connection.execute(_PRUNE_USES, (before,))


def _arrays(rows: Iterable[Sequence[object]], number: int) -> list[str]:
    """The rows as that many arrays."""
    columns = zip(*rows, strict=True)
    return [_array(column) for column in columns] or ["{}"] * number


def _array(values: Iterable[object]) -> str:
    """As PostgreSQL reads an array. Only for what needs no quotes: ids, numbers, moments. The driver's own way costs 3 µs an element."""
    return f"{{{','.join('NULL' if value is None else str(value) for value in values)}}}"


def _invocation(row: Sequence[Any]) -> Invocation:
    org_id, id_, credential_id, grant_no, status, *rest = row
    return Invocation(org_id, id_, credential_id, grant_no, Status(status), *rest)


def _found(row: Sequence[Any]) -> Found:
    return Found(_invocation(row[:9]), DelegatingUser(*row[9:]))
