"""`retention_days`: what was said is forgotten after so many days; that it was said, and what it cost, is not."""

import asyncio

import structlog

from services.chassis import database
from services.chassis.database import Database
from services.inference.store import retention

log = structlog.get_logger()

_MOST = 500


class Retention:
    """`every`: seconds between two rounds. Any replica may run it at any time."""

    def __init__(self, db: Database, *, every: float = 6 * 3600) -> None:
        self._db = db
        self._every = every

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.forget()
            except database.UNAVAILABLE as error:
                log.warning("old contents were not forgotten", exc_info=error)
            await asyncio.sleep(self._every)

    async def forget(self) -> int:
        """One round over all organizations; how many records lost their contents."""
        total = 0
        for org_id, before in await retention.horizons(self._db):
            emptied = _MOST
            while emptied == _MOST:
                emptied = await retention.forget(self._db, org_id, before, _MOST)
                total += emptied
        return total
