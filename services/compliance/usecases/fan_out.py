"""From the audit log to deliveries: every entry that has its place is looked at once, in order, and queued for who wants it.

The position moves in the transaction that queues. A replica that dies on the way has done nothing; one that comes second finds the
position moved. Any number of replicas work, each on whichever organizations the others are not at.
"""

import asyncio
import random
import time

import psycopg
import structlog

from services.chassis.access import OrgId
from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database
from services.chassis.sealing import Sealer
from services.compliance.domain.webhooks import audited
from services.compliance.store import deliveries, webhooks
from services.compliance.store import fan_out as store
from services.compliance.usecases.telling import addressees, prepare

log = structlog.get_logger()

_PAUSE = 0.1
"""Seconds between two looks."""
_ENTRIES = 250
_DELIVERIES = 2500
"""At most, of one transaction. Choosing and writing them takes tens of milliseconds of the process."""
_REST = 30.0
"""Seconds before an organization is tried again whose turn failed."""


class FanOut:
    def __init__(self, db: Database, clock: Clock, sealer: Sealer) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._seen: int | None = None
        self._behind: list[OrgId] = []
        self._resting: dict[OrgId, float] = {}

    async def run(self) -> None:
        """Queue deliveries until cancelled. The database's failures are waited out."""
        while True:
            try:
                more = await self.look()
            except UNAVAILABLE as error:
                log.warning("fan-out lost its database", exc_info=error)
                await asyncio.sleep(1)
                continue
            if not more:
                await asyncio.sleep(_PAUSE)

    async def look(self) -> bool:
        """A page of each organization that is behind; whether there is more to do at once."""
        async with self._db.hot.connection() as connection:
            await self._find_behind(connection)
        # Replicas do not all begin with the same one, and each has its turn before any has a second.
        random.shuffle(self._behind)
        return any([await self._turn_of(org_id) for org_id in self._behind])

    async def _find_behind(self, connection: psycopg.AsyncConnection) -> None:
        # No tree grows without the log of logs, and a position that is made meanwhile starts where its tree ends.
        size = await store.log_size(connection)
        if self._seen is None:
            self._behind = await store.behind(connection)
        elif size != self._seen or self._behind:
            among = {*self._behind, *await store.grown(connection, self._seen, size)}
            self._behind = await store.behind(connection, among) if among else []
        self._seen = size

    async def _turn_of(self, org_id: OrgId) -> bool:
        """One organization does not hold up the others."""
        if time.monotonic() < self._resting.get(org_id, 0.0):
            return False
        self._resting.pop(org_id, None)
        try:
            return await self._advance(org_id)
        except UNAVAILABLE:
            raise
        except Exception as error:
            log.error("fan-out failed", org_id=org_id, exc_info=error)
            self._resting[org_id] = time.monotonic() + _REST
            return False

    async def _advance(self, org_id: OrgId) -> bool:
        """Whether there is more of it."""
        async with self._db.transaction(org_id) as tx:
            stretch = await store.next_stretch(tx, org_id, entries=_ENTRIES, deliveries=_DELIVERIES)
        if stretch is None:
            return False
        chosen = addressees(map(audited, stretch.entries), stretch.endpoints)
        told, addressed = await prepare(self._sealer, self._clock, org_id, chosen)
        async with self._db.transaction(org_id) as tx:
            if not await store.take(tx, org_id, stretch.first):
                return False
            if await webhooks.active_endpoints(tx, org_id, lock=True) != stretch.endpoints:
                return True  # one came or went since: choose again
            await deliveries.add(tx, org_id, told, addressed, self._clock.now())
            await store.advance(tx, org_id, stretch.end)
        return stretch.end < stretch.size
