"""A TCP proxy that fails as networks do: slow, silent, or gone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Stands for one address. `delay`: seconds that every new connection waits."""

    def __init__(self, address: str, *, delay: float = 0.0) -> None:
        host, _, port = address.rpartition(":")
        self._far = host, int(port)
        self._delay = delay
        self._whole = asyncio.Event()
        self._whole.set()
        self._running: set[asyncio.Task[None]] = set()
        self.connections = 0
        """Ever made."""
        self.address = ""

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Nothing passes and nothing breaks, until it is mended."""
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    async def close(self) -> None:
        """Break every connection and take no more."""
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        with suppress(OSError):
            try:
                await asyncio.sleep(self._delay)
                await self._whole.wait()
                far_reader, far_writer = await asyncio.open_connection(*self._far)
                writers.append(far_writer)
                await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
            finally:
                for each in writers:
                    each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            await self._whole.wait()
            writer.write(piece)
            await writer.drain()
        # One side has ended: so does the other, and with it the way back.
        raise ConnectionResetError


@asynccontextmanager
async def proxies(addresses: Sequence[str], *, delay: float = 0.0) -> AsyncIterator[list[Proxy]]:
    """One for each address."""
    opened = [Proxy(address, delay=delay) for address in addresses]
    try:
        for each in opened:
            await each.open()
        yield opened
    finally:
        for each in opened:
            await each.close()
