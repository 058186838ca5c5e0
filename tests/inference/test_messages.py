"""One Messages call through everything: gate, guard, billing, record, provider, audit."""

from services.chassis.access import Principal
from tests.inference.conftest import House, Simulator

ASK = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Summarise the visit of John Smith, 536-22-8812."}],
}


async def test_a_message_goes_out_masked_and_comes_back_restored(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    answer = await house.create(alice, ASK)
    body = answer.json
    assert "John Smith, 536-22-8812" in body["content"][0]["text"]
    assert body["id"].startswith("msg_")
    assert body["meta"]["request_id"] == "req_" + body["id"].removeprefix("msg_")
    sent = simulator.requests()[-1]
    assert "John Smith" not in sent["body"]
    assert "536-22-8812" not in sent["body"]
    assert "[PERSON_1]" in sent["body"]
    assert sent["headers"]["authorization"] == "Bearer upstream-key"
    assert house.token_of(alice) not in str(sent["headers"])
    ulid = body["id"].removeprefix("msg_")
    await house.eventually(lambda: ulid in house.credits.settled and house.agreements.events)
    settled = house.credits.settled[ulid]
    assert (settled.input_tokens, settled.output_tokens) == (
        body["usage"]["input_tokens"],
        body["usage"]["output_tokens"],
    )
    assert settled.basis == "reported"
    assert house.agreements.actions() == ["inference.completed"]
    assert answer.headers["x-ratelimit-limit-requests"] == "60"


async def test_a_stream_is_restored_and_keeps_the_providers_frames(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    answer = await house.create(alice, ASK | {"stream": True})
    kinds = [event["type"] for event in answer.events]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    text = "".join(e["delta"]["text"] for e in answer.events if e["type"] == "content_block_delta")
    assert "John Smith, 536-22-8812" in text
    assert answer.content_type.startswith("text/event-stream")
    assert b'event: ping\ndata: {"type": "ping"}\n\n' in answer.data
    ulid = answer.events[0]["message"]["id"].removeprefix("msg_")
    await house.eventually(lambda: ulid in house.credits.settled)
    assert house.credits.settled[ulid].basis == "reported"
