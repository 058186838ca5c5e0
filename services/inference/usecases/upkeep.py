"""What a process does for the table of records while it lives: it says that it is alive, and makes room for the months to come."""

import asyncio
from datetime import timedelta

import structlog

from services.chassis import database
from services.chassis.database import Database
from services.inference.store import owners

log = structlog.get_logger()

LEASE = timedelta(seconds=15)
_RENEW_EVERY = 3.0
_PRUNE_EVERY = 3600.0


class Upkeep:
    def __init__(self, db: Database, *, owner_id: str) -> None:
        self._db = db
        self._owner_id = owner_id

    async def begin(self) -> None:
        """The lease stands before the first request can: its record must never look abandoned."""
        await owners.renew(self._db, self._owner_id, LEASE)

    async def end(self) -> None:
        """Nothing runs here any more; what does all the same is for the others to end, at once."""
        await owners.leave(self._db, self._owner_id)

    async def keep_lease(self) -> None:
        """Tell the other replicas that this process is alive, until cancelled."""
        while True:
            try:
                await owners.renew(self._db, self._owner_id, LEASE)
            except database.UNAVAILABLE as error:
                log.warning("the owner's lease was not renewed", exc_info=error)
                await asyncio.sleep(0.2)
                continue
            await asyncio.sleep(_RENEW_EVERY)

    async def keep_partitions(self) -> None:
        """Make the tables of the coming months, until cancelled."""
        while True:
            try:
                await owners.make_partitions(self._db)
                await owners.prune(self._db)
            except database.UNAVAILABLE as error:
                log.warning("partitions were not made", exc_info=error)
            await asyncio.sleep(_PRUNE_EVERY)
