"""Invocations: found, ended, forgotten."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from services.chassis.access import OrgId
from services.chassis.outbox import INSERT_OWED, Owed, owed_parameters
from services.identity.domain.actions import DelegatingUser
from services.identity.domain.invocations import Invocation, Status
from services.identity.store.transactions import GUARD, Connection, Reply, array, arrays

InvocationRef = tuple[OrgId, str]

_FIND: LiteralString = """
SELECT i.org_id, i.id, i.credential_id, i.grant_no, i.status, i.outcome, i.created_at, i.expires_at, i.ended_at, u.id, u.email, u.role
FROM unnest(%s::text[], %s::text[]) AS asked (org_id, id)
JOIN invocations i ON i.org_id = asked.org_id AND i.id = asked.id
JOIN credentials c ON c.org_id = i.org_id AND c.id = i.credential_id
JOIN users u ON u.org_id = c.org_id AND u.id = c.delegating_user_id
"""
_HOLD: LiteralString = (
    _FIND.replace("SELECT", f"SELECT {GUARD},", 1) + " ORDER BY i.org_id, i.id FOR NO KEY UPDATE OF i"
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
SELECT {GUARD}, i.org_id, i.id, i.credential_id, i.grant_no, i.status, i.outcome, i.created_at, i.expires_at, i.ended_at,
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
class Overdue:
    invocation: Invocation
    user_id: str
    delegation_path: Sequence[str]


async def find(connection: Connection, refs: Collection[InvocationRef]) -> dict[InvocationRef, Found]:
    """Those of the invocations that exist."""
    cursor = await connection.execute(_FIND, arrays(refs, 2))
    return {row[:2]: _found(row) for row in await cursor.fetchall()}


async def hold(connection: Connection, refs: Collection[InvocationRef]) -> Reply[dict[InvocationRef, Found]]:
    """As find; nobody else ends them before the transaction does."""
    cursor = await connection.execute(_HOLD, arrays(refs, 2))

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
            "org_ids": array(each.org_id for each in ended),
            "ids": array(each.id for each in ended),
            "statuses": array(each.status for each in ended),
            "outcomes": array(each.outcome for each in ended),
            "ended_at": array(each.ended_at for each in ended),
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


def _invocation(row: Sequence[Any]) -> Invocation:
    org_id, id_, credential_id, grant_no, status, *rest = row
    return Invocation(org_id, id_, credential_id, grant_no, Status(status), *rest)


def _found(row: Sequence[Any]) -> Found:
    return Found(_invocation(row[:9]), DelegatingUser(*row[9:]))
