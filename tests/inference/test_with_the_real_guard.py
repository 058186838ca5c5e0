"""The service with Presidio's processes behind it: nothing that was said leaves, in any place of a request."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.chassis.access import Principal
from services.inference.clients.presidio import PoolSettings, PresidioPool
from services.inference.clients.presidio.analyzer.rules.table import load
from tests.inference.conftest import House, Simulator
from tests.inference.test_chat import ask as ask_chat
from tests.inference.test_records import get, told

SAID = ("Maria Lopez", "536-22-8812", "4827193", "maria.lopez@example.org")
TEXT = "Patient Maria Lopez, SSN 536-22-8812, MRN 4827193, e-mail maria.lopez@example.org."
RECOGNIZERS = {rule.id for rule in load()} | {
    "ner",
    "field",
    "column",
    "lower_case_name",
    "known_town",
    "known_value",
    "echo",
}
ASK: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 300}


@pytest.fixture
async def guarded(house: House) -> AsyncIterator[House]:
    pool = PresidioPool(PoolSettings(workers=1, load_seconds=110))
    await pool.start()
    house.scanner.detect = pool.detect
    house.scanner.read_pdf = pool.read_pdf
    yield house
    await pool.stop()


async def test_no_place_of_a_request_lets_it_out(guarded: House, alice: Principal, simulator: Simulator) -> None:
    tool = {"name": "lookup", "description": "Looks a patient up.", "input_schema": {"type": "object"}}
    used = {"type": "tool_use", "id": "toolu_01", "name": "lookup", "input": {"patient": "Maria Lopez", "mrn": 4827193}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_01",
        "content": [{"type": "text", "text": '{"name": "Maria Lopez", "ssn": "536-22-8812"}'}],
    }
    body = ASK | {
        "system": [{"type": "text", "text": TEXT}],
        "tools": [tool],
        "metadata": {"user_id": "maria.lopez@example.org"},
        "stop_sequences": ["Maria Lopez"],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": TEXT}]},
            {"role": "assistant", "content": [used]},
            {"role": "user", "content": [result, {"type": "text", "text": "Who is Maria Lopez?"}]},
        ],
    }
    answer = await guarded.create(alice, body)
    await guarded.create(alice, body | {"stream": True})
    await guarded.count(alice, {name: body[name] for name in ("model", "system", "tools", "messages")})
    await ask_chat(guarded, alice, TEXT, system=TEXT)
    assert answer.json["stop_sequence"] == "Maria Lopez"
    requests = simulator.requests()
    assert len(requests) == 4
    for request in requests:
        for value in SAID:
            assert value not in request["body"]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_record_names_each_detection_and_the_value_is_nowhere(
    guarded: House, alice: Principal, capfd: pytest.CaptureFixture[str], *, stream: bool
) -> None:
    body = ASK | {"stream": stream, "messages": [{"role": "user", "content": [{"type": "text", "text": TEXT}]}]}
    answer = await guarded.create(alice, body)
    native = await ask_chat(guarded, alice, TEXT)
    await guarded.count(alice, {name: body[name] for name in ("model", "messages")})
    message = answer.events[0]["message"] if stream else answer.json
    for record_id, path in (
        (message["id"], "messages[0].content[0].text"),
        (native["data"]["message"]["id"], "message"),
    ):
        record = await get(guarded, alice, record_id)
        found = record["phi"]["redactions"]
        assert [(r["entity_type"], r["category"], TEXT[int(r["start"]) : int(r["end"])]) for r in found] == [
            ("PERSON", "A", "Maria Lopez"),
            ("US_SSN", "G", "536-22-8812"),
            ("MEDICAL_RECORD_NUMBER", "H", "4827193"),
            ("EMAIL_ADDRESS", "F", "maria.lopez@example.org"),
        ]
        assert [r["placeholder"] for r in found] == ["[PERSON_1]", "[SSN_1]", "[MRN_1]", "[EMAIL_1]"]
        assert {r["path"] for r in found} == {path}
        for redaction in found:
            assert redaction["recognizer"] in RECOGNIZERS
            assert 0 < redaction["score"] <= 1
        (entry,) = record["audit"]["entry_ids"]
        await guarded.eventually(lambda entry=entry: entry in guarded.agreements.events)
        counted = told(guarded.agreements.events[entry])
        assert counted["redactions_by_category"] == {"A": 1, "F": 1, "G": 1, "H": 1}
        assert counted["redactions_by_type"] == {redaction["entity_type"]: 1 for redaction in found}
    await guarded.eventually(lambda: "inference.tokens_counted" in guarded.agreements.actions())
    said = [str(event) for event in guarded.agreements.events.values()]
    for (table,) in await guarded.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    ):
        said += [row for (row,) in await guarded.rows(f'SELECT t::text FROM "{table}" AS t')]
    said += [*capfd.readouterr()]
    for value in SAID:
        assert not any(value in each or value.encode().hex() in each for each in said)
