"""A provider that misbehaves in every way at once, and callers that go away: nothing hangs, nothing leaks, every call is settled once."""

import asyncio
import random
from collections import Counter
from typing import Any

import grpc.aio
import pytest
from hasp.inference.v1.chat_service_pb2 import ChatRequest

from services.chassis.access import Principal
from tests.inference.conftest import House
from tests.inference.test_streams import ask, call

DIRECTIVES = (
    "",
    "",
    "[[sim:interval_ms=5]][[sim:repeat=20]][[sim:say=Dear John Smith, ]]",
    "[[sim:status=400]]",
    "[[sim:status=401]]",
    "[[sim:status=429]][[sim:retry_after=3]]",
    "[[sim:status=500]]",
    "[[sim:status=529]]",
    "[[sim:garbage]]",
    "[[sim:cut]]",
    "[[sim:cut_after=4]]",
    "[[sim:garbage_after=4]]",
    "[[sim:midstream_error=4]]",
    "[[sim:hang]]",
    "[[sim:hang_after=4]]",
    "[[sim:delay_ms=200]]",
)


async def one(house: House, principal: Principal, dice: random.Random) -> str:
    directive = dice.choice(DIRECTIVES)
    surface = dice.choice(["messages", "messages", "chat"])
    if surface == "chat":
        request = ChatRequest(message=f"Write to John Smith. {directive}", stream=dice.random() < 0.5)
        stream: Any = house.chat.CreateChat(request, metadata=house.metadata(principal), timeout=30)
    else:
        stream = call(house, principal, ask(directive, stream=dice.random() < 0.5))
    leaving = dice.random() < 0.25
    received = b""
    try:
        async with asyncio.timeout(dice.uniform(0.01, 0.5) if leaving else 20):
            async for body in stream:
                received += body.data
    except TimeoutError:
        stream.cancel()
        return "left" if leaving else "hung"
    except grpc.aio.AioRpcError as error:
        return error.code().name
    whole = b"message_stop" in received or b"run.completed" in received or received.endswith(b"}")
    return (
        "whole" if whole else "broken" if b"error" in received or b"run.failed" in received else "cut short in silence"
    )


@pytest.mark.parametrize("seed", [1])
async def test_nothing_hangs_and_nothing_leaks(house: House, alice: Principal, seed: int) -> None:
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for _ in range(6):
        outcomes.update(await asyncio.gather(*(one(house, alice, dice) for _ in range(50))))
    assert outcomes["hung"] == 0
    assert outcomes["cut short in silence"] == 0
    assert outcomes["whole"] > 30
    await house.eventually(lambda: not house.inference.runs.running, seconds=20)
    ((records,),) = await house.rows("SELECT count(*) FROM records")
    assert await house.rows("SELECT request_id FROM records WHERE status = 'dispatched'") == []
    await house.eventually(lambda: len(house.agreements.events) == records, seconds=20)
    await house.eventually(lambda: not house.credits.reserved, seconds=20)
    ended = {event.entity_id for event in house.agreements.events.values()}
    assert len(ended) == records
    assert set(house.credits.settled) >= ended
    unbilled = await house.rows("SELECT request_id FROM records WHERE basis = 'reported' AND status <> 'completed'")
    assert all(not house.credits.settled[ulid].undelivered for (ulid,) in unbilled)
