"""Records: what can be read back, and by whom."""

from typing import Any

import grpc.aio
import pytest
from google.protobuf import json_format
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent
from hasp.inference.v1.record_service_pb2 import GetRecordRequest

from services.chassis.access import Principal
from tests.inference.conftest import Failure, House, Refused, person
from tests.inference.test_chat import ask as ask_chat

ASK: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 200,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Summarise the visit of John Smith, 536-22-8812."}],
}


async def get(house: House, principal: Principal, record_id: str) -> dict[str, Any]:
    try:
        answer = await house.records.GetRecord(
            GetRecordRequest(id=record_id), metadata=house.metadata(principal), timeout=10
        )
    except grpc.aio.AioRpcError as error:
        raise Refused(Failure.of(error)) from None
    return json_format.MessageToDict(
        answer.data, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def told(event: AuditEvent) -> dict[str, Any]:
    """An event's metadata."""
    return json_format.MessageToDict(event.metadata)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_record_shows_both_sides(house: House, alice: Principal, *, stream: bool) -> None:
    answer = await house.create(alice, ASK | {"stream": stream})
    message = answer.events[0]["message"] if stream else answer.json
    ulid = message["id"].removeprefix("msg_")
    for form in (ulid, f"msg_{ulid}", f"req_{ulid}"):
        record = await get(house, alice, form)
    assert (record["id"], record["request_id"], record["message_id"]) == (ulid, f"req_{ulid}", f"msg_{ulid}")
    assert (record["surface"], record["status"], record["store"]) == ("anthropic", "completed", True)
    assert record["messages"] == ASK["messages"]
    assert "John Smith, 536-22-8812" in record["content"][0]["text"]
    assert record["provider_message_id"] not in (None, f"msg_{ulid}")
    assert record["stop_reason"] == "end_turn"
    assert record["conversation_id"] is None
    phi = record["phi"]
    assert (phi["mode"], phi["action"], phi["entity_types"]) == ("redact", "redacted", ["PERSON", "US_SSN"])
    assert [(r["path"], r["placeholder"]) for r in phi["redactions"]] == [
        ("messages[0].content", "[PERSON_1]"),
        ("messages[0].content", "[SSN_1]"),
    ]
    assert (phi["redaction_count"], phi["restored_count"]) == (2, 2)
    assert record["usage"]["input_tokens"] > 0
    assert record["latency_ms"]["total"] > 0
    assert [(r["entity_type"], r["category"], r["recognizer"], r["score"]) for r in phi["redactions"]] == [
        ("PERSON", "A", "twin", 0.9),
        ("US_SSN", "G", "twin", 0.9),
    ]
    said = ASK["messages"][0]["content"]
    assert [said[int(r["start"]) : int(r["end"])] for r in phi["redactions"]] == ["John Smith", "536-22-8812"]
    (entry,) = record["audit"]["entry_ids"]
    await house.eventually(lambda: entry in house.agreements.events)
    event = house.agreements.events[entry]
    assert (event.action, event.entity_id, event.request_id) == ("inference.completed", ulid, f"req_{ulid}")
    assert (event.actor_type, event.actor_id, event.user_id) == ("api_key", alice.id, alice.user_id)
    assert told(event)["redactions_by_type"] == {"PERSON": 1, "US_SSN": 1}
    assert told(event)["redactions_by_category"] == {"A": 1, "G": 1}
    assert "John" not in str(event)
    assert "536" not in str(event.metadata)


async def test_nothing_that_was_said_is_readable_in_the_database(house: House, alice: Principal) -> None:
    await house.create(alice, ASK)
    await ask_chat(house, alice, "How is John Smith?")
    for table in ("records", "conversations", "conversation_turns", "outbox", "idempotency_keys"):
        for (row,) in await house.rows(f"SELECT t::text FROM {table} AS t"):
            assert "John" not in row
            assert b"John Smith".hex() not in row


async def test_every_detection_is_named_by_its_place(house: House, alice: Principal) -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": '{"note": "\\u00e9 \\"John Smith\\""}'}
    used = {"type": "tool_use", "id": "toolu_01", "name": "lookup", "input": {"who": "John Smith"}}
    body = ASK | {
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "You help 😀 John Smith."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello."}, {"type": "text", "text": "536-22-8812"}]},
            {"role": "assistant", "content": [used]},
            {"role": "user", "content": [result]},
        ],
    }
    ulid = (await house.create(alice, body)).json["id"].removeprefix("msg_")
    phi = (await get(house, alice, ulid))["phi"]
    places = [(r["path"], r["start"], r["end"], r["category"], r["placeholder"]) for r in phi["redactions"]]
    assert places == [
        ("system[1].text", 11, 21, "A", "[PERSON_1]"),
        ("messages[0].content[1].text", 0, 11, "G", "[SSN_1]"),
        ("messages[1].content[0].input", None, None, "A", "[PERSON_1]"),
        ("messages[2].content[0].content", 19, 29, "A", "[PERSON_1]"),
    ]
    assert result["content"][19:29] == "John Smith"
    ((readable, sealed),) = await house.rows("SELECT phi, detections FROM records")
    assert readable["by_type"] == {"PERSON": 3, "US_SSN": 1}
    assert "messages" not in str(readable)
    assert b"PERSON" not in sealed


async def test_detections_are_kept_where_contents_are_not(house: House, alice: Principal) -> None:
    answer = await ask_chat(house, alice, "How is John Smith?", store=False)
    record = await get(house, alice, answer["data"]["message"]["id"])
    assert record["messages"] is None
    (found,) = record["phi"]["redactions"]
    assert (found["path"], found["entity_type"], found["recognizer"]) == ("message", "PERSON", "twin")
    assert (found["start"], found["end"]) == (7, 17)


async def test_a_record_of_before_detections_were_sealed_still_names_them(house: House, alice: Principal) -> None:
    ulid = (await house.create(alice, ASK)).json["id"].removeprefix("msg_")
    async with house.db.hot.connection() as connection:
        await connection.execute(
            """UPDATE records SET detections = NULL, phi = phi - 'by_type'
                   || '{"redactions": [["messages[0].content", "PERSON", "[PERSON_1]", 0.9, "twin"]]}'"""
        )
    (found,) = (await get(house, alice, ulid))["phi"]["redactions"]
    assert (found["entity_type"], found["recognizer"], found["start"]) == ("PERSON", "twin", None)


async def test_what_was_counted_and_what_was_blocked_is_in_the_audit_by_category(
    house: House, alice: Principal
) -> None:
    await house.count(alice, {name: ASK[name] for name in ("model", "system", "messages")})
    body = ASK | {"tools": [{"name": "lookup", "description": "Finds John Smith.", "input_schema": {"type": "object"}}]}
    with pytest.raises(Refused):
        await house.create(alice, body)
    settings = await house.inference.settings.of(alice.org_id)
    assert settings.phi_mode == "redact"
    await house.inference.settings.update(alice, {"phi_mode": "block"})
    with pytest.raises(Refused):
        await house.create(alice, ASK)
    await house.eventually(lambda: house.agreements.actions().count("inference.blocked") == 2)
    by_reason = {
        told(event)["reason"]: event
        for event in house.agreements.events.values()
        if event.action == "inference.blocked"
    }
    blocked = told(by_reason["PHI_BLOCKED"])
    assert blocked["detections_by_type"] == {"PERSON": 1, "US_SSN": 1}
    assert blocked["detections_by_category"] == {"A": 1, "G": 1}
    assert blocked["param"] == "messages[0].content"
    assert told(by_reason["PHI_IN_TOOL_SCHEMA"])["param"] == "tools[0]"
    (counted,) = [event for event in house.agreements.events.values() if event.action == "inference.tokens_counted"]
    assert told(counted)["redactions_by_category"] == {"A": 1, "G": 1}
    assert not any("John" in str(event) or "536" in str(event.metadata) for event in house.agreements.events.values())


async def test_a_record_is_its_organizations_own(house: House, alice: Principal, mallory: Principal) -> None:
    ulid = (await house.create(alice, ASK)).json["id"].removeprefix("msg_")
    for principal, record_id in ((mallory, ulid), (alice, "01ARZ3NDEKTSV4RRFFQ69G5FAV"), (alice, "nonsense")):
        with pytest.raises(Refused) as caught:
            await get(house, principal, record_id)
        assert (caught.value.failure.reason, caught.value.failure.http_status) == ("RESOURCE_NOT_FOUND", 404)
    await get(house, person(org_id=alice.org_id), ulid)


async def test_an_agent_reads_only_what_its_own_credential_made(house: House, alice: Principal) -> None:
    agent = person(
        "agent", org_id=alice.org_id, agent_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", delegation_path=(alice.user_id,)
    )
    twin = person("agent", org_id=alice.org_id, agent_id=agent.agent_id)
    ulid = (await house.create(agent, ASK)).json["id"].removeprefix("msg_")
    await get(house, agent, ulid)
    await get(house, alice, ulid)
    with pytest.raises(Refused):
        await get(house, twin, ulid)
    await house.eventually(lambda: house.agreements.events)
    (event,) = house.agreements.events.values()
    assert (event.actor_type, event.actor_id, event.credential_id) == ("agent", agent.agent_id, agent.id)
    assert list(event.delegation_path) == [alice.user_id]
    assert house.credits.wanted[0].agent_id == agent.agent_id


async def test_a_native_record_names_its_conversation(house: House, alice: Principal) -> None:
    answer = await ask_chat(house, alice, "How is John Smith?")
    record = await get(house, alice, answer["data"]["message"]["id"])
    assert record["surface"] == "native"
    assert record["conversation_id"] == answer["data"]["conversation_id"]
    assert record["messages"] == [{"role": "user", "content": "How is John Smith?"}]
    assert record["content"][0]["text"] == answer["data"]["message"]["content"]
    unstored = await ask_chat(house, alice, "How is John Smith?", store=False)
    record = await get(house, alice, unstored["data"]["message"]["id"])
    assert (record["messages"], record["content"], record["store"]) == (None, None, False)
    assert record["usage"]["output_tokens"] > 0
