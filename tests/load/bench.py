"""`make bench`: what the whole path costs, as a ratio to the direct call in the same run.

The path: Envoy, authentication, the agreement's gate, reservation, PHI scan of 1,000 characters, record, settlement,
audit. The suite has one core, the load generator and the provider another. Rounds are interleaved and the median round
counts. Figures are for comparison on this machine, now.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.processes import free_port
from cli.suite import Suite
from cli.table import Upstream
from tests.e2e.clinic import Clinic
from tests.load import audit, billing, invocations, machine
from tests.load.text import note

PATH = "/v1/messages"
CROWD = 16


@dataclass
class Row:
    """One line of the table: the rounds of one way and one body."""

    name: str
    port: int
    body: Path
    through_us: bool
    alone: list[Any] = field(default_factory=list)
    crowd: list[Any] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def alone_ms(self, percentile: str, what: str = "lat_us") -> float:
        return statistics.median(run[what][percentile] for run in self.alone) / 1000

    @property
    def per_second(self) -> float:
        return statistics.median(run["rps"] for run in self.crowd)

    @property
    def cpu(self) -> float | None:
        return statistics.median(self.cpu_ms) if self.cpu_ms else None


def body(folder: Path, name: str, *, marked: bool, stream: bool) -> Path:
    request = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 256,
        **({"stream": True} if stream else {}),
        "messages": [{"role": "user", "content": note(marked=marked)}],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(request, separators=(",", ":")))
    return path


@contextmanager
def running(folder: Path, core: set[int], provider_port: int) -> Iterator[Suite]:
    suite = Suite(
        state=folder / "suite", upstream=Upstream(api_key="bench", base_url=f"http://127.0.0.1:{provider_port}")
    )
    with machine.on(core):
        suite.start()
    try:
        yield suite
    finally:
        suite.stop()


def measure(row: Row, suite: Suite, key: str, core: set[int], seconds: float) -> None:
    def run(connections: int) -> Any:
        return machine.load(core, row.port, PATH, row.body, connections=connections, seconds=seconds, key=key)

    row.alone.append(run(1))
    before = machine.cpu_seconds(suite)
    row.crowd.append(run(CROWD))
    if row.through_us:
        row.cpu_ms.append((machine.cpu_seconds(suite) - before) * 1000 / row.crowd[-1]["ok"])


def idle_percent(suite: Suite, seconds: float) -> float:
    """Of a core, with nobody asking: it is part of the CPU time that every request is charged."""
    before = machine.cpu_seconds(suite)
    time.sleep(seconds)
    return (machine.cpu_seconds(suite) - before) / seconds * 100


def table(rows: list[Row]) -> Iterator[str]:
    yield (
        f"{'':<34}{'p50 ms':>9}{'p99 ms':>9}{'added p50':>11}{'added p99':>11}"
        f"{'p50 x':>8}{'req/s':>9}{'req/s x':>9}{'CPU ms':>9}"
    )
    direct = {False: rows[0], True: rows[1]}
    for row in rows:
        base = direct["stream" in row.name]
        p50, p99 = row.alone_ms("p50"), row.alone_ms("p99")
        line = f"{row.name:<34}{p50:>9.2f}{p99:>9.2f}"
        if not row.through_us:
            yield f"{line}{'':>11}{'':>11}{'1':>8}{row.per_second:>9.0f}{'1':>9}{'':>9}"
            continue
        yield (
            f"{line}{p50 - base.alone_ms('p50'):>11.2f}{p99 - base.alone_ms('p99'):>11.2f}"
            f"{p50 / base.alone_ms('p50'):>8.1f}{row.per_second:>9.0f}"
            f"{row.per_second / base.per_second:>9.3f}{row.cpu or 0:>9.2f}"
        )
    yield ""
    base = direct[True].alone_ms("p50", "ttft_us")
    for row in rows:
        if row.through_us and "ttft_us" in row.alone[0]:
            ttft = row.alone_ms("p50", "ttft_us")
            yield (
                f"{row.name}: first token after {ttft:.2f} ms, {ttft - base:.2f} ms added, {ttft / base:.1f} x direct; "
                f"a delta's way takes {row.alone_ms('p50', 'chunk_us') * 1000:.0f} µs (p99 "
                f"{row.alone_ms('p99', 'chunk_us') * 1000:.0f}), direct "
                f"{direct[True].alone_ms('p50', 'chunk_us') * 1000:.0f} µs"
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ours, theirs = machine.cores()
    provider_port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="hasp-bench-") as temporary,
        machine.provider(theirs, [f"{provider_port}:0:60:0"]),
        running(Path(temporary), ours, provider_port) as suite,
    ):
        folder = Path(temporary)
        clinic = Clinic.open(suite)
        fresh = body(folder, "fresh", marked=True, stream=False)
        cached = body(folder, "cached", marked=False, stream=False)
        fresh_stream = body(folder, "fresh-stream", marked=True, stream=True)
        cached_stream = body(folder, "cached-stream", marked=False, stream=True)
        edge = suite.places.edge_port
        rows = [
            Row("direct", provider_port, fresh, through_us=False),
            Row("direct, stream of 60 deltas", provider_port, fresh_stream, through_us=False),
            Row("hasp, every text new", edge, fresh, through_us=True),
            Row("hasp, text seen before", edge, cached, through_us=True),
            Row("hasp, stream, every text new", edge, fresh_stream, through_us=True),
            Row("hasp, stream, text seen before", edge, cached_stream, through_us=True),
        ]
        for row in rows:  # caches and pools fill before anything counts
            machine.load(theirs, row.port, PATH, row.body, connections=4, seconds=1, key=clinic.key)
        idle = idle_percent(suite, arguments.seconds)
        for _ in range(arguments.rounds):
            for row in rows:
                measure(row, suite, clinic.key, theirs, arguments.seconds)
        print(
            f"{len(ours | theirs)} core(s); load average {os.getloadavg()[0]:.1f}, fsync {machine.fsync_ms(folder):.2f} ms; "
            f"{arguments.rounds} rounds of {arguments.seconds:g} s, medians; c=1 for times, c={CROWD} for req/s and CPU\n"
        )
        print("\n".join(table(rows)))
        print("\nagents' authorizations, the same way:")
        for line in invocations.report(suite, clinic, theirs, seconds=2, crowds=(16,)):
            print(line)
        print(
            f"\nresident: {machine.resident_mib(suite, postgres=False):.0f} MiB without PostgreSQL, "
            f"{machine.resident_mib(suite, postgres=True):.0f} MiB with it; idle it takes {idle:.1f} % of a core"
        )
        clinic.close()
    print("\nthe credit ledger, one process alone; a pair is a reservation and its settlement:")
    for line in billing.report(seconds=3):
        print(line)
    print("\nthe audit log, one process alone:")
    for line in audit.report(seconds=3):
        print(line)


if __name__ == "__main__":
    main()
