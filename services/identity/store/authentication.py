"""The hot statements: whom a token stands for, and when keys were used. They run on the pool without tenancy, in autocommit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection

from services.chassis.access import OrgId

# One statement is one snapshot: whatever was published up to `seq` is part of the answer. Both indexes are probed for
# every token, known or not.
_FIND = """
    SELECT asked.place, state.seq,
        key.org_id, key.id, key.user_id, key.scopes, key.expires_at, key.revoked_at,
        credential.org_id, credential.id, credential.agent_id, credential.delegating_user_id, credential.delegation_path,
        credential.tool_ids, credential.test_mode, credential.expires_at, credential.revoked_at,
        credential.revoked_with = 'drain' AND EXISTS (
            SELECT FROM invocations running
            WHERE running.org_id = credential.org_id AND running.credential_id = credential.id
                AND running.status = 'authorized' AND running.expires_at > %(now)s
        )
    FROM watch_state state
    CROSS JOIN unnest(%(places)s::integer[], %(digests)b::bytea[]) AS asked (place, digest)
    LEFT JOIN tokens token ON token.token_hash = asked.digest
    LEFT JOIN api_keys key ON key.org_id = coalesce(token.org_id, '') AND key.id = coalesce(token.principal_id, '')
    LEFT JOIN credentials credential
        ON credential.org_id = coalesce(token.org_id, '') AND credential.id = coalesce(token.principal_id, '')
"""
_KEY, _CREDENTIAL = slice(2, 8), slice(8, 18)
# A row that somebody else holds is being marked by another replica, or revoked, or used for an authorization that marks it.
_MARK_USED: tuple[LiteralString, ...] = tuple(
    f"""
    WITH used AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS used (org_id, id, at)),
    due AS (
        SELECT held.org_id, held.id, used.at
        FROM {table} held JOIN used ON held.org_id = used.org_id AND held.id = used.id
        WHERE held.last_used_at IS NULL OR held.last_used_at <= used.at - make_interval(secs => %s)
        FOR NO KEY UPDATE OF held SKIP LOCKED
    )
    UPDATE {table} held SET last_used_at = due.at FROM due WHERE held.org_id = due.org_id AND held.id = due.id
    """  # noqa: S608 - the two names of the next line
    for table in ("api_keys", "credentials")
)


@dataclass(frozen=True, slots=True)
class FoundKey:
    """An API key in whatever state it is."""

    org_id: OrgId
    id: str
    user_id: str
    scopes: Sequence[str]
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundCredential:
    """An agent's credential in whatever state it is."""

    org_id: OrgId
    id: str
    agent_id: str
    delegating_user_id: str
    delegation_path: Sequence[str]
    tool_ids: Sequence[str]
    test_mode: bool
    expires_at: datetime
    revoked_at: datetime | None
    drains: bool | None
    """Revoked with `drain`, while one of its invocations runs."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the token index says, as of `seq` of the change log."""

    seq: int
    principal: FoundKey | FoundCredential | None


async def find(connection: AsyncConnection, tokens: Sequence[Sequence[bytes]], now: datetime) -> list[Found]:
    """For each token, given by what it may be stored as, whom it belongs to."""
    asked = [(place, digest) for place, digests in enumerate(tokens) for digest in digests]
    places = f"{{{','.join(str(place) for place, _ in asked)}}}"
    cursor = await connection.execute(_FIND, {"places": places, "digests": [each for _, each in asked], "now": now})
    found: dict[int, Found] = {}
    for row in await cursor.fetchall():
        if row[0] not in found or found[row[0]].principal is None:
            found[row[0]] = Found(row[1], _principal(row))
    if len(found) != len(tokens):
        raise LookupError("watch_state has lost its row")
    return [found[place] for place in range(len(tokens))]


def _principal(row: Sequence[Any]) -> FoundKey | FoundCredential | None:
    if row[_KEY.start] is not None:
        return FoundKey(*row[_KEY])
    return FoundCredential(*row[_CREDENTIAL]) if row[_CREDENTIAL.start] is not None else None


async def mark_used(
    connection: AsyncConnection, uses: Mapping[tuple[OrgId, str], datetime], *, at_most_every: float
) -> None:
    """Write the moments of use, but for keys and credentials that were marked less than `at_most_every` seconds before."""
    parameters = ([org for org, _ in uses], [key for _, key in uses], list(uses.values()), at_most_every)
    for statement in _MARK_USED:
        await connection.execute(statement, parameters)
