"""The machine's side of a fault: processes that stand still, and figures, never without how busy it was."""

import os
import signal
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from cli.suite import Suite


@contextmanager
def stopped(suite: Suite, *names: str) -> Iterator[None]:
    """SIGSTOP: they answer nothing, and their connections stand. SIGCONT afterwards. Children are stopped with them."""
    family: list[psutil.Process] = []
    for name in names:
        parent = psutil.Process(suite.process(name).pid)
        family += [*parent.children(recursive=True), parent]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(family):
            process.send_signal(signal.SIGCONT)


def show(name: str, seconds: Sequence[float]) -> None:
    took = sorted(1000 * each for each in seconds)
    print(
        f"\n{name}: p50 {statistics.median(took):.1f} ms, p99 {took[int(len(took) * 0.99)]:.1f} ms, "
        f"max {took[-1]:.1f} ms, n={len(took)}, load average {os.getloadavg()[0]:.1f}"
    )


def is_quiet() -> bool:
    """Whether the last minute's work was no more than its cores can do: only then a figure says something of the house."""
    return os.getloadavg()[0] < 1.5 * (os.cpu_count() or 1)
