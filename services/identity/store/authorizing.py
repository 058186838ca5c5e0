"""The statements that authorize a batch.

The credentials' rows are locked first, in the order of organization and id, as a revocation does. What is counted is counted by a later
statement, which sees whatever was committed while the locks were waited for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

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
    Used,
)
from services.identity.store.transactions import GUARD, Connection, Reply, array, arrays

_CHAINS: LiteralString = """
SELECT asked.number, u.id, u.email, u.role, above.org_id, above.id, above.agent_id, above.delegation_path, above.chain_depth,
    above.max_concurrent_invocations, above.granted_scopes, above.covered_by
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (org_id, id, number)
JOIN credentials own ON own.org_id = asked.org_id AND own.id = asked.id
JOIN credentials above ON above.org_id = own.org_id AND above.id = ANY (own.delegation_path)
JOIN users u ON u.org_id = above.org_id AND u.id = above.delegating_user_id
ORDER BY asked.number, above.chain_depth
"""
_LOCK: LiteralString = f"""
SELECT {GUARD}, c.org_id, c.id, c.revoked_at, c.expires_at, u.id, u.email, u.role
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


@dataclass(frozen=True, slots=True)
class Locked:
    """How credentials stand, and what runs and was used under them, while nobody else can change it."""

    standings: dict[CredentialRef, Standing]
    running: dict[CredentialRef, int]
    used: dict[GrantRef, Used]


async def chains(connection: Connection, refs: Sequence[CredentialRef]) -> list[list[Link]]:
    """For each credential the chain from the root of its delegation to itself; an empty one where there is no such credential."""
    found: list[list[Link]] = [[] for _ in refs]
    async for number, user_id, email, role, org_id, id_, agent_id, *rest in await connection.execute(
        _CHAINS, arrays(refs, 2)
    ):
        found[number - 1].append(Link(org_id, id_, agent_id, DelegatingUser(user_id, email, role), *rest))
    return found


async def lock(
    connection: Connection, refs: Collection[CredentialRef], meters: Collection[Meter], now: datetime
) -> Reply[Locked]:
    """Lock the credentials, and those that the meters belong to. `now` is from before the locks, and can only have too much counted."""
    grants = {meter.grant for meter in meters}
    ids = {*refs, *(grant[:2] for grant in grants)}
    locking = await connection.execute(_LOCK, arrays(ids, 2))
    counting = await connection.execute(_COUNT, (*arrays(refs, 2), now, *arrays(grants, 3), now - COUNTED))

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
    used_org_ids, used_credential_ids, used_grant_nos = arrays(uses, 3)
    await connection.execute(
        _AUTHORIZE,
        {
            "org_ids": array(each.org_id for each in admitted),
            "ids": array(each.id for each in admitted),
            "credential_ids": array(each.credential_id for each in admitted),
            "grant_nos": array(each.grant_no for each in admitted),
            "created_at": array(each.created_at for each in admitted),
            "expires_at": array(each.expires_at for each in admitted),
            "minute": minute,
            "used_org_ids": used_org_ids,
            "used_credential_ids": used_credential_ids,
            "used_grant_nos": used_grant_nos,
            "uses": array(uses.values()),
            **owed_parameters(told),
        },
    )
