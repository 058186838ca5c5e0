"""Endpoints and waiting deliveries, put where the dispatcher finds them."""

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.chassis.access import OrgId
from services.chassis.clock import Clock, SystemClock
from services.chassis.database import Database
from services.chassis.sealing import Sealer
from services.chassis.ulids import new_ulid


@dataclass(frozen=True, slots=True)
class Endpoint:
    org_id: OrgId
    id: str
    secret: str


class Outbox:
    """Adds rows as registrations and events add them."""

    def __init__(self, db: Database, clock: Clock, sealer: Sealer) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer

    async def endpoint(
        self, org_id: OrgId, url: str, *, is_active: bool = True, failing_since: datetime | None = None
    ) -> Endpoint:
        endpoint_id = new_ulid(self._clock)
        async with self._db.hot.connection() as connection:
            await connection.execute(
                "INSERT INTO webhook_endpoints (org_id, id, url, events, is_active, failing_since, created_at)"
                " VALUES (%s, %s, %s, '{*}', %s, %s, %s)",
                (org_id, endpoint_id, url, is_active, failing_since, self._clock.now()),
            )
            await connection.execute(
                "INSERT INTO webhook_lanes (org_id, endpoint_id) VALUES (%s, %s)", (org_id, endpoint_id)
            )
        return Endpoint(org_id, endpoint_id, await self.secret(org_id, endpoint_id))

    async def secret(self, org_id: OrgId, endpoint_id: str, *, former_for: timedelta | None = None) -> str:
        """A new one; those before it count for so long."""
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        secret_id = new_ulid(SystemClock())
        sealed = await self._sealer.seal(
            org_id, table="webhook_secrets", row=f"{endpoint_id}/{secret_id}", plaintext=secret.encode()
        )
        async with self._db.hot.connection() as connection:
            if former_for is not None:
                await connection.execute(
                    "UPDATE webhook_secrets SET expires_at = %s WHERE endpoint_id = %s AND expires_at IS NULL",
                    (self._clock.now() + former_for, endpoint_id),
                )
            await connection.execute(
                "INSERT INTO webhook_secrets (org_id, endpoint_id, id, sealed) VALUES (%s, %s, %s, %s)",
                (org_id, endpoint_id, secret_id, sealed),
            )
        return secret

    async def tell(self, endpoint: Endpoint, many: int = 1, *, event: str = "api_key.created") -> list[str]:
        """Ids of new deliveries, in the order in which they are to be made."""
        now = self._clock.now()
        told = [(new_ulid(SystemClock()), new_ulid(SystemClock())) for _ in range(many)]
        async with self._db.hot.connection() as connection, connection.transaction():
            for delivery_id, event_id in told:
                sealed = await self._sealer.seal(
                    endpoint.org_id, table="webhook_events", row=event_id, plaintext=body(event_id, event)
                )
                await connection.execute(
                    "INSERT INTO webhook_events (org_id, id, event, occurred_at, sealed, created_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    (endpoint.org_id, event_id, event, now, sealed, now),
                )
                await connection.execute(
                    "INSERT INTO webhook_deliveries (org_id, id, endpoint_id, event_id, event, due_at, created_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    (endpoint.org_id, delivery_id, endpoint.id, event_id, event, now, now),
                )
            await connection.execute(
                "UPDATE webhook_lanes SET due_at = least(due_at, %s) WHERE endpoint_id = %s", (now, endpoint.id)
            )
        return [delivery_id for delivery_id, _ in told]

    async def rows(self, statement: Any, *parameters: object) -> Sequence[tuple[Any, ...]]:
        async with self._db.hot.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def standing(self, delivery_id: str) -> tuple[Any, ...]:
        """status, attempts, last_status, when it is due again."""
        (row,) = await self.rows(
            "SELECT status, attempts, last_status, nullif(due_at, 'infinity') FROM webhook_deliveries WHERE id = %s",
            delivery_id,
        )
        return row


def body(event_id: str, event: str) -> bytes:
    return json.dumps({"id": event_id, "event": event}).encode()
