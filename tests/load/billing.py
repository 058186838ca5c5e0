"""Reserve and settle, measured in one billing process on a durable PostgreSQL: `python -m tests.load.billing [seconds]`, and by `make bench`.

Each caller reserves a request and settles it, again and again; what is counted are such pairs. Calls go to the use case, so that the figures are
the service's own and not gRPC's. Figures are for comparison on this machine, now; the ledger is reconciled after each run.
"""

import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from cli.settings import ROOT
from services.billing.domain.metering import Demand, Settlement
from services.billing.domain.usage import Basis, Tokens
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.chassis.access import OrgId
from services.chassis.audit import AuditTrail
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from tests.load.postgres import database

MODEL, VERSION = "claude-sonnet-4-6", "2026-05-01"
LIMITED = "scale"
CLOCK = SystemClock()


class Bench:
    def __init__(self, db: Database) -> None:
        self._accounts = Accounts(db, CLOCK, AuditTrail(CLOCK))
        self._catalogues = Catalogues(db, CLOCK)
        self._metering = Metering(db, CLOCK, self._catalogues, self._accounts)

    async def prepare(self) -> None:
        document = (ROOT / "catalogue" / "catalogue.json").read_bytes()
        await self._catalogues.register(document)
        # Limits that count and never refuse.
        catalogue = json.loads(document) | {"version": "2026-05-02"}
        (plan,) = (plan for plan in catalogue["plans"] if plan["id"] == LIMITED)
        plan["limits"] = dict.fromkeys(plan["limits"], 10**12)
        await self._catalogues.register(json.dumps(catalogue).encode())

    async def run(self, *, callers: int, orgs: int, seconds: float, plan: str = "enterprise", keys: int = 8) -> str:
        """One line of the report. `keys`: how many each organization asks with."""
        ids = [OrgId(new_ulid(CLOCK)) for _ in range(orgs)]
        for org_id in ids:
            await self._accounts.open(org_id, plan=plan, opened_at=CLOCK.now())
        reserves: list[float] = []
        settles: list[float] = []
        turn = itertools.count()
        began, cpu = time.perf_counter(), time.process_time()

        async def caller(number: int) -> None:
            while time.perf_counter() < began + seconds:
                org_id = ids[next(turn) % orgs]
                request = Demand(
                    org_id, new_ulid(CLOCK), f"key {number % keys}", MODEL, VERSION, 1000, 500, count_only=False
                )
                start = time.perf_counter()
                decision = await self._metering.reserve(request)
                held = time.perf_counter()
                reserves.append(held - start)
                if decision.reserved:
                    settlement = Settlement(
                        org_id,
                        request.request_id,
                        request.principal_id,
                        "",
                        MODEL,
                        VERSION,
                        Tokens(900, 100),
                        Basis.REPORTED,
                        CLOCK.now(),
                        undelivered=False,
                    )
                    assert await self._metering.settle([settlement]) == [0]
                    settles.append(time.perf_counter() - held)

        await asyncio.gather(*(caller(number) for number in range(callers)))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        _, differences = await self._accounts.reconcile(None)
        assert differences == []
        return (
            f"{callers:>4} callers, {orgs:>3} organizations: {len(settles) / took:>6.0f} pairs/s"
            f"   reserve {_quantiles(reserves)}   settle {_quantiles(settles)}   {cpu / len(settles) * 1e6:.0f} µs of Python a pair"
        )


def _quantiles(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49] * 1000:.1f} p99 {cuts[98] * 1000:.1f} ms"


async def _measure(url: str, seconds: float, runs: Sequence[tuple[int, int]]) -> list[str]:
    db = Database(url)
    await db.open()
    try:
        bench = Bench(db)
        await bench.prepare()
        lines = [await bench.run(callers=callers, orgs=orgs, seconds=seconds) for callers, orgs in runs]
        limited = await bench.run(callers=64, orgs=1, seconds=seconds, plan=LIMITED, keys=1)
        return [*lines, f"{limited}; one key with limits"]
    finally:
        await db.close()


def report(seconds: float, runs: Sequence[tuple[int, int]] = ((64, 1), (64, 100))) -> Iterator[str]:
    """A line for each of `runs`: callers, and organizations that they share; and one for a single key whose plan has limits."""
    with tempfile.TemporaryDirectory(prefix="hasp-load-") as folder, database(Path(folder), "billing") as url:
        yield from uvloop.run(_measure(url, seconds, runs))


if __name__ == "__main__":
    print(f"load average {os.getloadavg()[0]:.1f}")
    every = ((1, 1), (16, 1), (64, 1), (256, 1), (16, 100), (64, 100))
    for line in report(float(sys.argv[1]) if len(sys.argv) > 1 else 5, every):
        print(line)
