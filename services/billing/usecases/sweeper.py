"""The sweeper: what has to happen although nobody calls. Any replica may run it at any time."""

from __future__ import annotations

import asyncio

import structlog

from services.billing.store import metering as store
from services.billing.usecases.accounts import Accounts
from services.chassis.clock import Clock
from services.chassis.database import Database

log = structlog.get_logger()


class Sweeper:
    def __init__(self, db: Database, clock: Clock, accounts: Accounts) -> None:
        self._db = db
        self._clock = clock
        self._accounts = accounts

    async def expire(self, limit: int = 500) -> int:
        """End reservations that nobody renewed or settled for ten minutes; how many. A settlement is still accepted afterwards."""
        async with self._db.hot.connection() as connection:
            found = await store.expired(connection, at=self._clock.now(), limit=limit)
            if not found:
                return 0
            ended = await store.release(connection, found, expired=True, at=self._clock.now())
        log.warning("reservations expired", count=ended)
        return ended

    async def tidy(self) -> None:
        """Forget empty rate windows and make the partitions of the months to come."""
        async with self._db.hot.connection() as connection:
            await store.prune_windows(connection, at=self._clock.now(), limit=10_000)
            await store.make_partitions(connection, at=self._clock.now())

    async def run(self) -> None:
        """Sweep for ever: expired reservations and accounts whose cycle is over every five seconds, the rest every hour."""
        while True:
            await self.tidy()
            for _ in range(720):
                while await self.expire():
                    pass
                while await self._accounts.roll_overdue():
                    pass
                await asyncio.sleep(5)
