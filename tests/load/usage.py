"""`GET /v1/usage` of a year, measured on a durable PostgreSQL without the edge: `python -m tests.load.usage [settlements]`."""

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import uvloop

from cli.settings import ROOT
from services.billing.domain.metering import Settlement
from services.billing.domain.usage import Basis, Grouping, Tokens
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.usage import Usages
from services.chassis import logs
from services.chassis.access import OrgId, Principal
from services.chassis.audit import AuditTrail
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from tests.fakes import principal_of_new_org
from tests.load.postgres import database

CLOCK, DICE = SystemClock(), random.Random(20260401)
YEAR = timedelta(days=365)
MODELS = ("claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-6")
ROUNDS = 20


def settlement(org_id: OrgId, first: datetime) -> Settlement:
    """At any moment of the year, by any of twenty keys and ten agents: the worst case, where hardly two share a line of the sums by day."""
    agent = DICE.choice(["", "", f"agent {DICE.randrange(10)}"])
    return Settlement(
        org_id=org_id,
        request_id=new_ulid(CLOCK),
        principal_id=f"key {DICE.randrange(20)}",
        agent_id=agent,
        model=DICE.choice(MODELS),
        catalogue_version="2026-05-01",
        tokens=Tokens(DICE.randrange(5000), DICE.randrange(1000)),
        basis=Basis.REPORTED,
        occurred_at=first + YEAR * DICE.random(),
        undelivered=False,
    )


async def measure(url: str, count: int) -> list[str]:
    logs.configure("billing", "ERROR")  # each is settled without a reservation, which is worth a warning
    db = Database(url)
    await db.open()
    accounts, catalogues = Accounts(db, CLOCK, AuditTrail(CLOCK)), Catalogues(db, CLOCK)
    await catalogues.register((ROOT / "catalogue" / "catalogue.json").read_bytes())
    metering, usages = Metering(db, CLOCK, catalogues, accounts), Usages(db, accounts)
    caller, first = principal_of_new_org(CLOCK), CLOCK.now() - YEAR
    await accounts.open(caller.org_id, plan="enterprise", opened_at=first)
    began = time.perf_counter()
    for _ in range(0, count, 1000):
        told = [[settlement(caller.org_id, first) for _ in range(100)] for _ in range(10)]
        booked = await asyncio.gather(*(metering.settle(each) for each in told))
        assert all(len(each) == 100 for each in booked)
    lines = [f"{count} settlements of a year booked in {time.perf_counter() - began:.1f} s"]
    for name, start in (("the year", first), ("the year but its first hours", first + timedelta(hours=7))):
        lines += [await _timed(usages, caller, name, start, grouping) for grouping in (None, *Grouping)]
    await db.close()
    return lines


async def _timed(usages: Usages, caller: Principal, name: str, start: datetime, grouping: Grouping | None) -> str:
    seconds: list[float] = []
    groups = 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        usage = await usages.get(caller, start=start, end=CLOCK.now(), grouping=grouping)
        seconds.append(time.perf_counter() - began)
        groups = len(usage.series)
    by = f"by {grouping.value}, {groups} groups" if grouping else "as a whole"
    return f"{name} {by}: p50 {statistics.median(seconds) * 1000:.1f} ms, most {max(seconds) * 1000:.1f} ms"


def report(count: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="hasp-load-") as folder, database(Path(folder), "billing") as url:
        yield from uvloop.run(measure(url, count))


if __name__ == "__main__":
    print(f"load average {os.getloadavg()[0]:.1f}")
    for line in report(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000):
        print(line)
