"""Rate limits: what passes in any minute, over replicas, and what the headers say."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from services.billing.domain.metering import Decision, RequestRef
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.sweeper import Sweeper
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from tests.billing.conftest import CATALOGUE
from tests.billing.requests import OPUS, demand, rows, settlement
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseUrls


@pytest.fixture
async def bob(accounts: Accounts, clock: FrozenClock) -> Principal:
    """On the developer plan: 60 requests a minute, 5,000 a day, 100,000 tokens a minute."""
    bob = principal_of_new_org(clock)
    await accounts.open(bob.org_id, plan="developer", opened_at=clock.now())
    return bob


@pytest.fixture
async def replicas(urls: DatabaseUrls, clock: FrozenClock, catalogues: Catalogues) -> AsyncIterator[list[Metering]]:
    databases = [Database(urls.app_url) for _ in range(2)]
    for database in databases:
        await database.open()
    yield [
        Metering(database, clock, catalogues, Accounts(database, clock, AuditTrail(clock))) for database in databases
    ]
    for database in databases:
        await database.close()


async def ask(metering: Metering, who: Principal, clock: FrozenClock, count: int, *, output: int = 1) -> list[Decision]:
    return await asyncio.gather(*(metering.reserve(demand(who, clock, output=output)) for _ in range(count)))


def admitted(decisions: list[Decision]) -> int:
    return sum(decision.reserved for decision in decisions)


async def test_no_minute_over_two_replicas_sees_more_than_the_limit(
    replicas: list[Metering], bob: Principal, clock: FrozenClock
) -> None:
    """Five minutes of three requests each half second, six times what is allowed; every minute, wherever it begins, is looked at."""
    passed: list[int] = []
    for _ in range(5 * 120):
        asked = await asyncio.gather(*(ask(replica, bob, clock, 3) for replica in replicas))
        passed.append(sum(admitted(decisions) for decisions in asked))
        clock.advance(timedelta(milliseconds=500))
    assert max(sum(passed[start : start + 120]) for start in range(len(passed) - 119)) == 60
    assert 5 * 60 * 0.99 <= sum(passed) <= 5 * 60


async def on_a_plan(
    catalogues: Catalogues,
    accounts: Accounts,
    clock: FrozenClock,
    *,
    minute: int | None = None,
    day: int | None = None,
    tokens: int | None = None,
) -> Principal:
    """Somebody on a plan of the test's own."""
    catalogue = json.loads(CATALOGUE.read_bytes()) | {"version": "2026-05-02"}
    limits = {"requests_per_minute": minute, "requests_per_day": day, "tokens_per_minute": tokens}
    catalogue["plans"].append({"id": "small", "credits_per_cycle": 10**9, "limits": limits})
    await catalogues.register(json.dumps(catalogue).encode())
    dora = principal_of_new_org(clock)
    await accounts.open(dora.org_id, plan="small", opened_at=clock.now())
    return dora


def most(passed: Sequence[int], steps: int) -> int:
    """In any so many steps that follow each other."""
    return max(sum(passed[start : start + steps]) for start in range(len(passed) - steps + 1))


async def test_no_day_over_two_replicas_sees_more_than_the_limit(
    replicas: list[Metering], catalogues: Catalogues, accounts: Accounts, clock: FrozenClock
) -> None:
    """Four days of twice what is allowed, by the ten minutes in which days are counted."""
    dora = await on_a_plan(catalogues, accounts, clock, minute=1000, day=300)
    passed: list[int] = []
    for step in range(4 * 144):
        passed.append(admitted(await ask(replicas[step % 2], dora, clock, 4)))
        clock.advance(timedelta(minutes=10))
    assert most(passed, 144) == 300
    assert 4 * 300 * 0.99 <= sum(passed) <= 4 * 300


async def test_no_minute_sees_more_tokens_than_the_limit_whichever_key_uses_them(
    replicas: list[Metering], catalogues: Catalogues, accounts: Accounts, clock: FrozenClock
) -> None:
    """Four minutes of three times what is allowed, by two keys; a request uses two thirds of its bound and is settled in the next half second."""
    dora = await on_a_plan(catalogues, accounts, clock, tokens=60_000)
    used: list[int] = []
    for _ in range(4 * 120):
        asked = [demand(dora, clock, principal_id=f"key {number % 2}", output=300) for number in range(8)]
        decisions = await asyncio.gather(*(replicas[n // 4].reserve(each) for n, each in enumerate(asked)))
        clock.advance(timedelta(milliseconds=500))
        taken = [each for each, decision in zip(asked, decisions, strict=True) if decision.reserved]
        if taken:
            await replicas[0].settle([settlement(each, clock.now(), output=200) for each in taken])
        used.append(200 * len(taken))
    assert most(used, 120) <= 60_000
    assert 4 * 60_000 * 0.99 <= sum(used) <= 4 * 60_000


async def test_of_two_limits_the_one_is_told_that_is_met_first(
    metering: Metering, catalogues: Catalogues, accounts: Accounts, clock: FrozenClock
) -> None:
    dora = await on_a_plan(catalogues, accounts, clock, minute=80, day=100)
    told: list[tuple[int, int]] = []
    for count, wait in ((1, 0), (79, 61), (1, 0), (19, 61)):
        *_, last = await ask(metering, dora, clock, count)
        assert last.reserved
        assert last.requests is not None
        told.append((last.requests.limit, last.requests.remaining))
        clock.advance(timedelta(seconds=wait))
    assert told == [(80, 79), (80, 0), (100, 19), (100, 0)]
    (refused,) = await ask(metering, dora, clock, 1)
    assert refused.rate_limited
    assert refused.requests is not None
    assert (refused.requests.limit, refused.requests.remaining) == (100, 0)
    # All of the day was used in its first ten minutes: the first to become free is the last.
    assert refused.requests.reset_at == clock.now() + timedelta(seconds=refused.retry_after)
    clock.advance(timedelta(seconds=refused.retry_after))
    assert admitted(await ask(metering, dora, clock, 81)) == 80


async def test_a_refusal_says_when_it_is_worth_trying_again(
    metering: Metering, bob: Principal, clock: FrozenClock
) -> None:
    assert admitted(await ask(metering, bob, clock, 59)) == 59
    clock.advance(timedelta(seconds=20))
    (last,) = await ask(metering, bob, clock, 1)
    assert last.requests is not None
    assert (last.requests.limit, last.requests.remaining) == (60, 0)
    (refused,) = await ask(metering, bob, clock, 1)
    assert refused.rate_limited
    assert not refused.reserved
    assert not refused.exhausted
    assert 40 <= refused.retry_after <= 41
    clock.advance(timedelta(seconds=refused.retry_after))
    assert admitted(await ask(metering, bob, clock, 61)) == 59


async def test_each_key_has_its_own_requests_and_the_organization_its_tokens(
    metering: Metering, bob: Principal, clock: FrozenClock
) -> None:
    assert admitted(await ask(metering, bob, clock, 70)) == 60
    other_key = demand(bob, clock, principal_id="another key", output=99_000)
    assert (await metering.reserve(other_key)).reserved
    third = await metering.reserve(demand(bob, clock, principal_id="a third key", output=1000))
    assert third.rate_limited
    assert third.requests is not None
    assert third.requests.remaining == 60


async def test_the_day_has_a_limit_too(metering: Metering, bob: Principal, clock: FrozenClock) -> None:
    for _ in range(83):
        assert admitted(await ask(metering, bob, clock, 60)) == 60
        clock.advance(timedelta(seconds=61))
    assert admitted(await ask(metering, bob, clock, 60)) == 20
    (refused,) = await ask(metering, bob, clock, 1)
    assert 22 * 3600 < refused.retry_after <= 24 * 3600 + 600
    clock.advance(timedelta(seconds=refused.retry_after))
    assert admitted(await ask(metering, bob, clock, 1)) == 1


async def test_tokens_are_held_by_the_bound_and_counted_by_what_was_used(
    metering: Metering, bob: Principal, clock: FrozenClock
) -> None:
    request, released = demand(bob, clock, output=60_000), demand(bob, clock, output=30_000)
    assert (await metering.reserve(request)).reserved
    assert (await metering.reserve(released)).reserved
    refused = await metering.reserve(demand(bob, clock, output=20_000))
    assert refused.rate_limited
    assert refused.tokens is not None
    assert refused.tokens.remaining == 10_000
    await metering.release([RequestRef(bob.org_id, released.request_id)])
    clock.advance(timedelta(seconds=30))
    await metering.settle([settlement(request, clock.now(), output=5_000)])
    admitted_ = await metering.reserve(demand(bob, clock, output=90_000))
    assert admitted_.reserved
    assert admitted_.tokens is not None
    assert admitted_.tokens.remaining == 5_000
    clock.advance(timedelta(seconds=31))
    after = await metering.reserve(demand(bob, clock, output=10_000))
    assert after.tokens is not None
    assert after.tokens.remaining == 0


async def test_a_request_larger_than_a_minute_passes_when_nothing_else_was_used(
    metering: Metering, bob: Principal, clock: FrozenClock
) -> None:
    assert (await metering.reserve(demand(bob, clock, output=150_000))).reserved
    refused = await metering.reserve(demand(bob, clock, output=150_000))
    assert refused.rate_limited
    clock.advance(timedelta(seconds=refused.retry_after))
    assert (await metering.reserve(demand(bob, clock, output=150_000))).reserved


async def test_refused_requests_are_not_counted_but_those_without_credits_are(
    metering: Metering, accounts: Accounts, bob: Principal, clock: FrozenClock
) -> None:
    for _ in range(3):
        assert (await metering.reserve(demand(bob, clock, model=OPUS))).opus_not_enabled
    await metering.settle([settlement(demand(bob, clock), clock.now(), output=1_000_000)])
    exhausted = await metering.reserve(demand(bob, clock))
    assert exhausted.exhausted
    assert exhausted.requests is not None
    assert exhausted.requests.remaining == 59
    assert exhausted.tokens is not None
    assert exhausted.tokens.remaining == 100_000


async def test_an_unlimited_plan_has_no_limits_to_show(
    metering: Metering, accounts: Accounts, db: Database, clock: FrozenClock
) -> None:
    carol = principal_of_new_org(clock)
    await accounts.open(carol.org_id, plan="enterprise", opened_at=clock.now())
    decisions = await ask(metering, carol, clock, 3000)
    assert admitted(decisions) == 3000
    assert decisions[0].requests is None
    assert decisions[0].tokens is None
    assert await rows(db, carol.org_id, "SELECT count(*) FROM windows") == [(0,)]


async def test_a_clock_that_goes_back_grants_nothing_twice(
    metering: Metering, bob: Principal, clock: FrozenClock
) -> None:
    assert admitted(await ask(metering, bob, clock, 60)) == 60
    clock.advance(timedelta(seconds=-30))
    assert admitted(await ask(metering, bob, clock, 1)) == 0
    clock.advance(timedelta(seconds=89))
    assert admitted(await ask(metering, bob, clock, 1)) == 0


async def test_a_clock_that_was_days_ahead_does_not_shut_anybody_out(
    metering: Metering, bob: Principal, clock: FrozenClock
) -> None:
    clock.advance(timedelta(days=2))
    assert admitted(await ask(metering, bob, clock, 60)) == 60
    clock.advance(timedelta(days=-2))
    (refused,) = await ask(metering, bob, clock, 1)
    assert refused.rate_limited
    assert refused.retry_after <= 61
    clock.advance(timedelta(seconds=refused.retry_after))
    assert admitted(await ask(metering, bob, clock, 61)) == 60


async def test_empty_windows_are_forgotten(
    metering: Metering, sweeper: Sweeper, db: Database, bob: Principal, clock: FrozenClock
) -> None:
    subjects = "SELECT split_part(subject, ' ', 1) FROM windows ORDER BY 1"
    await ask(metering, bob, clock, 1)
    await sweeper.tidy()
    assert await rows(db, bob.org_id, subjects) == [("day",), ("minute",), ("tokens",)]
    clock.advance(timedelta(minutes=2))
    await sweeper.tidy()
    assert await rows(db, bob.org_id, subjects) == [("day",)]
    clock.advance(timedelta(days=1, minutes=10))
    await sweeper.tidy()
    assert await rows(db, bob.org_id, subjects) == []
