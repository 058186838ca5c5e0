"""Webhook endpoints of an organization: registering them, their secrets, and what was delivered to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.chassis.access import OrgId, Principal
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.sealing import Sealer
from services.chassis.ulids import is_ulid, new_ulid
from services.compliance.domain.event_names import TEST
from services.compliance.domain.webhooks import (
    ENDED,
    MAX_ENDPOINTS,
    MAX_SECRETS,
    OVERLAP,
    Delivery,
    Endpoint,
    Occurrence,
    Status,
    WantedEndpoint,
    new_secret,
    registered,
)
from services.compliance.store import deliveries
from services.compliance.store import webhooks as store
from services.compliance.usecases.telling import prepare


class Destinations(Protocol):
    async def check(self, url: str) -> None:
        """Raises ValidationFailed for a URL that webhooks are not sent to."""
        ...


@dataclass(frozen=True, slots=True)
class Issued:
    """An endpoint and its secret, which nobody can read again."""

    endpoint: Endpoint
    secret: str


@dataclass(frozen=True, slots=True)
class Again:
    """Which ended deliveries are to be replayed: those made in this time, all where there is none. Raises ValidationFailed."""

    since: datetime | None = None
    """Inclusive."""
    until: datetime | None = None
    """Exclusive."""
    status: Status | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValidationFailed("It is later than since.", param="until")


class Webhooks:
    def __init__(self, db: Database, clock: Clock, trail: Trail, sealer: Sealer, destinations: Destinations) -> None:
        self._db = db
        self._clock = clock
        self._trail = trail
        self._sealer = sealer
        self._destinations = destinations

    async def list(self, caller: Principal, *, before: str | None, limit: int) -> Sequence[Endpoint]:
        """Newest first, from the one before the id `before`."""
        async with self._db.transaction(caller.org_id) as tx:
            return await store.list_endpoints(tx, caller.org_id, before=before, limit=limit)

    async def create(self, caller: Principal, wanted: WantedEndpoint) -> Issued:
        """What happens from now on is delivered. Raises ValidationFailed."""
        await self._destinations.check(wanted.url)
        org_id, endpoint_id = caller.org_id, new_ulid(self._clock)
        secret, secret_id, sealed = await self._new_secret(org_id, endpoint_id)
        async with self._db.transaction(org_id) as tx:
            await store.open_position(tx, org_id)
            if await store.count_endpoints(tx, org_id) >= MAX_ENDPOINTS:
                raise ValidationFailed(f"An organization has at most {MAX_ENDPOINTS} webhook endpoints.")
            endpoint = Endpoint(
                id=endpoint_id,
                app_id=wanted.app_id,
                url=wanted.url,
                events=wanted.events,
                description=wanted.description,
                is_active=True,
                # Read while nobody turns entries into deliveries: none that is later can have been passed by.
                created_at=registered(self._clock.now()),
            )
            await store.add_endpoint(tx, org_id, endpoint)
            await store.add_secret(tx, org_id, endpoint_id, secret_id, sealed)
            await self._record(tx, org_id, "webhook.created", endpoint_id, {"events": list(wanted.events)})
        return Issued(endpoint, secret)

    async def delete(self, caller: Principal, endpoint_id: str) -> datetime:
        """What waits for it is dropped. When it was deleted. Raises ResourceNotFound."""
        now = self._clock.now()
        async with self._db.transaction(caller.org_id) as tx:
            await self._lock(tx, caller.org_id, endpoint_id)
            dropped = await deliveries.count_waiting(tx, caller.org_id, endpoint_id)
            await store.delete_endpoint(tx, caller.org_id, endpoint_id)
            await self._record(tx, caller.org_id, "webhook.deleted", endpoint_id, {"dropped_deliveries": dropped})
        return now

    async def rotate_secret(self, caller: Principal, endpoint_id: str) -> Issued:
        """A new secret signs; those before it sign beside it for seven days. Raises ResourceNotFound, ValidationFailed."""
        if not is_ulid(endpoint_id):
            raise _unknown()
        org_id = caller.org_id
        secret, secret_id, sealed = await self._new_secret(org_id, endpoint_id)
        async with self._db.transaction(org_id) as tx:
            endpoint = await self._lock(tx, org_id, endpoint_id)
            now = self._clock.now()
            if await store.count_secrets(tx, org_id, endpoint_id, now) >= MAX_SECRETS:
                raise ValidationFailed(
                    f"{MAX_SECRETS} secrets sign already. The oldest ends seven days after its rotation."
                )
            await store.retire_secrets(tx, org_id, endpoint_id, now + OVERLAP)
            await store.add_secret(tx, org_id, endpoint_id, secret_id, sealed)
            await self._record(tx, org_id, "webhook.secret_rotated", endpoint_id)
        return Issued(endpoint, secret)

    async def test(self, caller: Principal, endpoint_id: str) -> Delivery:
        """Queue an event for this endpoint alone, whatever it is subscribed to and even when it is disabled. Raises ResourceNotFound."""
        if not is_ulid(endpoint_id):
            raise _unknown()
        org_id, now = caller.org_id, self._clock.now()
        occurrence = Occurrence(new_ulid(self._clock), TEST, now, {"endpoint_id": endpoint_id}, entity_key=endpoint_id)
        told, addressed = await prepare(self._sealer, self._clock, org_id, [(occurrence, endpoint_id)])
        async with self._db.transaction(org_id) as tx:
            await self._lock(tx, org_id, endpoint_id, shared=True)
            await deliveries.add(tx, org_id, told, addressed, now)
            await deliveries.wake(tx, org_id, endpoint_id)
        return Delivery(
            id=addressed[0].id,
            endpoint_id=endpoint_id,
            event=TEST,
            status=Status.PENDING,
            attempts=0,
            last_status=None,
            next_attempt_at=now,
            created_at=now,
            delivered_at=None,
        )

    async def list_deliveries(
        self, caller: Principal, endpoint_id: str, *, before: str | None, limit: int
    ) -> Sequence[Delivery]:
        """Newest first, from the one before the id `before`. Raises ResourceNotFound."""
        async with self._db.transaction(caller.org_id) as tx:
            if not is_ulid(endpoint_id) or await store.find_endpoint(tx, caller.org_id, endpoint_id) is None:
                raise _unknown()
            return await deliveries.list_deliveries(tx, caller.org_id, endpoint_id, before=before, limit=limit)

    async def replay(self, caller: Principal, endpoint_id: str, again: Again) -> int:
        """Queue ended deliveries again, with their first ids and in their first order; how many. Raises ResourceNotFound, ValidationFailed."""
        org_id = caller.org_id
        async with self._db.transaction(org_id) as tx:
            endpoint = await self._lock(tx, org_id, endpoint_id, shared=True)
            if not endpoint.is_active:
                raise ValidationFailed(
                    "The endpoint is disabled. It is active again when a test event was delivered to it.",
                    param="endpoint_id",
                )
            statuses = ENDED if again.status is None else (again.status,)
            count = await deliveries.requeue(
                tx,
                org_id,
                endpoint_id,
                statuses=statuses,
                since=again.since,
                until=again.until,
                now=self._clock.now(),
            )
            await deliveries.wake(tx, org_id, endpoint_id)
            await self._record(tx, org_id, "webhook.replayed", endpoint_id, {"count": count})
        return count

    async def _new_secret(self, org_id: OrgId, endpoint_id: str) -> tuple[str, str, bytes]:
        """The secret, its id, and it sealed."""
        secret, secret_id = new_secret(), new_ulid(self._clock)
        sealed = await self._sealer.seal(
            org_id, table="webhook_secrets", row=f"{endpoint_id}/{secret_id}", plaintext=secret.encode()
        )
        return secret, secret_id, sealed

    async def _lock(self, tx: Tx, org_id: OrgId, endpoint_id: str, *, shared: bool = False) -> Endpoint:
        known = is_ulid(endpoint_id)
        found = await store.lock_endpoint(tx, org_id, endpoint_id, shared=shared) if known else None
        if found is None:
            raise _unknown()
        return found

    async def _record(
        self, tx: Tx, org_id: OrgId, action: str, endpoint_id: str, metadata: Mapping[str, object] | None = None
    ) -> None:
        await self._trail.record(
            tx, org_id=org_id, action=action, entity_type="webhook", entity_id=endpoint_id, metadata=metadata
        )


def _unknown() -> ResourceNotFound:
    return ResourceNotFound("There is no such webhook endpoint.")
