"""Deliveries: adding them, listing them, queueing them again, and deleting those that ended long ago.

Rows are locked in this order: endpoint, lane, delivery. Whoever adds deliveries to an endpoint, or queues some again, holds the
endpoint shared, so that nobody disables it meanwhile.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy
from sqlalchemy import func, select, update

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.domain.webhooks import ENDED, Delivery, Status
from services.compliance.store.tables import webhook_deliveries, webhook_lanes

_delivery, _lane = webhook_deliveries.c, webhook_lanes.c


@dataclass(frozen=True, slots=True)
class Told:
    """An event that somebody is to be told, its body sealed."""

    id: str
    event: str
    occurred_at: datetime
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Addressed:
    """A delivery to be."""

    id: str
    endpoint_id: str
    event_id: str
    event: str


async def add(tx: Tx, org_id: OrgId, told: Sequence[Told], addressed: Sequence[Addressed], now: datetime) -> int:
    """Keep events and queue their deliveries in the order given; how many. An event that is kept already is told no second time."""
    if not addressed:
        return 0
    await tx.execute(_BY_INDEX)
    # In the order of the key, so that two calls that tell the same events never wait for each other in a circle.
    events = sorted(told, key=lambda each: each.id)
    rows = await tx.execute(
        _ADD_EVENTS,
        {
            "org_id": org_id,
            "now": now,
            "id": [each.id for each in events],
            "event": [each.event for each in events],
            "occurred_at": [each.occurred_at for each in events],
            "sealed": [each.sealed for each in events],
        },
    )
    fresh = set(rows.scalars())
    queued = [each for each in addressed if each.event_id in fresh]
    if queued:
        await tx.execute(
            _ADD_DELIVERIES,
            {
                "org_id": org_id,
                "now": now,
                "id": [each.id for each in queued],
                "endpoint_id": [each.endpoint_id for each in queued],
                "event_id": [each.event_id for each in queued],
                "event": [each.event for each in queued],
            },
        )
        await _make_due(tx, org_id, {each.endpoint_id for each in queued}, now)
    return len(queued)


async def list_deliveries(tx: Tx, org_id: OrgId, endpoint_id: str, *, before: str | None, limit: int) -> list[Delivery]:
    """Newest first, from the one before the id `before`."""
    query = select(
        _delivery.id,
        _delivery.endpoint_id,
        _delivery.event,
        _delivery.status,
        _delivery.attempts,
        _delivery.last_status,
        func.nullif(_delivery.due_at, sqlalchemy.literal_column("'infinity'::timestamptz")).label("next_attempt_at"),
        _delivery.created_at,
        _delivery.delivered_at,
    ).where(_delivery.org_id == org_id, _delivery.endpoint_id == endpoint_id)
    if before is not None:
        query = query.where(_delivery.id < before)
    rows = await tx.execute(query.order_by(_delivery.id.desc()).limit(limit))
    return [Delivery(**{**row, "status": Status(row["status"])}) for row in rows.mappings()]


async def requeue(
    tx: Tx,
    org_id: OrgId,
    endpoint_id: str,
    *,
    statuses: Collection[Status],
    since: datetime | None,
    until: datetime | None,
    now: datetime,
) -> int:
    """Queue ended deliveries again as if they had never been tried, in their first order; how many."""
    await _make_due(tx, org_id, {endpoint_id}, now)
    change = update(webhook_deliveries).where(
        _delivery.org_id == org_id,
        _delivery.endpoint_id == endpoint_id,
        _delivery.status.in_([status for status in statuses if status in ENDED]),
    )
    if since is not None:
        change = change.where(_delivery.created_at >= since)
    if until is not None:
        change = change.where(_delivery.created_at < until)
    again = {
        "status": Status.PENDING,
        "attempts": 0,
        "last_status": None,
        "first_attempt_at": None,
        "due_at": now,
        "delivered_at": None,
        "ended_at": None,
    }
    return (await tx.execute(change.values(again))).rowcount


async def wake(tx: Tx, org_id: OrgId, endpoint_id: str) -> None:
    """An endpoint that is left alone because it does not answer is tried at once: a person asks for it."""
    where = (_lane.org_id == org_id, _lane.endpoint_id == endpoint_id)
    rested = {"rests_until": sqlalchemy.literal_column("'-infinity'::timestamptz"), "silent": 0}
    await tx.execute(update(webhook_lanes).where(*where).values(rested))


async def count_waiting(tx: Tx, org_id: OrgId, endpoint_id: str) -> int:
    waits = _delivery.due_at < sqlalchemy.literal_column("'infinity'::timestamptz")
    where = (_delivery.org_id == org_id, _delivery.endpoint_id == endpoint_id, waits)
    return (await tx.execute(select(func.count()).where(*where))).scalar_one()


async def prune(tx: Tx, ended_before: datetime, limit: int) -> int:
    """Delete deliveries of all organizations that ended before; how many, at most `limit`."""
    return (await tx.execute(_PRUNE, {"before": ended_before, "limit": limit})).rowcount


async def prune_events(tx: Tx, kept_before: datetime, limit: int) -> int:
    """Delete events of all organizations that no delivery is of; how many, at most `limit`."""
    return (await tx.execute(_PRUNE_EVENTS, {"before": kept_before, "limit": limit})).rowcount


async def _make_due(tx: Tx, org_id: OrgId, endpoint_ids: Collection[str], now: datetime) -> None:
    """Locked first, in the order of the key: several writers may have several lanes of an organization to set."""
    where = (_lane.org_id == org_id, _lane.endpoint_id.in_(endpoint_ids))
    await tx.execute(select(_lane.epoch).where(*where).order_by(_lane.endpoint_id).with_for_update())
    await tx.execute(update(webhook_lanes).where(*where, _lane.due_at > now).values(due_at=now))


# Each delivery's foreign keys are looked up by a plan that the session keeps. One that was made while the tables were small reads them
# whole for every row of the burst that comes then: 4,000 entries for 20 endpoints took 23 s instead of 6.
_BY_INDEX = sqlalchemy.text("SET LOCAL enable_seqscan = off")

_ADD_EVENTS = sqlalchemy.text(
    """
    INSERT INTO webhook_events (org_id, id, event, occurred_at, sealed, created_at)
    SELECT :org_id, told.*, :now FROM unnest(
        CAST(:id AS text[]), CAST(:event AS text[]), CAST(:occurred_at AS timestamptz[]), CAST(:sealed AS bytea[])
    ) AS told
    ON CONFLICT DO NOTHING
    RETURNING id
    """
)

_ADD_DELIVERIES = sqlalchemy.text(
    """
    INSERT INTO webhook_deliveries (org_id, id, endpoint_id, event_id, event, due_at, created_at)
    SELECT :org_id, told.id, told.endpoint_id, told.event_id, told.event, :now, :now FROM unnest(
        CAST(:id AS text[]), CAST(:endpoint_id AS text[]), CAST(:event_id AS text[]), CAST(:event AS text[])
    ) WITH ORDINALITY AS told (id, endpoint_id, event_id, event, place)
    ORDER BY told.place
    """
)

# Materialized: as a plain subquery the inner side of a nested loop, it would be run again for each row and pass its own limit.
_PRUNE = sqlalchemy.text(
    """
    WITH old AS MATERIALIZED (
        SELECT org_id, id FROM webhook_deliveries WHERE ended_at < :before LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM webhook_deliveries AS delivery USING old WHERE delivery.org_id = old.org_id AND delivery.id = old.id
    """
)

_PRUNE_EVENTS = sqlalchemy.text(
    """
    WITH old AS MATERIALIZED (
        SELECT org_id, id FROM webhook_events AS kept
        WHERE created_at < :before AND NOT EXISTS (
            SELECT FROM webhook_deliveries AS delivery WHERE delivery.org_id = kept.org_id AND delivery.event_id = kept.id
        )
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM webhook_events AS event USING old WHERE event.org_id = old.org_id AND event.id = old.id
    """
)
