import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from google.protobuf.json_format import MessageToDict
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from services.billing.domain.metering import RequestRef
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.sweeper import Sweeper
from services.billing.usecases.usage import Usages
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.timestamps import iso
from tests.billing.requests import demand, rows, settlement
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseUrls

CYCLES = "SELECT cycle_start, cycle_end, plan, allotment, overage, used FROM cycles ORDER BY cycle_start"


async def test_opening_twice_or_at_once_opens_one_account(accounts: Accounts, db: Database, clock: FrozenClock) -> None:
    bob = principal_of_new_org(clock)
    opening = (accounts.open(bob.org_id, plan="developer", opened_at=clock.now()) for _ in range(5))
    await asyncio.gather(*opening)
    assert len(await rows(db, bob.org_id, CYCLES)) == 1
    assert await accounts.reconcile(bob.org_id) == (1, [])


async def test_an_unknown_plan_is_refused(accounts: Accounts, clock: FrozenClock) -> None:
    with pytest.raises(ValidationFailed):
        await accounts.open(principal_of_new_org(clock).org_id, plan="gold", opened_at=clock.now())


async def test_use_after_the_end_enters_the_next_cycle(
    accounts: Accounts, metering: Metering, usages: Usages, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    first = demand(alice, clock)
    await metering.reserve(first)
    await metering.settle([settlement(first, clock.now(), output=10)])
    clock.advance(timedelta(days=31))
    # Twenty at once: one of them rolls the account over, all of them are served.
    decisions = await asyncio.gather(*(metering.reserve(demand(alice, clock)) for _ in range(20)))
    assert all(decision.reserved for decision in decisions)
    assert {decision.cycle_end for decision in decisions} == {datetime(2026, 7, 11, 12, tzinfo=UTC)}
    usage = await usages.get(alice, start=None, end=None, grouping=None)
    assert (usage.credits.used, usage.credits.reserved) == (0, 20_000)
    assert [row[5] for row in await rows(db, alice.org_id, CYCLES)] == [10, 0]
    assert await accounts.reconcile(None) == (1, [])


async def test_months_that_nobody_used_are_there_all_the_same(
    accounts: Accounts, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    clock.advance(timedelta(days=200))
    await metering.settle([settlement(demand(alice, clock), clock.now())])
    cycles = await rows(db, alice.org_id, CYCLES)
    assert len(cycles) == 7
    assert all(one[1] == next_[0] for one, next_ in pairwise(cycles))
    assert cycles[-1][0] <= clock.now() < cycles[-1][1]
    assert await accounts.reconcile(None) == (1, [])


async def test_the_sweeper_rolls_accounts_that_nobody_uses(
    accounts: Accounts, db: Database, alice: Principal, mallory: Principal, clock: FrozenClock
) -> None:
    assert await accounts.roll_overdue() == 0
    clock.advance(timedelta(days=31))
    assert await accounts.roll_overdue() == 2
    assert await accounts.roll_overdue() == 0
    assert len(await rows(db, mallory.org_id, CYCLES)) == 2


async def test_a_request_across_the_end_is_charged_where_it_ended_and_its_hold_returns_where_it_was_taken(
    accounts: Accounts, metering: Metering, usages: Usages, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    clock.advance(timedelta(days=30, hours=23, minutes=59))
    before = clock.now()
    ended_before, ends_after, released = (demand(alice, clock) for _ in range(3))
    for request in (ended_before, ends_after, released):
        await metering.reserve(request)
    clock.advance(timedelta(minutes=2))
    # The outbox told late: what ended before midnight is last month's.
    assert await metering.settle([settlement(ends_after, clock.now(), output=7)]) == [0]
    usage = await usages.get(alice, start=None, end=None, grouping=None)
    assert (usage.credits.used, usage.credits.reserved) == (7, 2000)
    assert await metering.settle([settlement(ended_before, before, output=5)]) == [0]
    await metering.release([RequestRef(released.org_id, released.request_id)])
    assert [row[5] for row in await rows(db, alice.org_id, CYCLES)] == [5, 7]
    usage = await usages.get(alice, start=None, end=None, grouping=None)
    assert (usage.credits.used, usage.credits.reserved) == (7, 0)
    last_month = await usages.get(alice, start=alice_opened(), end=usage.start, grouping=None)
    assert (last_month.requests, last_month.by_model[0].credits) == (1, 5)
    assert await accounts.reconcile(None) == (1, [])


def alice_opened() -> datetime:
    return datetime(2026, 5, 11, 12, tzinfo=UTC)


async def test_a_month_ends_under_load_over_two_replicas(
    accounts: Accounts,
    catalogues: Catalogues,
    urls: DatabaseUrls,
    db: Database,
    alice: Principal,
    clock: FrozenClock,
) -> None:
    replicas = [Database(urls.app_url) for _ in range(2)]
    for replica in replicas:
        await replica.open()
    meterings = [
        Metering(replica, clock, catalogues, Accounts(replica, clock, AuditTrail(clock))) for replica in replicas
    ]
    end = clock.now() + timedelta(days=31)
    clock.advance(timedelta(days=31) - timedelta(seconds=10))
    booked = {True: 0, False: 0}

    async def caller(number: int) -> None:
        metering = meterings[number % 2]
        # A key of its own for each: what is measured is not the rate limit.
        while clock.now() < end + timedelta(seconds=10):
            request = demand(alice, clock, principal_id=f"key {number}", output=10)
            assert (await metering.reserve(request)).reserved
            ended = clock.now()
            await asyncio.sleep(0)
            assert await meterings[(number + 1) % 2].settle([settlement(request, ended, output=7)]) == [0]
            booked[ended < end] += 7
            clock.advance(timedelta(milliseconds=50))

    await asyncio.gather(*(caller(number) for number in range(32)))
    for replica in replicas:
        await replica.close()
    assert min(booked.values()) > 0
    assert [row[5] for row in await rows(db, alice.org_id, CYCLES)] == [booked[True], booked[False]]
    assert await accounts.reconcile(None) == (1, [])


async def test_mixed_months_in_one_batch_are_each_charged_to_their_own(
    accounts: Accounts, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    opened = clock.now()
    clock.advance(timedelta(days=70))
    ends = [timedelta(days=day) for day in (65, 1, 40, -9, 80, 2, 64, 33)]
    told = [settlement(demand(alice, clock), opened + end, output=2**place) for place, end in enumerate(ends)]
    assert await metering.settle(told) == list(range(8))
    assert [row[5] for row in await rows(db, alice.org_id, CYCLES)] == [2 + 8 + 32, 4 + 128, 1 + 16 + 64]
    assert await accounts.reconcile(None) == (1, [])


async def test_the_allotment_is_used_before_the_overage(
    accounts: Accounts, metering: Metering, usages: Usages, db: Database, clock: FrozenClock
) -> None:
    bob = principal_of_new_org(clock)
    await accounts.open(bob.org_id, plan="developer", opened_at=clock.now())
    await accounts.add_overage(bob.org_id, credits_=500, pack_id="pack-1")
    await accounts.add_overage(bob.org_id, credits_=500, pack_id="pack-1")
    for output in (999_900, 200, 300):
        await metering.settle([settlement(demand(bob, clock), clock.now(), output=output)])
    usage = await usages.get(bob, start=None, end=None, grouping=None)
    assert usage.credits.limit == 1_000_500
    assert usage.credits.overage_consumed == 400
    assert usage.credits.remaining == 100
    sums = "SELECT sum(source), sum(allotment), sum(overage), sum(used) FROM entries"
    assert await rows(db, bob.org_id, sums) == [(-1_000_500, 0, 100, 1_000_400)]
    clock.advance(timedelta(days=31))
    usage = await usages.get(bob, start=None, end=None, grouping=None)
    assert (usage.credits.overage, usage.credits.limit) == (0, 1_000_000)
    assert await accounts.reconcile(None) == (1, [])


async def test_a_plan_changes_with_the_next_cycle(
    accounts: Accounts, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    await accounts.change_plan(alice.org_id, "developer")
    assert [row[3] for row in await rows(db, alice.org_id, CYCLES)] == [Decimal(10_000_000)]
    clock.advance(timedelta(days=62))
    await accounts.roll(alice.org_id)
    assert [row[2] for row in await rows(db, alice.org_id, CYCLES)] == ["growth", "developer", "developer"]
    await accounts.change_plan(alice.org_id, "scale")
    await accounts.change_plan(alice.org_id, "developer")
    clock.advance(timedelta(days=31))
    await accounts.roll(alice.org_id)
    assert [row[2] for row in await rows(db, alice.org_id, CYCLES)][-1] == "developer"


async def test_partitions_are_made_for_the_months_to_come(
    sweeper: Sweeper, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    # A month that has rows already keeps them where they are.
    await metering.settle([settlement(demand(alice, clock), clock.now())])
    await sweeper.tidy()
    await sweeper.tidy()
    clock.advance(timedelta(days=31))
    await metering.settle([settlement(demand(alice, clock), clock.now())])
    where = "SELECT tableoid::regclass::text FROM settlements ORDER BY request_id"
    assert await rows(db, alice.org_id, where) == [("settlements_rest",), ("settlements_202606",)]


async def test_a_new_partition_does_not_wait_for_a_long_reader(
    sweeper: Sweeper, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    clock.advance(timedelta(days=365))
    made = "SELECT to_regclass('entries_202705')::text, to_regclass('settlements_202705')::text"
    async with db.transaction(alice.org_id) as reader:
        await reader.exec_driver_sql("SELECT count(*) FROM entries")
        await asyncio.wait_for(sweeper.tidy(), 10)
        assert await rows(db, alice.org_id, made) == [(None, "settlements_202705")]
    await sweeper.tidy()
    assert await rows(db, alice.org_id, made) == [("entries_202705", "settlements_202705")]


async def told(db: Database, who: Principal) -> list[AuditEvent]:
    """The events of the account, in no order within a moment."""
    found = await rows(db, who.org_id, "SELECT payload FROM outbox WHERE topic = 'compliance.audit'")
    return sorted((AuditEvent.FromString(payload) for (payload,) in found), key=lambda event: event.occurred_at_ms)


async def test_the_operators_acts_and_each_cycle_are_audited_once(
    accounts: Accounts, db: Database, alice: Principal, mallory: Principal, clock: FrozenClock
) -> None:
    opened = clock.now()
    await accounts.open(alice.org_id, plan="growth", opened_at=opened)
    for _ in range(2):
        clock.advance(timedelta(seconds=1))
        await accounts.change_plan(alice.org_id, "developer")
        clock.advance(timedelta(seconds=1))
        await accounts.add_overage(alice.org_id, credits_=500, pack_id="pack-1")
    clock.advance(timedelta(days=31))
    assert await accounts.roll_overdue() == 2
    assert await accounts.roll_overdue() == 0
    events = await told(db, alice)
    assert [(event.action, event.entity_type, event.entity_id) for event in events] == [
        ("account.opened", "account", alice.org_id),
        ("account.plan_changed", "account", alice.org_id),
        ("account.overage_added", "overage_pack", "pack-1"),
        ("account.cycle_started", "account", alice.org_id),
    ]
    second, third = "2026-06-11T12:00:00+00:00", "2026-07-11T12:00:00+00:00"
    assert [MessageToDict(event.metadata) for event in events] == [
        {"plan": "growth", "cycle_start": iso(opened), "cycle_end": second},
        {"plan": {"old": "growth", "new": "developer"}, "effective_at": second},
        {"credits": 500, "cycle_start": iso(opened)},
        {"plan": "developer", "cycle_start": second, "cycle_end": third},
    ]
    assert {event.actor_type for event in events} == {"system"}
    assert [event.action for event in await told(db, mallory)] == ["account.opened", "account.cycle_started"]


async def test_a_pack_that_is_not_booked_leaves_no_trace(
    accounts: Accounts, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    with pytest.raises(ValidationFailed):
        await accounts.change_plan(alice.org_id, "no such plan")
    await accounts.change_plan(alice.org_id, "growth")
    stranger = principal_of_new_org(clock)
    with pytest.raises(ResourceNotFound):
        await accounts.add_overage(stranger.org_id, credits_=1, pack_id="p")
    assert [event.action for event in await told(db, alice)] == ["account.opened"]
    assert await told(db, stranger) == []
