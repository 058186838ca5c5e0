import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from services.chassis.batching import Batcher


class Recorder:
    """Doubles what it gets and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = 0
        self.most_running = 0

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.005)
        self.running -= 1
        return [ValueError(f"{item} is odd") if item % 2 else item * 2 for item in items]


async def test_what_queues_while_a_batch_runs_becomes_the_next_batch() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=100)
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0.001)
    rest = [asyncio.create_task(batcher.submit(2 * number)) for number in range(1, 50)]
    assert await first == 0
    assert await asyncio.gather(*rest) == [4 * number for number in range(1, 50)]
    assert [len(batch) for batch in recorder.batches] == [1, 49]


async def test_a_batch_is_no_larger_than_the_limit() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=10)
    await asyncio.gather(*(batcher.submit(2 * number) for number in range(25)))
    assert [len(batch) for batch in recorder.batches] == [10, 10, 5]
    assert recorder.most_running == 1


async def test_lanes_bound_how_many_batches_run_together() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder, max_batch=5, lanes=3)
    await asyncio.gather(*(batcher.submit(2 * number) for number in range(100)))
    assert recorder.most_running == 3


async def test_an_items_own_failure_reaches_its_caller_alone() -> None:
    batcher = Batcher(Recorder())
    outcomes = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
    assert outcomes[0] == 0
    assert isinstance(outcomes[1], ValueError)
    assert outcomes[2] == 4
    assert str(outcomes[3]) == "3 is odd"


async def test_a_failed_batch_fails_its_callers_and_not_the_next_batch() -> None:
    calls = 0

    async def fail_once(items: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("gone")
        return items

    batcher = Batcher(fail_once)
    outcomes = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert all(isinstance(outcome, ConnectionError) for outcome in outcomes)
    assert await batcher.submit(3) == 3


async def test_a_caller_who_gave_up_before_the_batch_is_left_out() -> None:
    recorder = Recorder()
    batcher = Batcher(recorder)
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0.001)
    impatient = asyncio.create_task(batcher.submit(2))
    patient = asyncio.create_task(batcher.submit(4))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == 8
    assert await first == 0
    assert recorder.batches == [[0], [4]]
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_batch_carries_no_callers_context() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")

    async def tell(items: Sequence[int]) -> list[str]:
        return [who.get() for _ in items]

    who.set("alice")
    assert await Batcher(tell).submit(1) == "nobody"


async def test_an_item_that_arrives_as_its_lane_ends_is_taken() -> None:
    async def double(items: Sequence[int]) -> list[int]:
        return [2 * item for item in items]

    batcher = Batcher(double)

    async def use() -> None:
        for item in range(200):
            assert await batcher.submit(item) == 2 * item

    async with asyncio.timeout(10):
        await asyncio.gather(use(), use(), use())
