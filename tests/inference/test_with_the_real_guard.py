"""The service with Presidio's processes behind it: nothing that was said leaves, in any place of a request."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.chassis.access import Principal
from services.inference.clients.presidio import PoolSettings, PresidioPool
from tests.inference.conftest import House, Simulator
from tests.inference.test_chat import ask as ask_chat

SAID = ("Maria Lopez", "536-22-8812", "4827193", "maria.lopez@example.org")
TEXT = "Patient Maria Lopez, SSN 536-22-8812, MRN 4827193, e-mail maria.lopez@example.org."
ASK: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 300}


@pytest.fixture
async def guarded(house: House) -> AsyncIterator[House]:
    pool = PresidioPool(PoolSettings(workers=1))
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
