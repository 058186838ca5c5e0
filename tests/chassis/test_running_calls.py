"""What runs in somebody's name, and what begins to run while its credential is being revoked."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc.aio
import pytest
from hasp.watch.v1.watch_service_pb2 import Change

from services.chassis import access
from services.chassis.access import Call
from services.chassis.watching import RunningCalls, Watch
from tests.chassis.owners import ACME, principal


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    watch = Watch(channel, name="identity")
    watch._flush(0)
    yield watch
    await channel.close(None)


@contextmanager
def serving() -> Iterator[None]:
    """A call that has just arrived."""
    token = access.current.set(Call(method="/a/b", request_id="req_x"))
    try:
        yield
    finally:
        access.current.reset(token)


async def test_a_call_whose_credential_is_killed_between_its_arrival_and_its_start_is_ended(watch: Watch) -> None:
    """It was authenticated before, and waited for something else since: a gate, a limit."""
    calls = RunningCalls(watch)
    cancelled: list[str] = []
    with serving():
        watch._apply(Change(seq=1, org_id=ACME, subject_id="key1", cancel=True))
        with calls.register(principal("key1"), cancelled.append):
            assert cancelled == ["revoked"]
        with calls.register(principal("key2"), cancelled.append):
            assert cancelled == ["revoked"]


async def test_a_call_that_arrives_after_a_kill_is_not_ended_by_it(watch: Watch) -> None:
    """What was killed may be the agent, who acts again under a new credential."""
    calls = RunningCalls(watch)
    cancelled: list[str] = []
    watch._apply(Change(seq=1, org_id=ACME, subject_id="key1", cancel=True))
    with serving(), calls.register(principal("key1"), cancelled.append):
        assert cancelled == []


async def test_a_drain_ends_nothing(watch: Watch) -> None:
    calls = RunningCalls(watch)
    cancelled: list[str] = []
    with serving():
        watch._apply(Change(seq=1, org_id=ACME, subject_id="key1"))
        with calls.register(principal("key1"), cancelled.append):
            watch._apply(Change(seq=2, org_id=ACME, subject_id="key1"))
            assert cancelled == []
