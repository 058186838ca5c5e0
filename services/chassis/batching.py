"""Micro-batches: what queued while the last commit was in flight becomes one statement.

A row lock is held across the commit's flush to disk, so callers that write the same hot row one by one wait for each other's disk. Taken together
they pay once, and load becomes bigger batches instead of longer queues.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Joins the items of concurrent callers into calls of `run`.

    `run` takes one to `max_batch` items in order of arrival and returns as many results in the same order; a result that is an exception is raised
    to its own caller alone, an exception raised by `run` to every caller of that batch. At most `lanes` batches run at a time.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_batch: int = 500,
        lanes: int = 1,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._lanes = lanes
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """The item's result. A caller that gives up before its batch is taken leaves no trace; later the batch runs with its item."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._running) < self._lanes:
            # An empty context: the lane outlives this call and must not carry its caller, its deadline or its transaction hooks.
            self._running.add(asyncio.create_task(self._lane(), context=Context()))
        return await future

    async def _lane(self) -> None:
        try:
            await self._drain()
        finally:
            # At once and not in a callback of the task: a caller woken by the last batch submits before such a callback
            # runs, and would leave its item to a lane that has looked for the last time.
            self._running.remove(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _drain(self) -> None:
        while batch := self._take():
            try:
                results = await self._run([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    if future.done():
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
            except Exception as error:  # noqa: BLE001 - handed to the callers, whose boundary judges it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            except BaseException:
                for _, future in batch:
                    future.cancel()
                raise

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._max_batch:
            entry = self._waiting.popleft()
            if not entry[1].done():
                batch.append(entry)
        return batch
