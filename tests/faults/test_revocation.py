"""Once a revocation has returned, nobody accepts the token: no replica of any service, whatever was stopped, cut off or killed."""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from cli.suite import Suite
from tests.e2e.clinic import Clinic
from tests.faults import machine
from tests.faults.authority import Authority, chains, keys
from tests.faults.doors import Crowd, Verdict, client, doors
from tests.proxy import proxies

# The first of them waits for eight processes to start.
pytestmark = pytest.mark.timeout(300)

BOUND = 1.25
"""Seconds that a revocation may take when a watcher is silent."""
BUSY = 0.75
"""More of them on a machine that has other work."""
LEASE = 1.0
ASKING = 2.0
"""Seconds that a service waits for identity's answer."""
WATCHERS = ("inference", "inference-2", "compliance", "compliance-2", "billing", "billing-2")


@pytest.fixture
async def crowd(replicated: Suite) -> AsyncIterator[Crowd]:
    async with doors(replicated) as opened:
        yield Crowd(opened)


@pytest.fixture
async def http(replicated: Suite, clinic: Clinic) -> AsyncIterator[httpx.AsyncClient]:
    """Of the clinic's first key."""
    async with client(replicated, clinic.key) as opened:
        yield opened


async def revoke(http: httpx.AsyncClient, crowd: Crowd, authority: Authority) -> float:
    """Seconds that the call took."""
    began = time.perf_counter()
    answer = await http.request(*authority.revocation)
    took = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    crowd.revoked.update(authority.tokens)
    return took


async def verdicts(crowd: Crowd, authority: Authority) -> set[Verdict]:
    """At every door, on all of its tokens."""
    return {each for token in authority.tokens for each in await crowd.ask_everywhere(token)}


async def seconds_to_503(crowd: Crowd, name: str, token: str) -> float:
    began = time.perf_counter()
    assert await crowd.ask(crowd.door(name), token) is Verdict.UNKNOWN
    return time.perf_counter() - began


def use_some(crowd: Crowd, among: list[Authority], number: int) -> None:
    """What is about to be revoked, and what has just been."""
    crowd.tokens[:] = [token for each in among[max(0, number - 5) : number + 10] for token in each.tokens]


@pytest.mark.parametrize("kind", ["keys", "chains"])
async def test_once_a_revocation_has_returned_no_replica_accepts(
    clinic: Clinic, crowd: Crowd, http: httpx.AsyncClient, kind: str
):
    """A key, or a credential and the three that were delegated from it, one from the other."""
    ending = keys(clinic, 30) if kind == "keys" else chains(clinic, 10)
    took = []
    async with crowd.asking(pause=0.1):
        for number, authority in enumerate(ending):
            use_some(crowd, ending, number)
            assert await verdicts(crowd, authority) == {Verdict.ACCEPTED}, crowd.unknown
            took.append(await revoke(http, crowd, authority))
            assert await verdicts(crowd, authority) == {Verdict.REFUSED}, crowd.unknown
    assert crowd.late == []
    assert crowd.unknown == {}
    assert max(took) < BOUND + BUSY
    machine.show(f"revoke {kind} through the edge, {crowd.verdicts.total()} calls beside it", took)


@pytest.mark.parametrize("kind", ["keys", "chains"])
async def test_with_healthy_watchers_a_revocation_takes_a_moment(
    clinic: Clinic, crowd: Crowd, http: httpx.AsyncClient, kind: str
):
    ending = keys(clinic, 40) if kind == "keys" else chains(clinic, 10)
    took = [await revoke(http, crowd, authority) for authority in ending]
    machine.show(f"revoke {kind} through the edge, nobody beside it", took)
    assert statistics.median(took) < 0.05 or not machine.is_quiet()


async def test_a_stopped_watcher_is_waited_for_and_accepts_nothing_when_it_goes_on(
    replicated: Suite, clinic: Clinic, crowd: Crowd, http: httpx.AsyncClient
):
    took = []
    for victim in ("billing-2", "inference", "compliance-2"):
        (authority,) = keys(clinic, 1)
        (token,) = authority.tokens
        await crowd.until(Verdict.ACCEPTED, token)
        with machine.stopped(replicated, victim):
            took.append(await revoke(http, crowd, authority))
            waiting = asyncio.create_task(crowd.ask_everywhere(token))
            await asyncio.sleep(0.1)
        assert await crowd.ask(crowd.door(victim), token) is Verdict.REFUSED
        assert set(await waiting) == {Verdict.REFUSED}
    assert crowd.late == []
    assert max(took) > 0.2, "nobody was waited for: who was stopped held no lease"
    assert max(took) < BOUND + BUSY
    machine.show("revoke with a watcher stopped", took)


async def test_a_watcher_that_stopped_in_peace_is_not_waited_for(
    replicated: Suite, clinic: Clinic, crowd: Crowd, http: httpx.AsyncClient
):
    took = []
    for victim in ("billing-2", "compliance"):
        (authority,) = keys(clinic, 1)
        await crowd.until(Verdict.ACCEPTED, authority.tokens[0])
        await asyncio.to_thread(replicated.process(victim).stop)
        took.append(await revoke(http, crowd, authority))
        await asyncio.to_thread(replicated.restart, victim)
        await crowd.until(Verdict.REFUSED, authority.tokens[0])
    machine.show("revoke at once after a watcher has stopped in peace", took)
    assert max(took) < 0.5


async def test_a_watcher_that_was_cut_off_is_waited_for_and_accepts_nothing(
    replicated: Suite, clinic: Clinic, crowd: Crowd, http: httpx.AsyncClient
):
    door = crowd.door("billing-2")
    async with proxies(replicated.places.endpoints("identity")) as ways:
        reached_by = {"HASP_IDENTITY_ADDRESS": f"ipv4:{','.join(way.address for way in ways)}"}
        await asyncio.to_thread(replicated.restart, door.name, environment=reached_by)
        (authority,) = keys(clinic, 1)
        (token,) = crowd.tokens[:] = authority.tokens
        await crowd.until(Verdict.ACCEPTED, token)
        async with crowd.asking(pause=0.05):
            for way in ways:
                way.cut()
            took = await revoke(http, crowd, authority)
            assert await crowd.ask(door, token) is Verdict.UNKNOWN
            for way in ways:
                way.mend()
            await crowd.until(Verdict.REFUSED, token)
        direct = {"HASP_IDENTITY_ADDRESS": replicated.places.target("identity")}
        await asyncio.to_thread(replicated.restart, door.name, environment=direct)
    assert crowd.late == []
    assert took < BOUND + BUSY
    machine.show("revoke with a watcher cut off", [took])


async def test_replicas_of_identity_that_are_killed_make_no_revocation_forgotten(
    replicated: Suite, clinic: Clinic, crowd: Crowd, http: httpx.AsyncClient
):
    """What the killed one did not answer is asked again, and holds from the answer on."""
    ending = chains(clinic, 12)
    took: list[float] = []

    async def kill_in_turn() -> None:
        for victim in ("identity", "identity-2"):
            await asyncio.sleep(0.3)
            replicated.kill(victim)
            await asyncio.to_thread(replicated.restart, victim)

    async def revoke_all() -> None:
        for number, authority in enumerate(ending):
            use_some(crowd, ending, number)
            while not crowd.revoked.issuperset(authority.tokens):
                try:
                    took.append(await revoke(http, crowd, authority))
                except (httpx.HTTPError, AssertionError):
                    await asyncio.sleep(0.05)
            assert Verdict.ACCEPTED not in await verdicts(crowd, authority)

    async with crowd.asking(pause=0.05):
        await asyncio.gather(kill_in_turn(), revoke_all())
    assert crowd.late == []
    machine.show(f"revoke while replicas of identity are killed, {crowd.verdicts.total()} calls beside it", took)
    for token in crowd.revoked:
        await crowd.until(Verdict.REFUSED, token)


async def test_without_identity_calls_are_refused_in_time_and_nobody_is_let_in(
    replicated: Suite, clinic: Clinic, crowd: Crowd
):
    (authority,) = keys(clinic, 1)
    (token,) = authority.tokens
    await crowd.until(Verdict.ACCEPTED, token)
    with machine.stopped(replicated, "identity", "identity-2"):
        await asyncio.sleep(LEASE)
        direct, edge = await asyncio.gather(
            asyncio.gather(*(seconds_to_503(crowd, name, token) for name in ("inference", "compliance-2", "billing"))),
            seconds_to_503(crowd, "edge /v1/models", token),
        )
    assert set(crowd.unknown) <= {f"{name}: StatusCode.UNAVAILABLE" for name in WATCHERS} | {"edge /v1/models: 503"}
    machine.show("503 while nobody reaches identity", direct)
    machine.show("503 of the edge, which asks twice more for what only reads", [edge])
    # Who arrives while another asks waits for that answer and asks again.
    assert max(direct) < 2 * ASKING + BUSY
    assert edge < 3 * 2 * ASKING + BUSY
    await crowd.until(Verdict.ACCEPTED, token)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_thousand_revocations_under_load_while_watchers_are_stopped(
    replicated: Suite, clinic: Clinic, crowd: Crowd, http: httpx.AsyncClient
):
    """Through the edge, one after another: eight replicas, each of the watchers stopped now and then."""
    ending = keys(clinic, 800) + chains(clinic, 200)
    dice = random.Random(20260401)
    dice.shuffle(ending)
    took: list[tuple[float, bool]] = []
    stops = 0
    stopped = False

    async def disturb() -> None:
        nonlocal stops, stopped
        while True:
            await asyncio.sleep(dice.uniform(2, 4))
            stops, stopped = stops + 1, True
            with machine.stopped(replicated, dice.choice(WATCHERS)):
                await asyncio.sleep(dice.uniform(0.1, 2))
            await asyncio.sleep(LEASE)
            stopped = False

    async with crowd.asking(pause=0.1), asyncio.TaskGroup() as tasks:
        disturbing = tasks.create_task(disturb())
        for number, authority in enumerate(ending):
            use_some(crowd, ending, number)
            await verdicts(crowd, authority)
            before = stopped
            seconds = await revoke(http, crowd, authority)
            took.append((seconds, before or stopped))
            assert Verdict.ACCEPTED not in await verdicts(crowd, authority)
        disturbing.cancel()
    assert crowd.late == []
    healthy = [seconds for seconds, disturbed in took if not disturbed]
    machine.show(f"revoke with all watchers healthy, {crowd.verdicts.total()} calls beside it", healthy)
    machine.show(f"revoke around {stops} stops", [seconds for seconds, disturbed in took if disturbed])
    assert max(seconds for seconds, _ in took) < BOUND + BUSY
    assert statistics.median(healthy) < 0.05 or not machine.is_quiet()
