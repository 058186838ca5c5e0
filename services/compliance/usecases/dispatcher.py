"""Shares the webhook deliveries among the replicas. An endpoint's deliveries are made one after the other, by one of them.

    ──claim a lane (a lease, committed)──> its due deliveries (`courier`) ──release──>

A dispatcher that dies at any point leaves leases that run out; what it had sent without recording it is sent again under the
same id. One that was only slow, beyond its lease, may send beside its successor, and records nothing.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database
from services.compliance.store import dispatching as store
from services.compliance.usecases.courier import Courier, Turn

log = structlog.get_logger()

_LANES = 32
_LEASE = timedelta(seconds=5)
"""How late an endpoint's deliveries are after a dispatcher's death."""
_HOLD = 1.0
"""Seconds between two renewals."""
_POLL = 0.1
"""Seconds between two looks for something due."""
_FAREWELL = 1.0
"""Seconds that what is on its way has when the process ends."""


class Dispatcher:
    """One per replica. `lanes` bounds how many endpoints are sent to at once."""

    def __init__(self, db: Database, clock: Clock, courier: Courier, *, lanes: int = _LANES) -> None:
        self._db = db
        self._clock = clock
        self._courier = courier
        self._lanes = lanes
        self._running: dict[asyncio.Task[None], Turn] = {}
        self._claiming: asyncio.Task[int] | None = None
        self._turn_ended = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled. The database's failures are waited out."""
        self._stopping.clear()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hold())
                await self._look()
        finally:
            self._stopping.set()
            await self._end()

    async def _look(self) -> None:
        while True:
            self._turn_ended.clear()
            self._claiming = asyncio.create_task(self._claim())
            try:
                # Shielded: lanes that were claimed and are nobody's would wait for their leases to run out.
                claimed = await asyncio.shield(self._claiming)
            except UNAVAILABLE as error:
                log.warning("webhook dispatcher lost its database", exc_info=error)
                await asyncio.sleep(1)
                continue
            if not claimed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):
                        await self._turn_ended.wait()

    async def _claim(self) -> int:
        free = self._lanes - len(self._running)
        if not free:
            return 0
        now = self._clock.now()
        async with self._db.hot.connection() as connection:
            claimed = await store.claim(connection, now=now, until=now + _LEASE, limit=free)
        for lane in claimed:
            turn = Turn(lane, now + _LEASE, lane.silent)
            task = asyncio.create_task(self._serve(turn), name="webhook lane")
            self._running[task] = turn
            task.add_done_callback(self._ended)
        return len(claimed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._turn_ended.set()

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(_HOLD)
            turns = list(self._running.values())
            if not turns:
                continue
            until = self._clock.now() + _LEASE
            try:
                async with self._db.hot.connection() as connection:
                    held = await store.renew(connection, [turn.lane for turn in turns], until=until)
            except UNAVAILABLE as error:
                log.warning("webhook leases were not renewed", count=len(turns), exc_info=error)
                continue
            for turn in turns:
                if (turn.lane.org_id, turn.lane.endpoint_id) in held:
                    turn.leased_until = until

    async def _serve(self, turn: Turn) -> None:
        lane = turn.lane
        try:
            await self._courier.take(turn, self._stopping)
        except UNAVAILABLE as error:
            log.warning("webhook lane lost its database", org_id=lane.org_id, name=lane.endpoint_id, exc_info=error)
        except Exception as error:  # judged here: one endpoint's trouble is not the others'; its lease runs out
            log.error("webhook lane failed", org_id=lane.org_id, name=lane.endpoint_id, exc_info=error)

    async def _end(self) -> None:
        """Turns end with the delivery that is on its way; one that takes too long is left to another dispatcher."""
        if self._claiming is not None:
            await asyncio.wait({self._claiming}, timeout=_FAREWELL)
        if self._running:
            await asyncio.wait(set(self._running), timeout=_FAREWELL)
        left = set(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
