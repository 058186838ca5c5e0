"""From something that happened to deliveries that are ready to be written."""

import asyncio
from collections.abc import Iterable, Sequence

from services.chassis.access import OrgId
from services.chassis.clock import Clock
from services.chassis.sealing import Sealer
from services.chassis.ulids import new_ulid
from services.compliance.domain.webhooks import Audience, Endpoint, Occurrence
from services.compliance.store.deliveries import Addressed, Told

Addressee = tuple[Occurrence, str]
"""What is told, and the id of the endpoint."""


def addressees(occurrences: Iterable[Occurrence], endpoints: Sequence[Endpoint]) -> list[Addressee]:
    """In the order of the occurrences."""
    audience = Audience(endpoints)
    return [(occurrence, endpoint_id) for occurrence in occurrences for endpoint_id in audience.of(occurrence)]


async def prepare(
    sealer: Sealer, clock: Clock, org_id: OrgId, chosen: Sequence[Addressee]
) -> tuple[list[Told], list[Addressed]]:
    """Bodies are sealed before there is a transaction: that may ask a key management service."""
    told: dict[str, Told] = {}
    for occurrence, _ in chosen:
        if occurrence.key not in told:
            told[occurrence.key] = await _seal(sealer, org_id, occurrence)
            await asyncio.sleep(0)  # a page is tens of milliseconds of work: others have their turn in between
    # Sorted: lists show newer ids first, and these are of one millisecond.
    ids = sorted(new_ulid(clock) for _ in chosen)
    addressed = [
        Addressed(id=delivery_id, endpoint_id=endpoint_id, event_id=occurrence.key, event=occurrence.event)
        for delivery_id, (occurrence, endpoint_id) in zip(ids, chosen, strict=True)
    ]
    return list(told.values()), addressed


async def _seal(sealer: Sealer, org_id: OrgId, occurrence: Occurrence) -> Told:
    sealed = await sealer.seal(org_id, table="webhook_events", row=occurrence.key, plaintext=occurrence.body())
    return Told(id=occurrence.key, event=occurrence.event, occurred_at=occurrence.at, sealed=sealed)
