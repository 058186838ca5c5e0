"""A watcher whose replica of the owner is gone, or says nothing, goes on at another."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.channels import connect
from services.chassis.tls import Tls
from services.chassis.watching import Watch
from tests.chassis.owners import Owner, Replica, address_of, watching_by
from tests.proxy import Proxy, proxies


@pytest.fixture
async def replicas(owner: Owner) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(owner.replica()) for _ in range(2)]


@pytest.fixture
async def ways(replicas: list[Replica]) -> AsyncIterator[list[Proxy]]:
    """To each of the replicas."""
    async with proxies([address_of(replica.channel) for replica in replicas]) as ways:
        yield ways


@pytest.fixture
async def channel(ways: list[Proxy], tls_dir: Path) -> AsyncIterator[grpc.aio.Channel]:
    """To both of them."""
    target = f"ipv4:{','.join(way.address for way in ways)}"
    channel = connect(target, "identity", Tls.from_dir(tls_dir, "billing"))
    yield channel
    await channel.close(None)


def in_use(replicas: list[Replica]) -> int:
    """Which of the replicas serves the watcher."""
    (number,) = (number for number, replica in enumerate(replicas) if replica.changes._streams)
    return number


async def longest_without_lease(watch: Watch, *, seconds: float) -> float:
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        longest = max(longest, watch.lost_for)
        await asyncio.sleep(0.01)
    return longest


async def test_a_watcher_whose_replica_dies_keeps_its_lease_at_the_other(
    replicas: list[Replica], ways: list[Proxy], channel: grpc.aio.Channel
) -> None:
    async with watching_by(channel) as (watch,):
        await asyncio.sleep(0.5)  # both connections stand
        first = in_use(replicas)
        await ways[first].close()
        assert await longest_without_lease(watch, seconds=2) == 0
        assert in_use(replicas) == 1 - first
        assert await replicas[first].revoke("key1") == watch.applied_seq


async def test_a_watcher_whose_replica_falls_silent_has_a_lease_of_the_other_soon(
    replicas: list[Replica], ways: list[Proxy], channel: grpc.aio.Channel
) -> None:
    """Other calls take their turns on the channel: which replica the next stream goes to is a matter of luck."""
    health = health_pb2_grpc.HealthStub(channel)

    async def call_now_and_then() -> None:
        while True:
            with suppress(grpc.aio.AioRpcError):
                await health.Check(health_pb2.HealthCheckRequest(), timeout=0.05)
            await asyncio.sleep(random.uniform(0, 0.02))

    calling = asyncio.create_task(call_now_and_then())
    gaps = []
    for _ in range(3):
        async with watching_by(channel) as (watch,):
            await asyncio.sleep(0.5)
            first = in_use(replicas)
            ways[first].cut()
            gaps.append(await longest_without_lease(watch, seconds=5))
            assert watch.live
            ways[first].mend()
    calling.cancel()
    await asyncio.wait([calling])
    print(f"without a lease for {', '.join(f'{gap:.2f}' for gap in gaps)} s")
    assert min(gaps) < 1
    assert max(gaps) < 4
