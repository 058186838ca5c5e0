"""No child outlives its parent, however the parent ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.processes import Spawner

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from cli.processes import Spawner
child = Spawner().start([sys.executable, "-c", "import time; time.sleep(60)"], log=Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    spawner = Spawner()
    yield spawner
    spawner.close()


def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path):
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    wait_until(lambda: not is_running(child))


def test_a_child_may_be_started_from_a_thread_that_ends(spawner: Spawner, tmp_path: Path):
    children = []
    start = threading.Thread(
        target=lambda: children.append(spawner.start(["sleep", "60"], log=tmp_path / "log")), daemon=True
    )
    start.start()
    start.join()
    time.sleep(0.2)
    assert children[0].exit_code is None
    children[0].kill()


def test_a_child_that_does_not_heed_the_request_is_killed_after_the_grace(spawner: Spawner, tmp_path: Path):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    process = spawner.start([sys.executable, "-c", stubborn], log=tmp_path / "log")
    wait_until(lambda: process.log.read_text() == "up\n")
    process.stop(grace_seconds=0.2)
    assert process.exit_code == -signal.SIGKILL


def test_a_log_is_private_and_stays_bounded(spawner: Spawner, tmp_path: Path):
    process = spawner.start(["sleep", "60"], log=tmp_path / "noisy.log")
    assert process.log.stat().st_mode & 0o777 == 0o600
    os.truncate(process.log, 17 * 1024 * 1024)
    process.bound_log()
    assert process.log.stat().st_size == 0
    assert (tmp_path / "noisy.log.1").stat().st_mode & 0o777 == 0o600
    process.kill()
