"""Work on items as they come: several at once, answered in their order, never more than a few ahead of the answers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from services.inference.usecases.pump import Stop

T = TypeVar("T")
R = TypeVar("R")


async def in_order(
    items: AsyncIterator[T], work: Callable[[T], Awaitable[R]], *, at_once: int, stop: Stop
) -> AsyncIterator[R]:
    """One result an item. Close it where it is not read to its end: what is under way is then cancelled.

    Raises what `items` or `work` raises, after the answers before it, and Stopped at once.
    """
    stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stop.then(lambda: None if stopped.done() else stopped.set_result(None))
    under_way: deque[asyncio.Task[R]] = deque()
    reading: asyncio.Task[T] | None = asyncio.create_task(_next(items))
    try:
        while reading is not None or under_way:
            awaited: set[asyncio.Future[object]] = {stopped}  # pyright: ignore[reportAssignmentType]
            if under_way:
                awaited.add(under_way[0])  # pyright: ignore[reportArgumentType]
            if reading is not None and len(under_way) < at_once:
                awaited.add(reading)  # pyright: ignore[reportArgumentType]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            stop.check()
            if under_way and under_way[0].done():
                yield under_way.popleft().result()
            elif reading is not None and reading in awaited and reading.done():
                try:
                    under_way.append(asyncio.create_task(_run(work, reading.result())))
                    reading = asyncio.create_task(_next(items))
                except StopAsyncIteration:
                    reading = None
    finally:
        left = [*under_way, *([reading] if reading is not None else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _run(work: Callable[[T], Awaitable[R]], item: T) -> R:
    return await work(item)
