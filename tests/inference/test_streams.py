"""Streams that do not end well, and what is settled for them."""

import asyncio
import time
from typing import Any

import grpc.aio
import orjson
import pytest
from google.api.httpbody_pb2 import HttpBody

from services.chassis.access import Principal
from tests.inference.conftest import House, Refused, Simulator

LONG = "[[sim:interval_ms=20]][[sim:repeat=200]][[sim:say=Dear John Smith, all is well. ]]"


def ask(directive: str, **more: Any) -> dict[str, Any]:
    content = f"Write to John Smith. {directive}"
    return {
        "model": "claude-sonnet-4-6",
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        **more,
    }


def call(house: House, principal: Principal, body: dict[str, Any]) -> Any:
    request = HttpBody(content_type="application/json", data=orjson.dumps(body))
    return house.messages.CreateMessage(request, metadata=house.metadata(principal), timeout=60)


async def status_of(house: House, ulid: str) -> tuple[str, str | None]:
    (row,) = await house.rows("SELECT status, error_code FROM records WHERE request_id = %s", ulid)
    return row


async def settlement(house: House, ulid: str) -> Any:
    await house.eventually(lambda: ulid in house.credits.settled)
    assert house.credits.reserved == set()
    return house.credits.settled[ulid]


async def only_record(house: House) -> str:
    ((ulid,),) = await house.rows("SELECT request_id FROM records")
    return ulid


@pytest.mark.parametrize(
    ("directive", "reason", "http_status"),
    [
        ("[[sim:status=400]]", "VALIDATION_FAILED", 400),
        ("[[sim:status=413]]", "REQUEST_TOO_LARGE", 413),
        ("[[sim:status=401]]", "INFERENCE_UPSTREAM_FAILURE", 502),
        ("[[sim:status=403]]", "INFERENCE_UPSTREAM_FAILURE", 502),
        ("[[sim:status=404]]", "INFERENCE_UPSTREAM_FAILURE", 502),
        ("[[sim:status=429]][[sim:retry_after=9]]", "INFERENCE_UNAVAILABLE", 503),
        ("[[sim:status=529]]", "INFERENCE_UNAVAILABLE", 503),
        ("[[sim:status=500]]", "INFERENCE_UPSTREAM_FAILURE", 502),
        ("[[sim:garbage]]", "INFERENCE_UPSTREAM_FAILURE", 502),
        ("[[sim:cut]]", "INFERENCE_UPSTREAM_FAILURE", 502),
        ("[[sim:hang]]", "UPSTREAM_TIMEOUT", 504),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_before_the_first_byte_a_failure_is_a_plain_error(
    house: House, alice: Principal, directive: str, reason: str, http_status: int, *, stream: bool
) -> None:
    with pytest.raises(Refused) as caught:
        await house.create(alice, ask(directive, stream=stream))
    failure = caught.value.failure
    assert (failure.reason, failure.http_status) == (reason, http_status)
    assert "John" not in failure.message
    if "retry_after" in directive:
        assert failure.details["retry_after_seconds"] == 9
    ulid = await only_record(house)
    assert await status_of(house, ulid) == ("failed", reason)
    assert (await settlement(house, ulid)).undelivered
    await house.eventually(lambda: house.agreements.actions() == ["inference.failed"])


@pytest.mark.parametrize(
    ("directive", "kind", "code"),
    [
        ("[[sim:midstream_error=5]]", "overloaded_error", "INFERENCE_UNAVAILABLE"),
        ("[[sim:cut_after=5]]", "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("[[sim:garbage_after=5]]", "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("[[sim:hang_after=5]]", "timeout_error", "UPSTREAM_TIMEOUT"),
    ],
)
async def test_after_the_first_byte_a_failure_is_an_error_event(
    house: House, alice: Principal, directive: str, kind: str, code: str
) -> None:
    answer = await house.create(alice, ask(f"{directive}[[sim:say=Dear John Smith, all is well and more]]"))
    last = answer.events[-1]
    assert last["type"] == "error"
    assert (last["error"]["type"], last["error"]["hasp_code"]) == (kind, code)
    assert all(event["type"] != "message_stop" for event in answer.events)
    ulid = await only_record(house)
    assert last["request_id"] == f"req_{ulid}"
    assert await status_of(house, ulid) == ("failed", code)
    settled = await settlement(house, ulid)
    assert settled.basis == "counted"
    assert not settled.undelivered
    assert settled.input_tokens > 0


async def test_held_text_is_not_lost_when_the_stream_dies(house: House, alice: Principal) -> None:
    answer = await house.create(alice, ask("[[sim:chunk=8]][[sim:cut_after=5]][[sim:say=Hello John Smith and so on]]"))
    text = "".join(e["delta"]["text"] for e in answer.events if e["type"] == "content_block_delta")
    # Two pieces of the masked "Hello [PERSON_1] and so on" came: the second ends inside the placeholder or right behind it.
    assert text in {"Hello John Smith", "Hello [PERSON_1"}


async def test_a_client_that_goes_away_stops_the_provider_at_once(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    stream = call(house, alice, ask(LONG))
    received = b""
    async for body in stream:
        received += body.data
        if b"well" in received:
            break
    gone = time.time()
    stream.cancel()
    await house.eventually(lambda: simulator.requests()[-1]["outcome"] != "running")
    request = simulator.requests()[-1]
    assert request["outcome"] == "abandoned"
    assert request["ended_at"] - gone < 0.1
    ulid = await only_record(house)
    settled = await settlement(house, ulid)
    assert settled.basis == "counted"
    assert settled.output_tokens > 0
    assert await status_of(house, ulid) == ("cancelled", None)
    await house.eventually(lambda: house.agreements.actions() == ["inference.cancelled"])


async def test_a_client_that_goes_away_before_any_usage_is_settled_as_unknown(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    stream = call(house, alice, ask("[[sim:delay_ms=3000]]", stream=False))
    reading = asyncio.ensure_future(stream.read())
    await house.eventually(simulator.requests)
    stream.cancel()
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        await reading
    ulid = await only_record(house)
    settled = await settlement(house, ulid)
    assert (settled.basis, settled.output_tokens, settled.undelivered) == ("unknown", 0, False)
    assert settled.input_tokens == house.credits.wanted[0].input_bound
    await house.eventually(lambda: simulator.requests()[-1]["outcome"] == "abandoned")


async def test_a_revoked_credential_ends_its_running_stream(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    stream = call(house, alice, ask(LONG))
    received = b""
    async for body in stream:
        received += body.data
        if b"well" in received and b"error" not in received:
            async with house.db.transaction(alice.org_id) as tx:
                await house.ground.changes.publish(tx, org_id=alice.org_id, subject_id=alice.id, cancel=True)
            break
    revoked = time.time()
    async for body in stream:
        received += body.data
    assert time.time() - revoked < 1
    assert b"event: error" in received
    assert b'"hasp_code":"INVALID_API_KEY"' in received
    ulid = await only_record(house)
    assert (await settlement(house, ulid)).basis == "counted"
    assert (await status_of(house, ulid))[0] == "cancelled"
    assert simulator.requests()[-1]["outcome"] == "abandoned"


async def test_a_revoked_credential_ends_its_running_call(house: House, alice: Principal, simulator: Simulator) -> None:
    asking = asyncio.create_task(house.create(alice, ask("[[sim:delay_ms=4000]]", stream=False)))
    await house.eventually(simulator.requests)
    async with house.db.transaction(alice.org_id) as tx:
        await house.ground.changes.publish(tx, org_id=alice.org_id, subject_id=alice.id, cancel=True)
    with pytest.raises(Refused) as caught:
        await asking
    assert (caught.value.failure.reason, caught.value.failure.http_status) == ("INVALID_API_KEY", 401)
    assert (await settlement(house, await only_record(house))).basis == "unknown"


async def test_the_first_byte_passes_as_soon_as_the_provider_sends_it(house: House, alice: Principal) -> None:
    started = time.perf_counter()
    first = None
    async for _ in call(house, alice, ask("[[sim:interval_ms=100]][[sim:repeat=5]][[sim:say=Hello there, all. ]]")):
        first = first or time.perf_counter() - started
    assert first is not None
    assert first < 0.5
    assert time.perf_counter() - started > 0.5


async def test_a_long_stream_is_checkpointed_and_renewed(house: House, alice: Principal) -> None:
    stream = call(house, alice, ask(LONG))
    async for body in stream:
        if b"well" in body.data:
            break
    ulid = await only_record(house)
    await house.eventually(lambda: ulid in house.credits.renewed)
    rows: list[Any] = []
    async with asyncio.timeout(5):
        while not rows:
            rows = await house.rows(
                "SELECT output_tokens FROM records WHERE request_id = %s AND basis = 'counted' AND answer IS NOT NULL",
                ulid,
            )
            await asyncio.sleep(0.05)
    assert rows[0][0] > 0
    stream.cancel()
    await settlement(house, ulid)


async def test_tools_stream_with_values_in_their_input(house: House, alice: Principal) -> None:
    tool = {"name": "lookup", "input_schema": {"type": "object", "properties": {"name": {"type": "string"}}}}
    directive = '[[sim:tool=lookup]][[sim:tool_input={"name": "John Smith"}]][[sim:chunk=3]]'
    answer = await house.create(alice, ask(directive, tools=[tool]))
    parts = [e["delta"]["partial_json"] for e in answer.events if e.get("delta", {}).get("type") == "input_json_delta"]
    assert orjson.loads("".join(parts)) == {"name": "John Smith"}


async def test_a_database_that_is_away_at_the_end_never_looks_like_a_whole_answer(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.chassis.errors import ServiceUnavailable
    from services.inference.usecases.runs import Runs

    async def away(*_: Any) -> bool:
        raise ServiceUnavailable

    monkeypatch.setattr(Runs, "_commit", away)
    answer = await house.create(alice, ask("[[sim:say=Hello]]"))
    assert answer.events[-1]["type"] == "error"
    assert all(event["type"] != "message_stop" for event in answer.events)
