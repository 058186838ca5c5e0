"""The idle workers, and who waits for one."""

import asyncio
from collections import deque
from enum import IntEnum

from services.inference.clients.presidio.processes import Worker


class Lane(IntEnum):
    """Whose job it is; the lower one is served first."""

    MODEL = 0
    """Of a request to the model: somebody waits for the answer."""
    TEXTS = 1
    """Of PhiService, which is given many texts at once."""


class Line:
    """A worker that comes back goes to the first of the first lane that waits. Idle ones are taken last in, first out."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._waiting: dict[Lane, deque[asyncio.Future[Worker]]] = {lane: deque() for lane in Lane}

    def put(self, worker: Worker) -> None:
        for waiting in self._waiting.values():
            while waiting:
                first = waiting.popleft()
                if not first.done():
                    first.set_result(worker)
                    return
        self._idle.append(worker)

    async def get(self, lane: Lane) -> Worker:
        if self._idle:
            return self._idle.pop()
        mine: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(mine)
        try:
            return await mine
        except asyncio.CancelledError:
            if (
                mine.done() and not mine.cancelled()
            ):  # it was handed over at the moment in which nobody wanted it any more
                self.put(mine.result())
            elif mine in self._waiting[lane]:
                self._waiting[lane].remove(mine)
            raise
