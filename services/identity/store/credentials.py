"""Credentials and their tokens, in the transaction of one organization."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, literal, select, text, update

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.identity.domain.credentials import Credential
from services.identity.domain.tokens import TokenHash
from services.identity.store.tables import credentials, invocations, tokens

# The whole tree below some credentials, themselves included; those of it that are in force, locked in the order in
# which an authorization locks too.
_LOCK_TREE = text(
    """
    WITH RECURSIVE tree AS (
        SELECT id FROM credentials WHERE org_id = :org_id AND id = ANY(:roots)
        UNION
        SELECT child.id FROM credentials child JOIN tree ON child.org_id = :org_id AND child.parent_id = tree.id
    )
    SELECT * FROM credentials
    WHERE org_id = :org_id AND id IN (SELECT id FROM tree) AND revoked_at IS NULL AND expires_at > :now
    ORDER BY id FOR UPDATE
    """
)


async def add(tx: Tx, credential: Credential, token: TokenHash) -> None:
    await tx.execute(insert(credentials).values(asdict(credential)))
    await tx.execute(
        insert(tokens).values(
            token_hash=token.digest,
            pepper_version=token.pepper_version,
            org_id=credential.org_id,
            kind="agent",
            principal_id=credential.id,
        )
    )


async def get(tx: Tx, org_id: OrgId, credential_id: str) -> Credential | None:
    return await _one(tx, and_(credentials.c.org_id == org_id, credentials.c.id == credential_id))


async def hold(tx: Tx, org_id: OrgId, credential_id: str, now: datetime) -> Credential | None:
    """The credential, if it is in force; it is not revoked before the transaction ends."""
    condition = and_(
        credentials.c.org_id == org_id,
        credentials.c.id == credential_id,
        credentials.c.revoked_at.is_(None),
        credentials.c.expires_at > now,
    )
    return await _one(tx, condition, held=True)


async def page(
    tx: Tx, org_id: OrgId, agent_id: str, *, status: str, now: datetime, before_id: str | None, limit: int
) -> Sequence[Credential]:
    """Newest first, older than `before_id`. `status` as in Credential.status, or `all`."""
    statement = select(credentials).where(credentials.c.org_id == org_id, credentials.c.agent_id == agent_id)
    revoked, expired = credentials.c.revoked_at.is_not(None), credentials.c.expires_at <= now
    if status != "all":
        statement = statement.where(
            {"revoked": revoked, "expired": ~revoked & expired}.get(status, ~revoked & ~expired)
        )
    if before_id is not None:
        statement = statement.where(credentials.c.id < before_id)
    rows = await tx.execute(statement.order_by(credentials.c.id.desc()).limit(limit))
    return [Credential(**row) for row in rows.mappings()]


async def lock_tree(tx: Tx, org_id: OrgId, roots: Collection[str], now: datetime) -> Sequence[Credential]:
    """Those in force among the credentials and all that was delegated from them.

    Nothing is authorized or delegated with them before the transaction ends.
    """
    rows = await tx.execute(_LOCK_TREE, {"org_id": org_id, "roots": list(roots), "now": now})
    return [Credential(**row) for row in rows.mappings()]


async def revoke(
    tx: Tx, org_id: OrgId, ids: Collection[str], *, with_: str | None, reason: str | None, at: datetime
) -> Sequence[Credential]:
    """The credentials as they are now. `with_` None takes the policy of each."""
    policy: Any = credentials.c.revocation_policy if with_ is None else literal(with_)
    statement = (
        update(credentials)
        .where(credentials.c.org_id == org_id, credentials.c.id.in_(ids))
        .values(revoked_at=at, revoked_with=policy, revocation_reason=reason)
        .returning(credentials)
    )
    return [Credential(**row) for row in (await tx.execute(statement)).mappings()]


async def in_force_of_agent(tx: Tx, org_id: OrgId, agent_id: str, now: datetime) -> Sequence[str]:
    """Ids of the agent's own credentials in force."""
    statement = select(credentials.c.id).where(
        credentials.c.org_id == org_id,
        credentials.c.agent_id == agent_id,
        credentials.c.revoked_at.is_(None),
        credentials.c.expires_at > now,
    )
    return list((await tx.execute(statement)).scalars())


async def stop_draining(tx: Tx, org_id: OrgId, agent_id: str) -> Sequence[str]:
    """What was revoked with `drain` counts as killed from now on. Ids of the agent's credentials concerned."""
    statement = (
        update(credentials)
        .where(
            credentials.c.org_id == org_id, credentials.c.agent_id == agent_id, credentials.c.revoked_with == "drain"
        )
        .values(revoked_with="kill")
        .returning(credentials.c.id)
    )
    return list((await tx.execute(statement)).scalars())


async def cancel_invocations(
    tx: Tx, org_id: OrgId, credential_ids: Collection[str], at: datetime
) -> Sequence[tuple[str, str]]:
    """End what runs under the credentials: (invocation's id, credential's id) of each."""
    # Locked in the order in which completions lock, so that the two never wait for each other in a circle.
    running = (
        select(invocations.c.id)
        .where(
            invocations.c.org_id == org_id,
            invocations.c.credential_id.in_(credential_ids),
            invocations.c.status == "authorized",
            invocations.c.expires_at > at,
        )
        .order_by(invocations.c.id)
        .with_for_update(key_share=True)
        .cte("running")
    )
    statement = (
        update(invocations)
        .where(invocations.c.org_id == org_id, invocations.c.id == running.c.id)
        .values(status="cancelled", ended_at=at)
        .returning(invocations.c.id, invocations.c.credential_id)
    )
    return [(row.id, row.credential_id) for row in await tx.execute(statement)]


async def _one(tx: Tx, condition: ColumnElement[bool], *, held: bool = False) -> Credential | None:
    statement = select(credentials).where(condition)
    row = (await tx.execute(statement.with_for_update(read=True) if held else statement)).mappings().one_or_none()
    return None if row is None else Credential(**row)
