"""The native surface: one turn, its events, and conversations."""

import asyncio
import re
import time
from typing import Any

import grpc.aio
import orjson
import pytest
from hasp.inference.v1.chat_service_pb2 import ChatRequest

from services.chassis.access import Principal
from services.inference.clients.metering import Decision
from services.inference.usecases import chat_stream
from tests.inference.conftest import Answered, Failure, House, Refused, Simulator, person


async def chat(house: House, principal: Principal, message: str, **fields: Any) -> Answered:
    headers = fields.pop("headers", {})
    request = ChatRequest(message=message, **fields)
    return await house.collect(
        house.chat.CreateChat(request, metadata=house.metadata(principal, **headers), timeout=30)
    )


async def ask(house: House, principal: Principal, message: str, **fields: Any) -> Any:
    return (await chat(house, principal, message, stream=False, **fields)).json


async def refused(house: House, principal: Principal, message: str, **fields: Any) -> Failure:
    with pytest.raises(Refused) as caught:
        await chat(house, principal, message, **fields)
    return caught.value.failure


async def test_a_turn_is_answered_in_one_piece(house: House, alice: Principal, simulator: Simulator) -> None:
    answer = await ask(house, alice, "How is John Smith, 536-22-8812?")
    data, meta = answer["data"], answer["meta"]
    assert answer["success"] is True
    assert "John Smith, 536-22-8812" in data["message"]["content"]
    assert data["message"]["role"] == "assistant"
    ulid = data["message"]["id"].removeprefix("msg_")
    assert meta["request_id"] == f"req_{ulid}"
    assert data["conversation_id"].startswith("conv_")
    assert meta["phi"] == {
        "mode": "redact",
        "action": "redacted",
        "entity_types": ["PERSON", "US_SSN"],
        "redaction_count": 2,
        "restored_count": 2,
    }
    usage = meta["usage"]
    assert usage["sonnet_equivalent_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["cost_usd"] == pytest.approx(usage["input_tokens"] * 3e-6 + usage["output_tokens"] * 15e-6)
    assert usage["model"] == "claude-sonnet-4-6"
    sent = simulator.requests()[-1]["body"]
    assert "John" not in sent
    assert orjson.loads(sent)["max_tokens"] == 4096
    await house.eventually(lambda: ulid in house.credits.settled)


async def test_a_stream_tells_its_events_in_order(house: House, alice: Principal) -> None:
    answer = await chat(house, alice, "[[sim:say=Dear John Smith, all is well.]]")
    events = answer.events
    kinds = [event["type"] for event in events]
    assert [kind for kind in kinds if kind != "message.delta"] == [
        "run.created",
        "run.started",
        "message.created",
        "message.completed",
        "usage.updated",
        "run.completed",
    ]
    assert kinds[3] == "message.delta"
    assert kinds[-4] == "message.delta"
    by_kind = {event["type"]: event for event in events}
    text = "".join(event["data"]["delta"]["text"] for event in events if event["type"] == "message.delta")
    assert text == "Dear John Smith, all is well."
    run = by_kind["run.created"]["data"]["object"]
    assert (run["object"], run["status"], run["model"]) == ("run", "created", "claude-sonnet-4-6")
    started = by_kind["run.started"]["data"]
    assert started["object"]["status"] == "in_progress"
    assert started["request_id"] == run["id"]
    assert started["message_id"] == run["id"].replace("req_", "msg_")
    assert by_kind["message.completed"]["data"]["object"] == {
        "id": started["message_id"],
        "object": "message",
        "role": "assistant",
        "status": "completed",
        "content": text,
    }
    assert by_kind["usage.updated"]["data"]["model"] == "claude-sonnet-4-6"
    assert by_kind["run.completed"]["data"]["phi"]["restored_count"] == 1
    assert by_kind["run.completed"]["data"]["object"]["status"] == "completed"
    for event in events:
        assert set(event) == {"id", "object", "type", "api_version", "created", "data"}
        assert (event["object"], event["api_version"]) == ("event", "2026-04-01")
    frame = answer.data.split(b"\n\n")[0].decode()
    assert re.fullmatch(r'event: run\.created\nid: (evt_\w{26})\ndata: \{"id":"\1",.*\}', frame)


async def test_the_typed_twin_tells_the_same(house: House, alice: Principal) -> None:
    request = ChatRequest(message="[[sim:say=Dear John Smith]]")
    events = [e async for e in house.chat.StreamChat(request, metadata=house.metadata(alice), timeout=30)]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[:3] == ["run", "run", "message"]
    assert kinds[-3:] == ["message", "usage", "run"]
    assert "".join(event.message_delta.text for event in events) == "Dear John Smith"
    assert events[-1].run.type == "run.completed"
    assert events[-1].run.phi.restored_count == 1


async def test_a_run_that_fails_says_so_in_its_stream(house: House, alice: Principal) -> None:
    for directive, code in (
        ("[[sim:status=529]][[sim:retry_after=4]]", "INFERENCE_UNAVAILABLE"),
        ("[[sim:cut_after=4]][[sim:say=Hello over there]]", "INFERENCE_UPSTREAM_FAILURE"),
    ):
        answer = await chat(house, alice, directive)
        last = answer.events[-1]
        assert last["type"] == "run.failed"
        assert last["data"]["object"]["status"] == "failed"
        assert (last["data"]["error"]["code"], last["data"]["error"]["retryable"]) == (code, True)
        assert all(event["type"] != "run.completed" for event in answer.events)


async def test_a_failure_before_the_run_is_a_plain_error(house: House, alice: Principal) -> None:
    house.credits.decision = Decision(reserved=False, exhausted=True, cycle_reset_at="2026-06-01T00:00:00+00:00")
    failure = await refused(house, alice, "Hello")
    assert (failure.reason, failure.http_status) == ("AI_CREDITS_EXHAUSTED", 402)
    assert failure.details == {"cycle_reset_at": "2026-06-01T00:00:00+00:00"}
    failure = await refused(house, alice, "")
    assert (failure.reason, failure.http_status, failure.param) == ("VALIDATION_FAILED", 400, "message")
    failure = await refused(house, alice, "Hello", max_tokens=0)
    assert (failure.reason, failure.http_status, failure.param) == ("VALIDATION_FAILED", 400, "max_tokens")


async def test_in_one_piece_the_providers_failure_is_a_plain_error(house: House, alice: Principal) -> None:
    failure = await refused(house, alice, "[[sim:status=529]][[sim:retry_after=4]]", stream=False)
    assert (failure.reason, failure.http_status) == ("INFERENCE_UNAVAILABLE", 503)
    assert failure.details == {"retry_after_seconds": 4}


async def test_a_revoked_credential_cancels_its_run(house: House, alice: Principal, simulator: Simulator) -> None:
    request = ChatRequest(message="[[sim:interval_ms=20]][[sim:repeat=300]][[sim:say=word after word ]]")
    stream = house.chat.CreateChat(request, metadata=house.metadata(alice), timeout=30)
    received = b""
    async for body in stream:
        received += body.data
        if b"message.delta" in received and b"cancel" not in received:
            async with house.db.transaction(alice.org_id) as tx:
                await house.ground.changes.publish(tx, org_id=alice.org_id, subject_id=alice.id, cancel=True)
            break
    async for body in stream:
        received += body.data
    kinds = re.findall(rb"event: (\S+)", received)
    assert kinds[-2:] == [b"run.cancel_requested", b"run.cancelled"]
    assert simulator.requests()[-1]["outcome"] == "abandoned"


async def test_a_client_that_goes_away_stops_the_provider(house: House, alice: Principal, simulator: Simulator) -> None:
    request = ChatRequest(message="[[sim:interval_ms=20]][[sim:repeat=300]][[sim:say=word after word ]]")
    stream = house.chat.CreateChat(request, metadata=house.metadata(alice), timeout=30)
    async for body in stream:
        if b"message.delta" in body.data:
            break
    gone = time.time()
    stream.cancel()
    await house.eventually(lambda: simulator.requests()[-1]["outcome"] == "abandoned")
    assert simulator.requests()[-1]["ended_at"] - gone < 0.1
    await house.eventually(lambda: house.agreements.actions() == ["inference.cancelled"])


async def test_silence_is_said_aloud(house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_stream, "SILENCE", 0.1)
    answer = await chat(house, alice, "[[sim:delay_ms=500]]")
    assert answer.data.count(b": ping\n\n") >= 2
    assert answer.events[-1]["type"] == "run.completed"


async def test_a_conversation_goes_on_with_its_placeholders(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    first = await ask(house, alice, "I am writing about John Smith. [[sim:say=Yes, John Smith.]]")
    conversation = first["data"]["conversation_id"]
    second = await ask(house, alice, "His number is 536-22-8812, and John Smith it is.", conversation_id=conversation)
    assert second["data"]["conversation_id"] == conversation
    messages = simulator.bodies()[-1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == "Yes, [PERSON_1]."
    assert messages[2]["content"] == "His number is [SSN_1], and [PERSON_1] it is."
    assert simulator.bodies()[0]["messages"][0]["content"] == messages[0]["content"]


async def test_a_conversation_is_its_organizations_own(house: House, alice: Principal, mallory: Principal) -> None:
    conversation = (await ask(house, alice, "Hello"))["data"]["conversation_id"]
    for principal, name in ((mallory, conversation), (alice, "conv_unknown"), (alice, conversation.lower())):
        failure = await refused(house, principal, "And then?", conversation_id=name)
        assert (failure.reason, failure.http_status) == ("RESOURCE_NOT_FOUND", 404)
    colleague = person(org_id=alice.org_id)
    await ask(house, colleague, "And then?", conversation_id=conversation)
    agent = person("agent", org_id=alice.org_id, agent_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert (await refused(house, agent, "And then?", conversation_id=conversation)).reason == "RESOURCE_NOT_FOUND"


async def test_what_is_not_stored_cannot_be_continued(house: House, alice: Principal) -> None:
    answer = await ask(house, alice, "Hello John Smith", store=False)
    assert answer["data"]["conversation_id"] is None
    assert "John Smith" in answer["data"]["message"]["content"]
    conversation = (await ask(house, alice, "Hello"))["data"]["conversation_id"]
    await house.inference.settings.update(alice, {"storage_mode": "none"})
    assert (await ask(house, alice, "Hello"))["data"]["conversation_id"] is None
    assert (await refused(house, alice, "Go on", conversation_id=conversation)).reason == "RESOURCE_NOT_FOUND"
    rows = await house.rows("SELECT request IS NULL AND answer IS NULL FROM records ORDER BY request_id")
    assert rows == [(True,), (False,), (True,)]
    assert len(await house.rows("SELECT 1 FROM conversations")) == 1


async def test_two_turns_at_once_do_not_give_one_number_to_two_people(house: House, alice: Principal) -> None:
    conversation = (await ask(house, alice, "Hello"))["data"]["conversation_id"]
    house.scanner.delay = 0.1
    asked = [ask(house, alice, f"John Smith {n}", conversation_id=conversation) for n in range(3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    failures = [answer.failure for answer in answers if isinstance(answer, Refused)]
    assert len(failures) == 2
    assert {(failure.reason, failure.http_status) for failure in failures} == {("CONCURRENT_MODIFICATION", 409)}
    assert len(house.credits.released) == 2


async def test_the_organizations_system_prompt_stands_in(house: House, alice: Principal, simulator: Simulator) -> None:
    await house.inference.settings.update(alice, {"default_system": "You help John Smith."})
    await ask(house, alice, "Hello")
    assert simulator.bodies()[-1]["system"] == "You help [PERSON_1]."
    await ask(house, alice, "Hello", system="Be brief.")
    assert simulator.bodies()[-1]["system"] == "Be brief."


async def test_without_restoration_placeholders_stay(house: House, alice: Principal) -> None:
    await house.inference.settings.update(alice, {"phi_restore": False})
    answer = await ask(house, alice, "How is John Smith?")
    assert "[PERSON_1]" in answer["data"]["message"]["content"]
    assert answer["meta"]["phi"]["restored_count"] == 0
    text = (await chat(house, alice, "How is John Smith?")).data
    assert b"[PERSON_1]" in text
    assert b"John Smith" not in text


async def test_a_missing_token_is_refused(house: House) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in house.chat.CreateChat(ChatRequest(message="Hello"), timeout=5):
            pass
    assert Failure.of(caught.value).reason == "INVALID_API_KEY"
