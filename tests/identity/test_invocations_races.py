"""Limits, rates and revocations under races: two replicas on one database, many callers."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest
from psycopg import OperationalError

from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.errors import InvalidApiKey, ServiceError
from services.identity.domain.actions import Invoke
from services.identity.domain.errors import ConcurrencyLimitReached, InvocationEnded, RateLimited
from services.identity.store.transactions import Connection, Reply, in_one_transaction
from services.identity.usecases.invocations import Invocations, Permitted
from tests.identity.agents import TOOL, issue, make_agent, may_delegate_to, principal_of
from tests.identity.conftest import Identity, Person

SLOTS = Invoke("calendar.find_slots")


@pytest.fixture
async def replicas(identity: Identity) -> AsyncIterator[list[Invocations]]:
    """Two processes' worth: pools, batches and memories of their own."""
    second = Database(identity.db._url)
    await second.open()
    yield [identity.invocations, Invocations(second, identity.clock)]
    await second.close()


async def attempt(replica: Invocations, principal: Principal) -> Permitted | type[Exception]:
    try:
        return await patiently(partial(replica.authorize, principal, SLOTS))
    except ServiceError as refusal:
        return type(refusal)


async def patiently(call: Callable[[], Awaitable[Permitted]]) -> Permitted:
    """Where this machine stands still for a second, the database ends the transaction of the moment: a caller meets 503 and asks again."""
    while True:
        try:
            return await call()
        except OperationalError:
            await asyncio.sleep(0.1)


async def running(identity: Identity) -> dict[str, int]:
    """By credential."""
    async with identity.db.hot.connection() as connection:
        cursor = await connection.execute(
            "SELECT credential_id, count(*) FROM invocations WHERE status = 'authorized' AND expires_at > %s GROUP BY 1",
            (identity.clock.now(),),
        )
        return dict(await cursor.fetchall())


async def uses(identity: Identity) -> dict[str, int]:
    """By credential."""
    async with identity.db.hot.connection() as connection:
        cursor = await connection.execute("SELECT credential_id, sum(uses) FROM grant_uses GROUP BY 1")
        return dict(await cursor.fetchall())


@asynccontextmanager
async def observed(identity: Identity) -> AsyncIterator[list[int]]:
    """The most that ran under one credential, looked up again and again from outside."""
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(max((await running(identity)).values(), default=0))

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def test_of_a_thousand_at_once_ten_run(identity: Identity, alice: Person, replicas: list[Invocations]) -> None:
    issued = await issue(identity, alice.principal, await make_agent(identity, alice), max_concurrent_invocations=10)
    principal = await principal_of(identity, issued)
    results = await asyncio.gather(*(attempt(replicas[number % 2], principal) for number in range(1000)))
    assert sum(isinstance(each, Permitted) for each in results) == 10
    assert results.count(ConcurrencyLimitReached) == 990
    assert await running(identity) == {principal.id: 10}
    assert len(await identity.audit(alice.principal.org_id, "agent.tool_authorized")) == 10
    assert len(await identity.audit(alice.principal.org_id, "agent.tool_denied")) == 990


async def test_with_completions_in_between_never_more_than_ten_run(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    issued = await issue(identity, alice.principal, await make_agent(identity, alice), max_concurrent_invocations=10)
    principal = await principal_of(identity, issued)
    chance = random.Random(7)
    done = 0

    async def work(number: int) -> None:
        nonlocal done
        while True:
            permitted = await attempt(replicas[number % 2], principal)
            if isinstance(permitted, Permitted):
                other, id_ = replicas[(number + 1) % 2], permitted.invocation.id
                await patiently(partial(other.complete, principal, id_, "succeeded"))
                done += 1
                return
            await asyncio.sleep(0.05 * chance.random())

    async with observed(identity) as seen:
        await asyncio.gather(*(work(number) for number in range(300)))
    assert done == 300
    assert 5 <= max(seen) <= 10
    assert await running(identity) == {}


async def test_a_rate_is_exact_whoever_asks(identity: Identity, alice: Person, replicas: list[Invocations]) -> None:
    issued = await issue(
        identity,
        alice.principal,
        await make_agent(identity, alice),
        TOOL | {"rate_limit": 37},
        max_concurrent_invocations=1000,
    )
    principal = await principal_of(identity, issued)
    results = await asyncio.gather(*(attempt(replicas[number % 2], principal) for number in range(400)))
    assert sum(isinstance(each, Permitted) for each in results) == 37
    assert results.count(RateLimited) == 363
    assert await uses(identity) == {principal.id: 37}


async def test_a_family_of_credentials_never_exceeds_the_rate_of_its_root(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    agent = await make_agent(identity, alice)
    grants = (may_delegate_to(agent), TOOL | {"rate_limit": 40})
    many = {"max_concurrent_invocations": 1000}
    family = [await principal_of(identity, await issue(identity, alice.principal, agent, *grants, **many))]
    for parent in (0, 0, 1, 2):
        limited = TOOL | {"rate_limit": 25}
        issued = await issue(identity, family[parent], agent, may_delegate_to(agent), limited, **many)
        family.append(await principal_of(identity, issued))
    callers = [family[number % 5] for number in range(500)]
    results = await asyncio.gather(
        *(attempt(replicas[number // 5 % 2], principal) for number, principal in enumerate(callers))
    )
    assert sum(isinstance(each, Permitted) for each in results) == 40
    counted = await uses(identity)
    assert counted[family[0].id] == 40
    assert all(counted.get(member.id, 0) <= 25 for member in family[1:])


async def test_a_kill_leaves_nothing_running_whatever_came_first(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    agent = await make_agent(identity, alice)
    admitted = refused = 0
    for round_ in range(25):
        issued = await issue(identity, alice.principal, agent, revocation_policy="kill", max_concurrent_invocations=100)
        principal = await principal_of(identity, issued)

        async def revoke(delay: float, credential_id: str) -> None:
            await asyncio.sleep(delay)
            await identity.credentials.revoke(alice.principal, agent.id, credential_id, None)
            assert credential_id not in await running(identity)

        async def ask(number: int, principal: Principal) -> Permitted | type[Exception]:
            await asyncio.sleep(number * 0.001)
            return await attempt(replicas[number % 2], principal)

        results = await asyncio.gather(
            revoke(round_ * 0.001, principal.id), *(ask(number, principal) for number in range(20))
        )
        assert set(map(type, results[1:])) <= {Permitted, type}
        admitted += sum(isinstance(each, Permitted) for each in results)
        refused += results.count(InvalidApiKey)
        assert await running(identity) == {}
    assert admitted
    assert refused
    cancelled = await identity.audit(alice.principal.org_id, "agent.invocation_cancelled")
    assert len(cancelled) == len({event.entity_id for event in cancelled}) == admitted


async def test_a_kill_and_completions_end_each_invocation_once(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    agent = await make_agent(identity, alice)
    for _ in range(15):
        issued = await issue(identity, alice.principal, agent, revocation_policy="kill", max_concurrent_invocations=100)
        principal = await principal_of(identity, issued)
        made = [await attempt(replicas[0], principal) for _ in range(10)]
        ids = [each.invocation.id for each in made if isinstance(each, Permitted)]
        results = await asyncio.gather(
            identity.credentials.revoke(alice.principal, agent.id, principal.id, None),
            *(
                patiently(partial(replicas[number % 2].complete, principal, id_, "succeeded"))
                for number, id_ in enumerate(ids)
            ),
            return_exceptions=True,
        )
        assert {type(each) for each in results[1:]} <= {Permitted, InvocationEnded}
        assert await running(identity) == {}
    org_id = alice.principal.org_id
    ended = [
        event.entity_id
        for action in ("agent.invocation_completed", "agent.invocation_cancelled")
        for event in await identity.audit(org_id, action)
    ]
    assert len(ended) == len(set(ended)) == 150


async def test_a_silent_replica_does_not_keep_the_others_from_a_credential(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    issued = await issue(identity, alice.principal, await make_agent(identity, alice))
    principal = await principal_of(identity, issued)
    authorizing = replicas[1]._authorizing
    reached, forever = asyncio.Event(), asyncio.Event()

    async def stand_still(*_: object) -> list[Permitted | Exception]:
        reached.set()
        await forever.wait()
        return []

    authorizing._judge._write = stand_still  # pyright: ignore[reportAttributeAccessIssue]
    stopped = asyncio.create_task(replicas[1].authorize(principal, SLOTS))
    await reached.wait()
    async with asyncio.timeout(5):
        assert isinstance(await attempt(replicas[0], principal), Permitted)
    stopped.cancel()
    for lane in list(authorizing._judge._batches._running):
        lane.cancel()
    await asyncio.wait([stopped])


async def test_a_restarted_database_costs_no_caller_its_answer(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    issued = await issue(identity, alice.principal, await make_agent(identity, alice))
    principal = await principal_of(identity, issued)
    await attempt(replicas[1], principal)
    async with identity.db.hot.connection() as connection:
        # What a restart leaves of the other replica's pool.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )
    assert isinstance(await attempt(replicas[1], principal), Permitted)


async def test_a_process_that_stood_still_in_the_middle_begins_anew(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    issued = await issue(identity, alice.principal, await make_agent(identity, alice))
    principal = await principal_of(identity, issued)
    judge = replicas[1]._authorizing._judge
    write, waits = judge._write, iter([1.5])

    async def slowly(*batch: Any) -> Sequence[Any]:
        # The guard of a hot transaction is one second.
        await asyncio.sleep(next(waits, 0))
        return await write(*batch)

    judge._write = slowly
    await replicas[1].authorize(principal, SLOTS)
    assert next(waits, None) is None
    assert await running(identity) == {principal.id: 1}
    assert len(await identity.audit(alice.principal.org_id, "agent.tool_authorized")) == 1


async def test_a_commit_whose_answer_is_lost_is_told_as_it_went(identity: Identity) -> None:
    async def ask(connection: Connection) -> Reply[int]:
        cursor = await connection.execute("SELECT pg_backend_pid()")

        async def reply() -> int:
            (pid,) = cast("tuple[int]", await cursor.fetchone())
            return pid

        return reply

    tried: list[int] = []

    async def commit_and_die(connection: Connection, pid: int) -> str:
        tried.append(pid)
        await connection.execute("COMMIT")
        await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        return "written"

    assert await in_one_transaction(identity.db, ask, commit_and_die) == "written"
    assert len(tried) == 1

    async def die(connection: Connection, pid: int) -> str:
        tried.append(pid)
        await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        return "written"

    with pytest.raises(OperationalError):
        await in_one_transaction(identity.db, ask, die)
    assert len(set(tried)) == len(tried) == 4


async def test_what_is_authorized_as_the_clock_moves_keeps_the_rate_of_any_hour(
    identity: Identity, alice: Person, replicas: list[Invocations]
) -> None:
    issued = await issue(
        identity,
        alice.principal,
        await make_agent(identity, alice),
        TOOL | {"rate_limit": 10},
        max_concurrent_invocations=1000,
    )
    principal = await principal_of(identity, issued)
    chance, moments = random.Random(11), []
    while len(moments) < 40:
        identity.clock.advance(timedelta(seconds=chance.randrange(600)))
        results = await asyncio.gather(*(attempt(replicas[number % 2], principal) for number in range(4)))
        moments += [identity.clock.now() for each in results if isinstance(each, Permitted)]
    for first, last in zip(moments, moments[10:], strict=False):
        assert last - first >= timedelta(hours=1)
