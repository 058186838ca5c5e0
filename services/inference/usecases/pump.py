"""Reads the provider's stream in a task of its own, so that its reader may wait with a limit, and stop at once."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from services.inference.domain.errors import UpstreamFailure

_MOST_WAITING = 64


class Stopped(Exception):
    """Somebody wants the run to end: its credential was revoked, or whether it was can no longer be told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Stop:
    """A request to stop, from anywhere, at any time; the first reason counts."""

    def __init__(self) -> None:
        self.why: str | None = None
        self._callbacks: list[Callable[[], object]] = []

    def __call__(self, why: str) -> None:
        if self.why is None:
            self.why = why
            for callback in self._callbacks:
                callback()

    def then(self, callback: Callable[[], object]) -> None:
        self._callbacks.append(callback)
        if self.why is not None:
            callback()

    def check(self) -> None:
        if self.why is not None:
            raise Stopped(self.why)


class Pump:
    """Pieces of bytes in order. Closing it, or a stop, resets the provider's connection."""

    def __init__(
        self,
        open_stream: Callable[[], Awaitable["AbstractAsyncContextManager[AsyncIterable[bytes]]"]],
        stop: Stop,
    ) -> None:
        self._pieces: list[bytes] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._end: BaseException | None = None
        self._stop = stop
        self._task = asyncio.create_task(self._read(open_stream))
        stop.then(self._stopped)

    async def next(self, patience: float | None = None) -> bytes:
        """What has come since the last call, at least a byte.

        Raises what broke the stream, its end too, Stopped, and TimeoutError after `patience` seconds of silence.
        """
        while True:
            self._stop.check()
            if self._pieces:
                # A caller that is slower than the provider gets larger pieces, not a longer queue.
                pieces = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self._room.set()
                return pieces
            if self._end is not None:
                raise self._end
            self._news.clear()
            if patience is None:
                await self._news.wait()
            else:
                async with asyncio.timeout(patience):
                    await self._news.wait()

    def close(self) -> None:
        self._task.cancel()

    def _stopped(self) -> None:
        self._task.cancel()
        self._news.set()

    async def _read(
        self, open_stream: Callable[[], Awaitable["AbstractAsyncContextManager[AsyncIterable[bytes]]"]]
    ) -> None:
        try:
            async with await open_stream() as stream:
                async for piece in stream:
                    self._pieces.append(piece)
                    self._news.set()
                    if len(self._pieces) >= _MOST_WAITING:
                        self._room.clear()
                        await self._room.wait()
            # Nobody reads on after the last event: whoever meets this end has missed it.
            self._end = UpstreamFailure("The model provider's answer broke off.")
        except Exception as error:  # noqa: BLE001 - handed to the reader, who judges it
            self._end = error
        finally:
            self._news.set()
