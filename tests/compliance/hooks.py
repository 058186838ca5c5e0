"""Looking into the tables of webhooks, for the tests of compliance."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.chassis.access import OrgId
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.sealing import Sealer
from services.compliance.domain.webhooks import ENDED, Status

URL = "https://93.184.215.14/hasp"
"""Of an address, so that nobody is asked for it. Nothing is sent there."""


async def rows(db: Database, statement: Any, *values: object) -> list[tuple[Any, ...]]:
    async with db.hot.connection() as connection:
        return await (await connection.execute(statement, values)).fetchall()


async def told(db: Database, sealer: Sealer, org_id: OrgId, endpoint_id: str) -> list[dict[str, Any]]:
    """The bodies that an endpoint is to be sent, in their order."""
    found = await rows(
        db,
        """SELECT event.id, event.sealed FROM webhook_deliveries AS delivery
           JOIN webhook_events AS event ON event.org_id = delivery.org_id AND event.id = delivery.event_id
           WHERE delivery.org_id = %s AND delivery.endpoint_id = %s ORDER BY delivery.arrival""",
        org_id,
        endpoint_id,
    )
    return [
        orjson.loads(await sealer.open(org_id, table="webhook_events", row=event_id, sealed=sealed))
        for event_id, sealed in found
    ]


async def secrets_of(db: Database, sealer: Sealer, org_id: OrgId, endpoint_id: str) -> list[str]:
    """Newest first."""
    found = await rows(
        db,
        "SELECT id, sealed FROM webhook_secrets WHERE org_id = %s AND endpoint_id = %s ORDER BY id DESC",
        org_id,
        endpoint_id,
    )
    return [
        (await sealer.open(org_id, table="webhook_secrets", row=f"{endpoint_id}/{secret_id}", sealed=sealed)).decode()
        for secret_id, sealed in found
    ]


async def end_all(db: Database, clock: Clock, outcomes: Mapping[str, Status]) -> None:
    """As if each had been tried once, now, with this outcome."""
    now = clock.now()
    for delivery_id, status in outcomes.items():
        delivered = now if status is Status.DELIVERED else None
        changed = await rows(
            db,
            """UPDATE webhook_deliveries SET status = %s, attempts = 1, last_status = 503, first_attempt_at = %s, delivered_at = %s,
               due_at = CASE WHEN %s THEN 'infinity' ELSE %s + interval '10 seconds' END, ended_at = %s
               WHERE id = %s RETURNING 1""",
            status.value,
            now,
            delivered,
            status in ENDED,
            now,
            now if status in ENDED else None,
            delivery_id,
        )
        assert changed == [(1,)]
