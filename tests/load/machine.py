"""The machine's side of a benchmark: the C programs, cores, CPU time, and how noisy it is."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from cli.suite import Suite

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "build" / "bench"


def build(name: str) -> Path:
    """Compiles `<name>.c` unless that has been done; needs gcc."""
    source, program = HERE / f"{name}.c", BUILT / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-w", "-o", program, source], check=True)
    return program


def cores() -> tuple[set[int], set[int]]:
    """One core for the suite, another for generator and provider; both the same where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, {available[-1]}


@contextmanager
def on(cpus: set[int]) -> Iterator[None]:
    """What is started inside runs there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def provider(cpus: set[int], ports: list[str]) -> Iterator[None]:
    """The C provider; each port is `port:ttfb_ms:chunks:interval_ms`."""
    with on(cpus):
        process = subprocess.Popen([build("upstream"), *ports], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(5)


def load(cpus: set[int], port: int, path: str, body: Path, *, connections: int, seconds: float, key: str) -> Any:
    """One run of the loader: what it printed. A request that did not get 200 ends the benchmark."""
    with on(cpus):
        run = subprocess.run(
            [
                build("load"), f"127.0.0.1:{port}", path, str(connections), str(seconds), "2000000", body,
                "-H", f"x-api-key: {key}",
            ],
            capture_output=True, text=True, timeout=seconds + 60, check=True,
        )  # fmt: skip
    result = json.loads(run.stdout)
    if result["err"] or result["broken"] or not result["ok"]:
        raise SystemExit(f"{path} on port {port}: {result}")
    return result


def cpu_seconds(suite: Suite) -> float:
    """User and system time of the suite's processes and all their children, PostgreSQL's included."""
    total = 0.0
    for name in suite.names:
        parent = psutil.Process(suite.process(name).pid)
        for process in (parent, *parent.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    return total


def resident_mib(suite: Suite, *, postgres: bool) -> float:
    """Proportional set size, so that shared pages count once."""
    total = 0
    for name in suite.names:
        if name == "postgres" and not postgres:
            continue
        parent = psutil.Process(suite.process(name).pid)
        total += sum(process.memory_full_info().pss for process in (parent, *parent.children(recursive=True)))
    return total / 2**20


def fsync_ms(folder: Path) -> float:
    """Median of 50 synchronous writes of 8 KiB."""
    target = folder / "fsync-probe"
    taken = []
    with target.open("wb") as file:
        for _ in range(50):
            started = time.perf_counter()
            file.write(b"\0" * 8192)
            file.flush()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    target.unlink()
    return statistics.median(taken)
