"""The turn of a cycle after a long downtime, by several replicas at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from google.protobuf.json_format import MessageToDict
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from tests.billing.requests import demand, rows, settlement
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseUrls

OPENED = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
BEGINNINGS = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31"]


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(OPENED)


@pytest.fixture
async def replicas(urls: DatabaseUrls, clock: FrozenClock, catalogues: Catalogues) -> AsyncIterator[list[Accounts]]:
    databases = [Database(urls.app_url) for _ in range(3)]
    for database in databases:
        await database.open()
    yield [Accounts(database, clock, AuditTrail(clock)) for database in databases]
    for database in databases:
        await database.close()


async def test_months_of_downtime_are_made_up_for_once_by_all_replicas_together(
    replicas: list[Accounts],
    accounts: Accounts,
    metering: Metering,
    db: Database,
    clock: FrozenClock,
) -> None:
    orgs = [principal_of_new_org(clock) for _ in range(5)]
    for who in orgs:
        await accounts.open(who.org_id, plan="developer", opened_at=OPENED)
    await accounts.add_overage(orgs[0].org_id, credits_=500, pack_id="pack")
    clock.advance(datetime(2026, 8, 1, tzinfo=UTC) - OPENED)
    # The sweepers of three replicas, use and a plan's change: whoever comes first rolls, the others find it done.
    await asyncio.gather(
        *(replica.roll_overdue() for replica in replicas for _ in range(2)),
        *(metering.settle([settlement(demand(who, clock), clock.now())]) for who in orgs for _ in range(3)),
        *(metering.reserve(demand(who, clock)) for who in orgs),
        *(accounts.change_plan(who.org_id, "growth") for who in orgs),
    )
    for who in orgs:
        await check(db, who)
    assert await accounts.reconcile(None) == (5, [])


async def check(db: Database, who: Principal) -> None:
    cycles = await rows(
        db, who.org_id, "SELECT cycle_start, cycle_end, plan, overage, used FROM cycles ORDER BY cycle_start"
    )
    assert [start.astimezone(UTC).isoformat()[:10] for start, *_ in cycles] == BEGINNINGS
    assert all(one[1] == next_[0] for one, next_ in pairwise(cycles))
    assert {row[2] for row in cycles} == {"developer"}
    # A pack ends with its cycle; what is used now is this month's.
    assert [row[3] for row in cycles[1:]] == [0] * 6
    assert [row[4] for row in cycles] == [0] * 6 + [3000]
    given = await rows(db, who.org_id, "SELECT cycle_start FROM entries WHERE kind = 'allotment' ORDER BY cycle_start")
    assert given == [row[:1] for row in cycles]
    found = await rows(db, who.org_id, "SELECT payload FROM outbox WHERE topic = 'compliance.audit' ORDER BY id")
    events = [AuditEvent.FromString(payload) for (payload,) in found]
    started = [MessageToDict(event.metadata) for event in events if event.action == "account.cycle_started"]
    assert sorted(each["cycle_start"][:10] for each in started) == BEGINNINGS[1:]


async def test_a_cycle_turns_at_its_instant(
    accounts: Accounts, metering: Metering, db: Database, clock: FrozenClock
) -> None:
    who = principal_of_new_org(clock)
    await accounts.open(who.org_id, plan="developer", opened_at=OPENED)
    end = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    clock.advance(end - timedelta(microseconds=1) - OPENED)
    last = await metering.reserve(demand(who, clock))
    assert await metering.settle([settlement(demand(who, clock, output=1), clock.now())]) == [0]
    clock.advance(timedelta(microseconds=1))
    first = await metering.reserve(demand(who, clock))
    assert await metering.settle([settlement(demand(who, clock, output=2), clock.now())]) == [0]
    assert (last.cycle_end, first.cycle_end) == (end, datetime(2026, 3, 31, 23, 30, tzinfo=UTC))
    assert await rows(db, who.org_id, "SELECT used FROM cycles ORDER BY cycle_start") == [(1,), (2,)]
