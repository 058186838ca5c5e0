"""Events that internal callers publish to an organization's webhooks."""

from collections.abc import Sequence

from services.chassis.access import Principal
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import ValidationFailed
from services.chassis.sealing import Sealer
from services.chassis.ulids import is_ulid
from services.compliance.domain.webhooks import MAX_BODY, Occurrence
from services.compliance.store import deliveries, webhooks
from services.compliance.usecases.telling import addressees, prepare


class Publishing:
    def __init__(self, db: Database, clock: Clock, sealer: Sealer) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer

    async def publish(self, caller: Principal, occurrences: Sequence[Occurrence]) -> None:
        """Queue each event once by its id, in the order told; durable when it returns. Raises ValidationFailed and queues none."""
        for number, occurrence in enumerate(occurrences):
            if not is_ulid(occurrence.id):
                raise ValidationFailed("An event's id is a ULID.", param=f"events[{number}].id")
            if len(occurrence.body()) > MAX_BODY:
                raise ValidationFailed(f"An event has at most {MAX_BODY} bytes.", param=f"events[{number}].data")
        first = {occurrence.id: occurrence for occurrence in reversed(occurrences)}
        distinct = [occurrence for occurrence in occurrences if first[occurrence.id] is occurrence]
        while not await self._queue(caller, distinct):
            pass

    async def _queue(self, caller: Principal, occurrences: Sequence[Occurrence]) -> bool:
        """False when an endpoint came or went in between: then the choice has to be made again."""
        org_id = caller.org_id
        async with self._db.transaction(org_id) as tx:
            endpoints = await webhooks.active_endpoints(tx, org_id)
        chosen = addressees(occurrences, endpoints)
        if not chosen:
            return True
        told, addressed = await prepare(self._sealer, self._clock, org_id, chosen)
        async with self._db.transaction(org_id) as tx:
            if await webhooks.active_endpoints(tx, org_id, lock=True) != endpoints:
                return False
            await deliveries.add(tx, org_id, told, addressed, self._clock.now())
        return True
