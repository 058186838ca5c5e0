"""API keys and their tokens, in the transaction of one organization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import insert, select, update

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.identity.domain.api_keys import ApiKey
from services.identity.domain.tokens import TokenHash
from services.identity.store.tables import api_keys, tokens


async def add(tx: Tx, key: ApiKey, token: TokenHash) -> None:
    await tx.execute(insert(api_keys).values(asdict(key)))
    await tx.execute(
        insert(tokens).values(
            token_hash=token.digest,
            pepper_version=token.pepper_version,
            org_id=key.org_id,
            kind="api_key",
            principal_id=key.id,
        )
    )


async def page(tx: Tx, org_id: OrgId, *, before_id: str | None, limit: int) -> Sequence[ApiKey]:
    """Keys that are not revoked, newest first, older than `before_id`."""
    statement = select(api_keys).where(api_keys.c.org_id == org_id, api_keys.c.revoked_at.is_(None))
    if before_id is not None:
        statement = statement.where(api_keys.c.id < before_id)
    rows = await tx.execute(statement.order_by(api_keys.c.id.desc()).limit(limit))
    return [ApiKey(**row) for row in rows.mappings()]


async def revoke(tx: Tx, org_id: OrgId, key_id: str, at: datetime) -> ApiKey | None:
    """The key, if it was in force until now."""
    row = await tx.execute(
        update(api_keys)
        .where(api_keys.c.org_id == org_id, api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(api_keys)
    )
    found = row.mappings().one_or_none()
    return ApiKey(**found) if found is not None else None
