"""Idempotency-Key on inference: never run twice, never billed twice."""

import asyncio
from typing import Any

import pytest

from services.chassis.access import Principal
from tests.inference.conftest import Failure, House, Refused, Simulator, person
from tests.inference.test_chat import chat

ASK: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "How is John Smith?"}],
}


async def refused(house: House, principal: Principal, body: Any, key: str) -> Failure:
    with pytest.raises(Refused) as caught:
        await house.create(principal, body, idempotency_key=key)
    return caught.value.failure


async def test_a_repeat_is_rebuilt_from_the_record(house: House, alice: Principal, simulator: Simulator) -> None:
    first = await house.create(alice, ASK, idempotency_key="k1")
    again = await house.create(alice, ASK, idempotency_key="k1")
    assert again.json == first.json
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-hasp-request-id"] == first.json["meta"]["request_id"]
    assert "idempotent-replayed" not in first.headers
    assert len(simulator.requests()) == 1
    assert len(house.credits.wanted) == 1


async def test_a_native_repeat_is_rebuilt_too(house: House, alice: Principal, simulator: Simulator) -> None:
    headers = {"idempotency_key": "k1"}
    first = await chat(house, alice, "How is John Smith?", stream=False, headers=headers)
    again = await chat(house, alice, "How is John Smith?", stream=False, headers=headers)
    assert again.json == first.json
    assert again.headers["idempotent-replayed"] == "true"
    assert len(simulator.requests()) == 1


async def test_the_same_key_with_another_body_is_refused(house: House, alice: Principal) -> None:
    await house.create(alice, ASK, idempotency_key="k1")
    failure = await refused(house, alice, ASK | {"max_tokens": 100}, "k1")
    assert (failure.reason, failure.http_status) == ("IDEMPOTENCY_KEY_REUSED", 422)
    await house.create(person(org_id=alice.org_id), ASK | {"max_tokens": 100}, idempotency_key="k1")


@pytest.mark.parametrize("how", ["streamed", "failed", "unstored"])
async def test_what_cannot_be_rebuilt_is_a_duplicate(
    house: House, alice: Principal, simulator: Simulator, how: str
) -> None:
    body = ASK
    if how == "streamed":
        body = ASK | {"stream": True}
        await house.create(alice, body, idempotency_key="k1")
    elif how == "failed":
        body = ASK | {"messages": [{"role": "user", "content": "[[sim:status=400]]"}]}
        assert (await refused(house, alice, body, "k1")).reason == "VALIDATION_FAILED"
    else:
        await house.inference.settings.update(alice, {"storage_mode": "none"})
        await house.create(alice, body, idempotency_key="k1")
    ((ulid,),) = await house.rows("SELECT request_id FROM records")
    failure = await refused(house, alice, body, "k1")
    assert (failure.reason, failure.http_status) == ("DUPLICATE_REQUEST", 409)
    assert failure.details == {"request_id": f"req_{ulid}"}
    assert len(simulator.requests()) == 1


async def test_while_the_first_runs_a_repeat_is_told_to_wait(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    body = ASK | {"messages": [{"role": "user", "content": "[[sim:delay_ms=800]]"}]}
    first = asyncio.create_task(house.create(alice, body, idempotency_key="k1"))
    await house.eventually(simulator.requests)
    failure = await refused(house, alice, body, "k1")
    assert (failure.reason, failure.http_status) == ("REQUEST_IN_PROGRESS", 409)
    answer = await first
    assert (await house.create(alice, body, idempotency_key="k1")).json == answer.json


async def test_a_refusal_before_the_run_leaves_the_key_free(house: House, alice: Principal) -> None:
    house.scanner.down = True
    assert (await refused(house, alice, ASK, "k1")).reason == "PHI_GUARD_UNAVAILABLE"
    house.scanner.down = False
    await house.create(alice, ASK, idempotency_key="k1")


async def test_many_at_once_run_once(house: House, alice: Principal, simulator: Simulator) -> None:
    answers = await asyncio.gather(
        *(house.create(alice, ASK, idempotency_key="k1") for _ in range(20)), return_exceptions=True
    )
    assert len(simulator.requests()) == 1
    refusals = {answer.failure.reason for answer in answers if isinstance(answer, Refused)}
    assert refusals <= {"REQUEST_IN_PROGRESS"}
