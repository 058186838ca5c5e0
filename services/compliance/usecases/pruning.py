"""Deleting what webhooks need no more: deliveries that ended 30 days ago, their events, and secrets that sign no more."""

import asyncio

import structlog

from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database
from services.compliance.domain.webhooks import KEPT
from services.compliance.store import deliveries, webhooks

log = structlog.get_logger()

_EVERY = 600.0
"""Seconds."""
_BATCH = 1000


class Pruning:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def run(self) -> None:
        """Prune for ever."""
        while True:
            try:
                await self.prune()
            except UNAVAILABLE as error:
                log.warning("webhooks not pruned", exc_info=error)
            await asyncio.sleep(_EVERY)

    async def prune(self) -> None:
        now = self._clock.now()
        async with self._db.system_transaction() as tx:
            await webhooks.prune_secrets(tx, now)
        for prune in (deliveries.prune, deliveries.prune_events):
            pruned = _BATCH
            while pruned == _BATCH:
                async with self._db.system_transaction() as tx:
                    pruned = await prune(tx, now - KEPT, _BATCH)
