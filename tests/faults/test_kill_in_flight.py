"""What runs in the name of a revoked credential ends at once, with its last event and its settlement."""

import time
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from cli.suite import Suite
from tests.e2e import agents
from tests.e2e.clinic import Clinic, wait_until
from tests.faults import books, machine
from tests.faults.authority import Authority, chains, keys
from tests.faults.books import Books
from tests.faults.doors import Crowd, Verdict, client, doors
from tests.faults.streams import Stream, streams

# The first of them waits for eight processes to start.
pytestmark = pytest.mark.timeout(300)

SLOW = "Go on.[[sim:say=abcdefgh]][[sim:repeat=100]][[sim:chunk=4]][[sim:interval_ms=500]]"
"""A hundred seconds of talk."""
SHORT = "Go on.[[sim:say=abcdefgh]][[sim:repeat=3]][[sim:chunk=4]][[sim:interval_ms=500]]"
"""Three seconds of it."""
LEASE = 1.0
TICK = 0.25
"""How often a service looks whether it still has one."""
BUSY = 0.75
"""Seconds more on a machine that has other work."""


@pytest.fixture
async def http(replicated: Suite, clinic: Clinic) -> AsyncIterator[httpx.AsyncClient]:
    async with client(replicated, clinic.key) as opened:
        yield opened


def ends(opened: list[Stream]) -> Counter[str | None]:
    return Counter(stream.end for stream in opened)


def check_money(suite: Suite, clinic: Clinic, requests: int) -> None:
    """Each request is settled once, in the same words as its record, and nothing is held."""
    clinic.wait_until_settled(requests)
    wait_until(lambda: books.owed(suite) == 0, seconds=20)
    read = Books.read(suite, clinic.org_id)
    assert (len(read.record), len(read.settlement), read.reserved) == (requests, requests, set())
    assert read.disagreements() == []


async def end(http: httpx.AsyncClient, authority: Authority) -> None:
    answer = await http.request(*authority.revocation)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.long)])
async def test_every_stream_of_a_killed_credential_ends_within_a_second(
    replicated: Suite, clinic: Clinic, http: httpx.AsyncClient, count: int
):
    authority, other = keys(clinic, 2)
    async with streams(replicated, authority.tokens * count + other.tokens * 2, text=SLOW) as opened:
        killed, spared = opened[:count], opened[count:]
        assert {stream.status for stream in opened} == {200}
        began = time.perf_counter()
        await end(http, authority)
        returned = time.perf_counter() - began
        for stream in killed:
            await stream.over
        assert ends(killed) == {"error": count / 2, "run.cancelled": count / 2}
        assert ends(spared) == {None: 2}
        took = [stream.ended_at - began for stream in killed]
        machine.show(f"the last event of {count} streams, from sending the revocation", took)
        machine.show("the revocation itself", [returned])
        # All of them end in the same moment, on the cores that everybody else is using.
        assert max(took) < (1 if machine.is_quiet() else 3)
    check_money(replicated, clinic, count + 2)


async def test_the_streams_of_every_descendant_end_with_the_root(
    replicated: Suite, clinic: Clinic, http: httpx.AsyncClient
):
    """Whatever policy the descendants have: what was delegated is killed."""
    (authority,) = chains(clinic, 1, policy="drain")
    root, *descendants = authority.tokens
    async with (
        streams(replicated, descendants * 4, text=SLOW) as opened,
        streams(replicated, [root], text=SHORT) as own,
    ):
        assert {stream.status for stream in (*opened, *own)} == {200}
        began = time.perf_counter()
        await end(http, authority)
        for stream in opened:
            await stream.over
        assert ends(opened) == {"error": len(opened) / 2, "run.cancelled": len(opened) / 2}
        assert max(stream.ended_at - began for stream in opened) < 1 + BUSY
        await own[0].over
        assert ends(own) == {"completed": 1}
    check_money(replicated, clinic, len(opened) + 1)


async def test_what_runs_under_a_drained_credential_ends_by_itself_and_nothing_new_begins(
    replicated: Suite, clinic: Clinic, http: httpx.AsyncClient
):
    held = agents.equip(clinic, revocation_policy="drain")
    async with streams(replicated, [held.token] * 10, text=SHORT) as opened, doors(replicated) as ways:
        assert {stream.status for stream in opened} == {200}
        await end(http, Authority([held.token], ("POST", f"{held.path}/revoke")))
        crowd = Crowd(ways)
        assert set(await crowd.ask_everywhere(held.token)) == {Verdict.REFUSED}
        assert ends(opened) == {None: 10}
        for stream in opened:
            await stream.over
        assert ends(opened) == {"completed": 10}
    check_money(replicated, clinic, 10)


async def test_streams_end_with_their_last_event_five_seconds_after_the_lease(replicated: Suite, clinic: Clinic):
    (authority,) = keys(clinic, 1)
    async with streams(replicated, authority.tokens * 8, text=SLOW) as opened:
        with machine.stopped(replicated, "identity", "identity-2"):
            began = time.perf_counter()
            for stream in opened:
                await stream.over
        took = [stream.ended_at - began for stream in opened]
        machine.show("the last event of 8 streams, from the moment identity stood still", took)
        assert ends(opened) == {"error": 4, "run.cancelled": 4}
        assert min(took) > 4
        assert max(took) < LEASE + 5 + TICK + BUSY
    check_money(replicated, clinic, 8)
