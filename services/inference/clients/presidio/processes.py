"""The worker processes as the service sees them: start, ask, kill, replace."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from services.inference.clients.presidio import frames
from services.inference.clients.presidio.versions import Tier
from services.inference.domain.phi.refusals import PhiGuardUnavailable

_ROOT = Path(__file__).parents[4]
# One thread of linear algebra a worker: the pool is what uses the cores.
_SINGLE_THREADED = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Worker:
    """One scanning process; answers one question at a time."""

    def __init__(self, process_id: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process_id = process_id
        self._reader = reader
        self._writer = writer

    @property
    def gone(self) -> bool:
        """It has closed its end: it died while idle."""
        return self._reader.at_eof()

    async def ask(self, kind: int, payload: bytes) -> bytes:
        """Raises PhiGuardUnavailable when the worker reports a failure, OSError or EOFError when it has died."""
        self._writer.write(frames.pack(kind, payload))
        await self._writer.drain()
        length, answered = frames.HEAD.unpack(await self._reader.readexactly(frames.HEAD.size))
        answer = await self._reader.readexactly(length)
        if answered == frames.FAILED:
            raise PhiGuardUnavailable(f"a scan failed: {answer.decode()}")
        return answer

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process_id, signal.SIGKILL)
        self._writer.close()


class Nursery:
    """The process that holds the loaded model and forks workers."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._turn = asyncio.Lock()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @classmethod
    async def start(cls, load_seconds: float, tier: Tier) -> "Nursery":
        """Returns once the model is loaded. Raises PhiGuardUnavailable when it is not within the given time."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 - an exec, not a wait
                [
                    sys.executable,
                    "-m",
                    "services.inference.clients.presidio.worker",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    tier,
                ],
                cwd=_ROOT,
                env=os.environ | _SINGLE_THREADED,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        nursery = cls(process, ours)
        try:
            async with asyncio.timeout(load_seconds):
                await nursery._frame()
        except (TimeoutError, OSError, EOFError) as error:
            nursery.kill()
            raise PhiGuardUnavailable("the scanner did not start") from error
        except asyncio.CancelledError:
            nursery.kill()
            raise
        return nursery

    async def fork(self) -> Worker:
        """A new worker. Raises OSError or EOFError when the nursery has died."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            async with self._turn:
                with theirs:
                    socket.send_fds(self._control, [b"f"], [theirs.fileno()])
                process_id = int(await self._frame())
        except BaseException:
            ours.close()
            raise
        reader, writer = await asyncio.open_connection(sock=ours)
        return Worker(process_id, reader, writer)

    def kill(self) -> None:
        """Its workers die with it."""
        self._process.kill()
        self._process.wait()
        self._control.close()

    async def _frame(self) -> bytes:
        length, _ = frames.HEAD.unpack(await self._exactly(frames.HEAD.size))
        return await self._exactly(length)

    async def _exactly(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        buffer = b""
        while len(buffer) < length:
            piece = await loop.sock_recv(self._control, length - len(buffer))
            if not piece:
                raise EOFError("the scanner's first process has died")
            buffer += piece
        return buffer
