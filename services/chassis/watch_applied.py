"""How far the watchers of every replica have come: written by the replica that serves them, read by whichever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from services.chassis import watch_store as store
from services.chassis.batching import Batcher
from services.chassis.database import UNAVAILABLE, Database

_POLL = 0.02

log = structlog.get_logger()


class Applied:
    """The seq up to which each watcher has applied the changes."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._slowest: Batcher[None, int | None] = Batcher(self._read_slowest)
        self._unwritten: dict[str, int] = {}
        self._to_write = asyncio.Event()
        self._written = asyncio.Event()

    def note(self, watcher_id: str, seq: int) -> None:
        """Written to the database with the next batch."""
        self._unwritten[watcher_id] = seq
        self._to_write.set()

    async def reached(self, seq: int) -> None:
        """Return once every watcher with a lease has applied `seq`. A database that cannot be asked is asked again."""
        while True:
            written = self._written
            if await self._is_reached(seq):
                return
            # Another replica may serve the watcher and write how far it is: look again soon.
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await written.wait()

    async def write(self) -> None:
        """Write what is noted, until the database fails."""
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            writing = dict(self._unwritten)
            try:
                async with self._db.hot.connection() as connection:
                    await store.acknowledge(connection, writing)
            except UNAVAILABLE:
                self._to_write.set()
                raise
            self._unwritten = {watcher: seq for watcher, seq in self._unwritten.items() if writing.get(watcher) != seq}
            written, self._written = self._written, asyncio.Event()
            written.set()

    async def _is_reached(self, seq: int) -> bool:
        try:
            slowest = await self._slowest.submit(None)
        except UNAVAILABLE as failure:
            log.warning("who holds a lease cannot be read", exc_info=failure)
            return False
        return slowest is None or slowest >= seq

    async def _read_slowest(self, askers: Sequence[None]) -> Sequence[int | None]:
        async with self._db.hot.connection() as connection:
            return [await store.slowest(connection)] * len(askers)
