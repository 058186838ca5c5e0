"""Child processes of the suite: none outlives its parent, and each one's log file is private and bounded."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_GUARD = str(Path(__file__).with_name("guard.py"))
_LOG_LIMIT_BYTES = 16 * 1024 * 1024


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, below the range of outgoing connections (from 32768)."""
    for _ in range(200):
        port = random.randrange(20_000, 32_000)  # noqa: S311 (a port, not a secret)
        if is_free(port):
            return port
    raise OSError("no free port between 20000 and 32000")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now; connections that linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Spawner:
    """Starts processes from one thread that lives as long as they do.

    The kernel's parent-death signal follows the *thread* that forked: a child of a short-lived thread would die with
    it.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

    def start(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> "Process":
        """Start `command` in a session of its own (Ctrl-C reaches only us); its output is appended to `log`."""
        return self._thread.submit(self._start, command, log, environment, directory, death_signal).result()

    def _start(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None,
        directory: Path | None,
        death_signal: signal.Signals,
    ) -> "Process":
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            popen = subprocess.Popen(
                [sys.executable, "-S", "-E", _GUARD, str(int(death_signal)), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        finally:
            os.close(output)
        return Process(popen, log)

    def close(self) -> None:
        """Ends the thread, and with it every child still running."""
        self._thread.shutdown()


class Process:
    """One running child."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self._popen = popen
        self.log = log
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, grace_seconds: float = 25.0) -> None:
        """Ask it to stop; kill it after the grace. Returns when it is gone."""
        self._popen.send_signal(number)
        try:
            self._popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()

    def bound_log(self) -> None:
        """Keep at most twice 16 MiB: copied aside and truncated, since the child holds the file open for appending."""
        if self.log.stat().st_size < _LOG_LIMIT_BYTES:
            return
        older = self.log.with_suffix(".log.1")
        descriptor = os.open(older, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as kept, self.log.open("rb") as current:
            kept.write(current.read(2 * _LOG_LIMIT_BYTES))
        os.truncate(self.log, 0)

    def last_lines(self, count: int = 15) -> str:
        """The end of its log, for a report of why it died."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 8192))
            return b"\n".join(log.read().splitlines()[-count:]).decode(errors="replace")
