"""Webhook endpoints and their secrets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.domain.webhooks import Endpoint
from services.compliance.store.tables import (
    audit_trees,
    webhook_endpoints,
    webhook_lanes,
    webhook_positions,
    webhook_secrets,
)

_endpoint, _secret = webhook_endpoints.c, webhook_secrets.c
_SHOWN = select(
    _endpoint.id,
    _endpoint.app_id,
    _endpoint.url,
    _endpoint.events,
    _endpoint.description,
    _endpoint.is_active,
    _endpoint.created_at,
)


async def list_endpoints(tx: Tx, org_id: OrgId, *, before: str | None, limit: int) -> list[Endpoint]:
    """Newest first, from the one before the id `before`."""
    query = _SHOWN.where(_endpoint.org_id == org_id)
    if before is not None:
        query = query.where(_endpoint.id < before)
    rows = await tx.execute(query.order_by(_endpoint.id.desc()).limit(limit))
    return [_read(row) for row in rows.mappings()]


async def find_endpoint(tx: Tx, org_id: OrgId, endpoint_id: str) -> Endpoint | None:
    rows = await tx.execute(_SHOWN.where(_endpoint.org_id == org_id, _endpoint.id == endpoint_id))
    row = rows.mappings().one_or_none()
    return None if row is None else _read(row)


async def lock_endpoint(tx: Tx, org_id: OrgId, endpoint_id: str, *, shared: bool = False) -> Endpoint | None:
    """Nobody changes it until `tx` ends. `shared`: others may hold it too, as whoever adds deliveries does."""
    where = (_endpoint.org_id == org_id, _endpoint.id == endpoint_id)
    row = (await tx.execute(_SHOWN.where(*where).with_for_update(read=shared))).mappings().one_or_none()
    return None if row is None else _read(row)


async def active_endpoints(tx: Tx, org_id: OrgId, *, lock: bool = False) -> list[Endpoint]:
    """Those that take events. `lock`: none of them is disabled or deleted until `tx` ends."""
    query = _SHOWN.where(_endpoint.org_id == org_id, _endpoint.is_active).order_by(_endpoint.id)
    rows = await tx.execute(query.with_for_update(read=True) if lock else query)
    return [_read(row) for row in rows.mappings()]


async def open_position(tx: Tx, org_id: OrgId) -> None:
    """From here on the organization's audit entries are looked at. Registrations of one organization go one after another."""
    size = select(audit_trees.c.size).where(audit_trees.c.org_id == org_id).scalar_subquery()
    values = {"org_id": org_id, "seq": func.coalesce(size, 0)}
    await tx.execute(insert(webhook_positions).values(values).on_conflict_do_nothing())
    await tx.execute(select(webhook_positions.c.seq).where(webhook_positions.c.org_id == org_id).with_for_update())


async def count_endpoints(tx: Tx, org_id: OrgId) -> int:
    return (await tx.execute(select(func.count()).where(_endpoint.org_id == org_id))).scalar_one()


async def add_endpoint(tx: Tx, org_id: OrgId, endpoint: Endpoint) -> None:
    values = {
        "org_id": org_id,
        "id": endpoint.id,
        "app_id": endpoint.app_id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "description": endpoint.description,
        "is_active": endpoint.is_active,
        "created_at": endpoint.created_at,
    }
    await tx.execute(insert(webhook_endpoints).values(values))
    await tx.execute(insert(webhook_lanes).values({"org_id": org_id, "endpoint_id": endpoint.id}))


async def delete_endpoint(tx: Tx, org_id: OrgId, endpoint_id: str) -> bool:
    """With its secrets and deliveries, whoever is delivering them. False when there is none."""
    where = (_endpoint.org_id == org_id, _endpoint.id == endpoint_id)
    return (await tx.execute(delete(webhook_endpoints).where(*where))).rowcount == 1


async def add_secret(tx: Tx, org_id: OrgId, endpoint_id: str, secret_id: str, sealed: bytes) -> None:
    values = {"org_id": org_id, "endpoint_id": endpoint_id, "id": secret_id, "sealed": sealed}
    await tx.execute(insert(webhook_secrets).values(values))


async def retire_secrets(tx: Tx, org_id: OrgId, endpoint_id: str, expires_at: datetime) -> None:
    """Those that have no end yet sign until `expires_at`."""
    where = (_secret.org_id == org_id, _secret.endpoint_id == endpoint_id, _secret.expires_at.is_(None))
    await tx.execute(update(webhook_secrets).where(*where).values(expires_at=expires_at))


async def count_secrets(tx: Tx, org_id: OrgId, endpoint_id: str, now: datetime) -> int:
    """Those that sign."""
    where = (_secret.org_id == org_id, _secret.endpoint_id == endpoint_id)
    signs = or_(_secret.expires_at.is_(None), _secret.expires_at > now)
    return (await tx.execute(select(func.count()).where(*where, signs))).scalar_one()


async def prune_secrets(tx: Tx, now: datetime) -> int:
    """Delete those that sign no more, of all organizations; how many."""
    return (await tx.execute(delete(webhook_secrets).where(_secret.expires_at <= now))).rowcount


def _read(row: Mapping[Any, Any]) -> Endpoint:
    return Endpoint(**{**row, "events": tuple(row["events"])})
