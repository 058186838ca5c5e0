"""The hot statements: whom a token stands for, and when keys were used. They run on the pool without tenancy, in autocommit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection

from services.chassis.access import OrgId
from services.identity.domain.api_keys import ApiKey

# One statement is one snapshot: whatever was published up to `seq` is part of the answer. The key's index is probed for an
# unknown token as for a known one.
_FIND = """
    SELECT state.seq, key.org_id, key.id, key.user_id, key.name, key.prefix, key.last_four, key.scopes, key.created_at,
        key.expires_at, key.revoked_at, key.last_used_at
    FROM watch_state state
    LEFT JOIN tokens token ON token.token_hash = ANY(%s)
    LEFT JOIN api_keys key ON key.org_id = coalesce(token.org_id, '') AND key.id = coalesce(token.principal_id, '')
"""
# A row that somebody else holds is being marked by another replica, or revoked.
_MARK_USED = """
    WITH used AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS used (org_id, id, at)),
    due AS (
        SELECT key.org_id, key.id, used.at
        FROM api_keys key JOIN used ON key.org_id = used.org_id AND key.id = used.id
        WHERE key.last_used_at IS NULL OR key.last_used_at <= used.at - make_interval(secs => %s)
        FOR NO KEY UPDATE OF key SKIP LOCKED
    )
    UPDATE api_keys key SET last_used_at = due.at FROM due WHERE key.org_id = due.org_id AND key.id = due.id
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What the token index says, as of `seq` of the change log."""

    seq: int
    key: ApiKey | None


async def find(connection: AsyncConnection, digests: Sequence[bytes]) -> Found:
    """The key that one of the digests belongs to, in whatever state it is."""
    row = await (await connection.execute(_FIND, (list(digests),))).fetchone()
    if row is None:
        raise LookupError("watch_state has lost its row")
    return Found(seq=row[0], key=None if row[1] is None else ApiKey(*row[1:]))


async def mark_used(
    connection: AsyncConnection, uses: Mapping[tuple[OrgId, str], datetime], *, at_most_every: float
) -> None:
    """Write the moments of use, but for keys that were marked less than `at_most_every` seconds before."""
    parameters = ([org for org, _ in uses], [key for _, key in uses], list(uses.values()), at_most_every)
    await connection.execute(_MARK_USED, parameters)
