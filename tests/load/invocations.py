"""Authorizations through Envoy: `python -m tests.load.invocations [--seconds N]`, and the short form at the end of `make bench`.

`POST /v1/invocations` is timed from the first byte sent to the last one read, with the whole path behind it: Envoy, authentication, the
grants, one slot of the credential's concurrency and one use of its hourly rate under lock, the audit event, the commit. Each authorization
but those of `alone` is completed by its caller before the next, which is not timed but costs the suite as much again. The suite has one
core, the callers another. Figures are for comparison on this machine, now.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from cli.suite import Suite
from tests.e2e.clinic import Clinic
from tests.load import machine

ACTION = {
    "action": {
        "type": "external.tool.invoke",
        "tool_id": "calendar.find_slots",
        "arguments": {"ward": "3a", "days": ["monday", "tuesday"], "limit": 5},
    }
}
GRANTS = [
    {"type": "hasp.data.read", "app_id": "ehr", "entities": ["visit"], "filters": {"owner": "{{delegating_user.id}}"}},
    {
        "type": "external.tool.invoke",
        "tool_id": "calendar.find_slots",
        "rate_limit": 1_000_000,
        "constraints": {"ward": ["3a", "3b"], "days": ["monday", "tuesday", "friday"]},
    },
]
SLOTS = 1000
"""The most that one credential may have."""


class Connection:
    """HTTP/1.1 kept alive, as little of it as this needs: a client that costs more would measure itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, body: bytes, token: str) -> tuple[int, bytes]:
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        _, found, rest = head.partition(b"\r\ncontent-length: ")
        if found:
            return status, await self._reader.readexactly(int(rest.partition(b"\r")[0]))
        chunks = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            chunks.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readuntil(b"\r\n")
        return status, b"".join(chunks)

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True)
class Run:
    callers: int
    took: Sequence[float]
    """Milliseconds of each authorization."""
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.took, n=100)
        return f"{self.per_second:8.0f}/s   p50 {cuts[49]:7.2f} ms   p99 {cuts[98]:7.2f} ms   n={len(self.took)}"


async def run(port: int, tokens: Sequence[str], *, callers: int, seconds: float, complete: bool) -> Run:
    """Closed loop. Each caller goes through the tokens, so that many credentials are all in use at once."""
    body, outcome = json.dumps(ACTION).encode(), b'{"outcome":"succeeded"}'
    took: list[float] = []
    turn = itertools.cycle(tokens)
    began = time.perf_counter()

    async def call() -> None:
        connection = await Connection.open(port)
        while time.perf_counter() < began + seconds:
            token = next(turn)
            start = time.perf_counter()
            status, answer = await connection.post("/v1/invocations", body, token)
            took.append((time.perf_counter() - start) * 1000)
            if status != 201:
                raise SystemExit(f"{status}: {answer.decode()}")
            if complete:
                id_ = json.loads(answer)["data"]["invocation"]["id"]
                status, answer = await connection.post(f"/v1/invocations/{id_}/complete", outcome, token)
                if status != 200:
                    raise SystemExit(f"{status}: {answer.decode()}")
        connection.close()

    await asyncio.gather(*(call() for _ in range(callers)))
    return Run(callers, took, time.perf_counter() - began)


def credentials(clinic: Clinic, number: int) -> list[str]:
    """Their tokens, of one new agent."""
    agent = {"name": f"bench {time.time_ns()}", "default_expiry_hours": 8, "default_revocation_policy": "drain"}
    answer = clinic.http.post("/v1/agents", json=agent)
    assert answer.status_code == 201, answer.text
    path = f"/v1/agents/{answer.json()['data']['agent']['id']}/credentials"
    wanted = {"name": "bench", "granted_scopes": GRANTS, "max_concurrent_invocations": SLOTS}
    tokens = []
    for _ in range(number):
        answer = clinic.http.post(path, json=wanted)
        assert answer.status_code == 201, answer.text
        tokens.append(answer.json()["data"]["token"])
    return tokens


def report(
    suite: Suite, clinic: Clinic, core: set[int], seconds: float, crowds: Sequence[int] = (1, 16, 64)
) -> Iterator[str]:
    """One line a run."""
    port = suite.places.edge_port

    def measured(tokens: Sequence[str], callers: int, *, complete: bool, seconds: float = seconds) -> Run:
        with machine.on(core):
            return uvloop.run(run(port, tokens, callers=callers, seconds=seconds, complete=complete))

    one, many = credentials(clinic, 1), credentials(clinic, 32)
    measured(many, 8, complete=True, seconds=2)
    for callers in crowds:
        for name, tokens in (("one credential", one), ("32 credentials", many)):
            before = machine.cpu_seconds(suite)
            result = measured(tokens, callers, complete=True)
            cpu = (machine.cpu_seconds(suite) - before) * 1000 / len(result.took)
            yield f"authorize and complete, {name}, {callers:>2} callers: {result}   {cpu:.2f} CPU ms a pair"
        # Nobody frees a slot: as many credentials as the run can fill.
        fresh = credentials(clinic, int(seconds * 3) + 1)
        before = machine.cpu_seconds(suite)
        result = measured(fresh, callers, complete=False)
        cpu = (machine.cpu_seconds(suite) - before) * 1000 / len(result.took)
        yield f"authorize alone,        {len(fresh)} credentials, {callers:>2} callers: {result}   {cpu:.2f} CPU ms each"


def main() -> None:
    from tests.load.bench import running

    parser = argparse.ArgumentParser(prog="python -m tests.load.invocations", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    arguments = parser.parse_args()
    ours, theirs = machine.cores()
    with tempfile.TemporaryDirectory(prefix="hasp-bench-") as folder, running(Path(folder), ours, 9) as suite:
        clinic = Clinic.open(suite)
        print(
            f"{len(ours | theirs)} core(s); load average {os.getloadavg()[0]:.1f}, fsync {machine.fsync_ms(Path(folder)):.2f} ms"
        )
        for line in report(suite, clinic, theirs, arguments.seconds):
            print(line, flush=True)
        print(f"load average afterwards {os.getloadavg()[0]:.1f}")
        clinic.close()


if __name__ == "__main__":
    main()
