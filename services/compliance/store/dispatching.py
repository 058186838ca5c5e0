"""The dispatcher's statements. A lane is an endpoint's deliveries; a lease on it says who makes them, one after the other.

The lease runs out by itself when its holder dies. Each claim has another epoch, and what is written for a claim is written
only while the lane is still at its epoch.

`prepare=False`: a plan that was made while nothing waited would be kept, and read whole tables for each delivery of a burst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.domain.deliveries import Outcome
from services.compliance.domain.event_names import TEST


@dataclass(frozen=True, slots=True)
class Lane:
    """A claimed lane. `silent` counts the tries in a row, before this claim, that had no answer."""

    org_id: OrgId
    endpoint_id: str
    epoch: int
    silent: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be sent, and what is known of its endpoint at this moment."""

    id: str
    event_id: str
    event: str
    attempts: int
    last_status: int | None
    first_attempt_at: datetime | None
    sealed: bytes
    url: str
    is_active: bool
    failing_since: datetime | None
    secret_ids: Sequence[str]
    """Of the secrets that count, newest first."""
    sealed_secrets: Sequence[bytes]

    @property
    def is_test(self) -> bool:
        """Is sent to a disabled endpoint too, and makes it active again when it arrives."""
        return self.event == TEST


async def claim(connection: psycopg.AsyncConnection, *, now: datetime, until: datetime, limit: int) -> list[Lane]:
    """Lanes that have something due and are nobody's, the longest waiting first."""
    # Mostly nothing is due, and a look is cheaper than a transaction that writes.
    if await (await connection.execute(_READY, {"now": now})).fetchone() is None:
        return []
    cursor = connection.cursor(row_factory=class_row(Lane))
    await cursor.execute(_CLAIM, {"now": now, "until": until, "limit": limit}, prepare=False)
    return await cursor.fetchall()


async def renew(connection: psycopg.AsyncConnection, lanes: Sequence[Lane], *, until: datetime) -> set[tuple[str, str]]:
    """Keep those that are still held; which they are, as (org_id, endpoint_id). One that somebody writes to now is left for the next time."""
    held = {
        "org_ids": [lane.org_id for lane in lanes],
        "endpoint_ids": [lane.endpoint_id for lane in lanes],
        "epochs": [lane.epoch for lane in lanes],
    }
    cursor = await connection.execute(_RENEW, {**held, "until": until})
    return set(await cursor.fetchall())


async def due(connection: psycopg.AsyncConnection, lane: Lane, *, now: datetime, limit: int) -> list[str]:
    """Ids of the lane's due deliveries, in the order in which they are made."""
    cursor = await connection.execute(_DUE, _of(lane, now=now, limit=limit), prepare=False)
    return [row[0] for row in await cursor.fetchall()]


async def find(connection: psycopg.AsyncConnection, lane: Lane, delivery_id: str, *, now: datetime) -> Delivery | None:
    """None when it is not due any more: it was deleted with its endpoint, or the lane was lost."""
    cursor = connection.cursor(row_factory=class_row(Delivery), binary=True)
    await cursor.execute(_FIND, _of(lane, id=delivery_id, now=now), prepare=False)
    return await cursor.fetchone()


async def record(
    connection: psycopg.AsyncConnection,
    lane: Lane,
    delivery_id: str,
    outcome: Outcome,
    *,
    failed_at: datetime | None,
) -> bool:
    """Write what became of a try, and where its endpoint stands; `failed_at` is None when it was delivered. False when the lane was lost."""
    parameters = _of(lane, id=delivery_id, failed_at=failed_at, **_written(outcome))
    cursor = await connection.execute(_RECORD, parameters, prepare=False)
    return cursor.rowcount == 1


async def record_in(tx: Tx, lane: Lane, delivery_id: str, outcome: Outcome) -> bool:
    """As record, of the delivery alone. Endpoint and lane stay locked until `tx` ends."""
    # In the order in which whoever adds deliveries locks them.
    await tx.exec_driver_sql(_LOCK_ENDPOINT, _of(lane))
    if (await tx.exec_driver_sql(_LOCK, _of(lane))).first() is None:
        return False
    written = await tx.exec_driver_sql(_RECORD_ALONE, _of(lane, id=delivery_id, **_written(outcome)))
    return written.rowcount == 1


async def disable(tx: Tx, lane: Lane) -> bool:
    """False when it is not active, or is gone."""
    return (await tx.exec_driver_sql(_DISABLE, _of(lane))).rowcount == 1


async def enable(tx: Tx, lane: Lane) -> bool:
    """False when it is active already, or is gone."""
    return (await tx.exec_driver_sql(_ENABLE, _of(lane))).rowcount == 1


async def bury(tx: Tx, lane: Lane, now: datetime) -> int:
    """Make dead what waits for the endpoint, but for tests; how many. None when the lane was lost."""
    return (await tx.exec_driver_sql(_BURY, _of(lane, now=now))).rowcount


async def release(
    connection: psycopg.AsyncConnection, lane: Lane, *, now: datetime, silent: int, rests_until: datetime | None
) -> None:
    """Let go. What is due is due from `now`: lanes take turns. One that was woken since its claim does not rest."""
    # Locked first: then every delivery whose writer has told the lane is seen by the second statement, and the others tell it afterwards.
    async with connection.transaction():
        await connection.execute(_LOCK, _of(lane))
        await connection.execute(
            _RELEASE, _of(lane, now=now, was=lane.silent, silent=silent, rests_until=rests_until), prepare=False
        )


def _written(outcome: Outcome) -> Mapping[str, object]:
    return asdict(outcome) | {"delivered_at": outcome.delivered_at}


def _of(lane: Lane, **parameters: object) -> Mapping[str, object]:
    return {
        "org_id": lane.org_id,
        "endpoint_id": lane.endpoint_id,
        "epoch": lane.epoch,
        "test_event": TEST,
        **parameters,
    }


_READY: LiteralString = (
    "SELECT 1 FROM webhook_lanes WHERE greatest(due_at, leased_until, rests_until) <= %(now)s LIMIT 1"
)

# Materialized: as a plain subquery the inner side of a nested loop, it would be run again for each row and pass its own limit.
_CLAIM: LiteralString = """
WITH ready AS MATERIALIZED (
    SELECT org_id, endpoint_id FROM webhook_lanes
    WHERE greatest(due_at, leased_until, rests_until) <= %(now)s
    ORDER BY greatest(due_at, leased_until, rests_until) LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE webhook_lanes AS lane SET leased_until = %(until)s, epoch = lane.epoch + 1
FROM ready WHERE lane.org_id = ready.org_id AND lane.endpoint_id = ready.endpoint_id
RETURNING lane.org_id, lane.endpoint_id, lane.epoch, lane.silent
"""

# A lane that was let go has no lease to keep.
_RENEW: LiteralString = """
WITH held AS MATERIALIZED (
    SELECT lane.org_id, lane.endpoint_id
    FROM unnest(%(org_ids)s::text[], %(endpoint_ids)s::text[], %(epochs)s::bigint[]) AS claim (org_id, endpoint_id, epoch)
    JOIN webhook_lanes AS lane ON lane.org_id = claim.org_id AND lane.endpoint_id = claim.endpoint_id AND lane.epoch = claim.epoch
    WHERE lane.leased_until > '-infinity' FOR UPDATE OF lane SKIP LOCKED
)
UPDATE webhook_lanes AS lane SET leased_until = %(until)s
FROM held WHERE lane.org_id = held.org_id AND lane.endpoint_id = held.endpoint_id
RETURNING lane.org_id, lane.endpoint_id
"""

_LOCK_ENDPOINT: LiteralString = """
SELECT 1 FROM webhook_endpoints WHERE org_id = %(org_id)s AND id = %(endpoint_id)s FOR NO KEY UPDATE
"""

_LOCK: LiteralString = """
SELECT 1 FROM webhook_lanes
WHERE org_id = %(org_id)s AND endpoint_id = %(endpoint_id)s AND epoch = %(epoch)s FOR UPDATE
"""

_DUE: LiteralString = """
SELECT id FROM webhook_deliveries
WHERE org_id = %(org_id)s AND endpoint_id = %(endpoint_id)s AND due_at <= %(now)s AND due_at < 'infinity'
ORDER BY arrival LIMIT %(limit)s
"""

_FIND: LiteralString = """
SELECT delivery.id, delivery.event_id, delivery.event, delivery.attempts, delivery.last_status, delivery.first_attempt_at,
    event.sealed, endpoint.url, endpoint.is_active, endpoint.failing_since,
    coalesce(secrets.ids, '{}') AS secret_ids, coalesce(secrets.sealed, '{}') AS sealed_secrets
FROM webhook_lanes AS lane
JOIN webhook_endpoints AS endpoint ON endpoint.org_id = lane.org_id AND endpoint.id = lane.endpoint_id
JOIN webhook_deliveries AS delivery ON delivery.org_id = lane.org_id AND delivery.endpoint_id = lane.endpoint_id
JOIN webhook_events AS event ON event.org_id = lane.org_id AND event.id = delivery.event_id
CROSS JOIN LATERAL (
    SELECT array_agg(id ORDER BY expires_at DESC NULLS FIRST, id DESC) AS ids,
        array_agg(secret.sealed ORDER BY expires_at DESC NULLS FIRST, id DESC) AS sealed
    FROM webhook_secrets AS secret
    WHERE secret.org_id = lane.org_id AND secret.endpoint_id = lane.endpoint_id
      AND (expires_at IS NULL OR expires_at > %(now)s)
) AS secrets
WHERE lane.org_id = %(org_id)s AND lane.endpoint_id = %(endpoint_id)s AND lane.epoch = %(epoch)s
  AND delivery.id = %(id)s AND delivery.due_at <= %(now)s
"""

# What nothing reads is run last: joined, the endpoint is written before the delivery, in the order in which a deletion locks them.
_RECORD: LiteralString = """
WITH lane AS (
    SELECT org_id, endpoint_id FROM webhook_lanes
    WHERE org_id = %(org_id)s AND endpoint_id = %(endpoint_id)s AND epoch = %(epoch)s
),
standing AS (
    UPDATE webhook_endpoints AS endpoint SET failing_since = %(failed_at)s FROM lane
    WHERE endpoint.org_id = lane.org_id AND endpoint.id = lane.endpoint_id
      AND (endpoint.failing_since IS NULL) = (%(failed_at)s::timestamptz IS NOT NULL)
    RETURNING endpoint.id
)
UPDATE webhook_deliveries AS delivery
SET status = %(status)s, attempts = %(attempts)s, last_status = %(last_status)s, first_attempt_at = %(first_attempt_at)s,
    due_at = coalesce(%(due_at)s::timestamptz, 'infinity'), delivered_at = %(delivered_at)s, ended_at = %(ended_at)s
FROM lane LEFT JOIN standing ON true
WHERE delivery.org_id = lane.org_id AND delivery.endpoint_id = lane.endpoint_id AND delivery.id = %(id)s
"""

_RECORD_ALONE: LiteralString = """
UPDATE webhook_deliveries
SET status = %(status)s, attempts = %(attempts)s, last_status = %(last_status)s, first_attempt_at = %(first_attempt_at)s,
    due_at = coalesce(%(due_at)s::timestamptz, 'infinity'), delivered_at = %(delivered_at)s, ended_at = %(ended_at)s
WHERE org_id = %(org_id)s AND endpoint_id = %(endpoint_id)s AND id = %(id)s
"""

_DISABLE: LiteralString = """
UPDATE webhook_endpoints SET is_active = false
WHERE org_id = %(org_id)s AND id = %(endpoint_id)s AND is_active
"""

_ENABLE: LiteralString = """
UPDATE webhook_endpoints SET is_active = true, failing_since = NULL
WHERE org_id = %(org_id)s AND id = %(endpoint_id)s AND NOT is_active
"""

_BURY: LiteralString = """
UPDATE webhook_deliveries AS delivery SET status = 'dead', due_at = 'infinity', ended_at = %(now)s
FROM webhook_lanes AS lane
WHERE lane.org_id = %(org_id)s AND lane.endpoint_id = %(endpoint_id)s AND lane.epoch = %(epoch)s
  AND delivery.org_id = lane.org_id AND delivery.endpoint_id = lane.endpoint_id
  AND delivery.due_at < 'infinity' AND delivery.event <> %(test_event)s
"""

_RELEASE: LiteralString = """
UPDATE webhook_lanes AS lane
SET due_at = greatest(waiting.due_at, %(now)s), leased_until = '-infinity',
    silent = CASE WHEN lane.silent = %(was)s THEN %(silent)s ELSE 0 END,
    rests_until = CASE WHEN lane.silent = %(was)s THEN coalesce(%(rests_until)s::timestamptz, '-infinity') ELSE '-infinity' END
FROM (
    SELECT coalesce(min(due_at), 'infinity') AS due_at FROM webhook_deliveries
    WHERE org_id = %(org_id)s AND endpoint_id = %(endpoint_id)s AND due_at < 'infinity'
) AS waiting
WHERE lane.org_id = %(org_id)s AND lane.endpoint_id = %(endpoint_id)s AND lane.epoch = %(epoch)s
"""
