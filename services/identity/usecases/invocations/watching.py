"""Watching invocations: who waits for the end of one is told of it, whichever replica ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import structlog

from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database
from services.chassis.errors import ServiceUnavailable
from services.identity.domain.invocations import Status
from services.identity.store import invocations as store
from services.identity.store.invocations import Found, InvocationRef

_POLL = 0.25

log = structlog.get_logger()


class Watching:
    """While `run` does not run, nobody is told of a change."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._waiting: dict[InvocationRef, set[asyncio.Queue[Found | None]]] = {}
        self._somebody = asyncio.Event()

    @property
    def watched(self) -> int:
        """Invocations that somebody watches here."""
        return len(self._waiting)

    async def states(self, ref: InvocationRef, first: Found) -> AsyncIterator[Found]:
        """`first` and what follows it, until the invocation has ended."""
        with self._subscribed(ref) as news:
            found: Found | None = first
            while found is not None:
                yield found
                if not found.invocation.is_running:
                    return
                found = await news.get()
            raise ServiceUnavailable

    def end_streams(self) -> None:
        """Ask every watcher to come again: this process stops."""
        for queues in self._waiting.values():
            for news in queues:
                news.put_nowait(None)

    async def run(self) -> None:
        """Look, for all watchers of this process at once, until cancelled. A database that is away is waited for."""
        while True:
            await self._somebody.wait()
            try:
                await self._look()
            except UNAVAILABLE as failure:
                log.warning("watched invocations were not read", exc_info=failure)
            await asyncio.sleep(_POLL)

    async def _look(self) -> None:
        async with self._db.hot.connection() as connection:
            found = await store.find(connection, list(self._waiting))
        now = self._clock.now()
        for ref, each in found.items():
            invocation = each.invocation.at(now)
            if invocation.status is not Status.AUTHORIZED:
                for news in self._waiting.get(ref, ()):
                    news.put_nowait(Found(invocation, each.user))

    @contextmanager
    def _subscribed(self, ref: InvocationRef) -> Iterator[asyncio.Queue[Found | None]]:
        news: asyncio.Queue[Found | None] = asyncio.Queue()
        self._waiting.setdefault(ref, set()).add(news)
        self._somebody.set()
        try:
            yield news
        finally:
            self._waiting[ref].discard(news)
            if not self._waiting[ref]:
                del self._waiting[ref]
            if not self._waiting:
                self._somebody.clear()
