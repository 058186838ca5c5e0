"""Many streamed answers at once, each read by little more than a socket: what is measured is the house, and not its client."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cli.suite import Suite
from tests.e2e.clinic import MODEL

_LAST = {b"event: message_stop": "completed", b"event: run.completed": "completed"} | {
    b"event: " + name: name.decode() for name in (b"error", b"run.cancelled", b"run.failed")
}
"""How the last event of a stream begins, and what it means."""


class Stream(asyncio.Protocol):
    """One request and its answer as they pass the wire."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._tail = b""
        self.status = 0
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """The first delta is there."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.end: str | None = None
        """`completed`, or the event that said otherwise; None while neither has come."""
        self.ended_at = 0.0
        """Of time.perf_counter()."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.status:
            self.status = int(data[9:12])
        # An event's name may lie across two pieces.
        seen = self._tail + data
        self._tail = seen[-32:]
        if b"delta" in seen and not self.begun.done():
            self.begun.set_result(None)
        if self.end is None:
            for mark, end in _LAST.items():
                if b"\n" + mark + b"\n" in seen:
                    self.end, self.ended_at = end, time.perf_counter()
        if self.end is not None and seen.endswith(b"0\r\n\r\n"):
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.begun, self.over):
            if not future.done():
                future.set_result(None)


@asynccontextmanager
async def streams(suite: Suite, tokens: Sequence[str], *, text: str) -> AsyncIterator[list[Stream]]:
    """One with each token, on the two surfaces in turn, once each has shown its first delta."""
    opened: list[Stream] = []
    try:
        for number, token in enumerate(tokens):
            opened.append(await _open(suite, token, text, native=number % 2 == 1))
        await asyncio.gather(*(stream.begun for stream in opened))
        yield opened
    finally:
        for stream in opened:
            stream.transport.close()
        await asyncio.gather(*(stream.over for stream in opened))


async def _open(suite: Suite, token: str, text: str, *, native: bool) -> Stream:
    path, body = "/v1/ai/chat", {"message": text, "stream": True}
    if not native:
        path = "/v1/messages"
        turns = [{"role": "user", "content": text}]
        body = {"model": MODEL, "max_tokens": 1000, "stream": True, "messages": turns}
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: edge\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: Stream(head.encode() + raw), "127.0.0.1", suite.places.edge_port)
    return stream
