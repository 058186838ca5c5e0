"""Every refusal before anything leaves: its code, its place in the order, and what it leaves behind."""

from dataclasses import replace
from typing import Any

import pytest

from services.chassis.access import Principal
from services.inference.clients.metering import Decision
from tests.inference.conftest import Failure, House, Refused, Simulator, person

ASK: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "How is John Smith?"}],
}
PHI_TOOL = {"name": "find", "description": "Finds John Smith", "input_schema": {"type": "object"}}


async def refused(house: House, principal: Principal, body: Any, **headers: str) -> Failure:
    with pytest.raises(Refused) as caught:
        await house.create(principal, body, **headers)
    return caught.value.failure


async def block(house: House, principal: Principal) -> None:
    await house.inference.settings.update(principal, {"phi_mode": "block"})


async def test_nothing_leaves_without_an_agreement(house: House, alice: Principal, simulator: Simulator) -> None:
    house.agreements.signed = False
    failure = await refused(house, alice, b"no json")
    assert (failure.reason, failure.http_status) == ("BAA_REQUIRED", 402)
    assert failure.details == {"baa_url": "/v1/compliance/baa"}
    house.agreements.signed = True
    await house.create(alice, ASK)
    assert len(simulator.requests()) == 1


async def test_a_closed_gate_is_not_remembered_and_an_open_one_is(house: House, alice: Principal) -> None:
    await house.create(alice, ASK)
    house.agreements.down = True
    await house.create(alice, ASK)
    stranger = person()
    failure = await refused(house, stranger, ASK)
    assert (failure.reason, failure.http_status) == ("SERVICE_UNAVAILABLE", 503)


@pytest.mark.parametrize(
    ("body", "reason", "param"),
    [
        (b"{", "MALFORMED_JSON", None),
        (ASK | {"store": False}, "UNSUPPORTED_PARAMETER", "store"),
        (ASK | {"messages": [{"role": "user", "content": 1}]}, "VALIDATION_FAILED", "messages[0].content"),
        (ASK | {"model": "claude-unknown"}, "VALIDATION_FAILED", "model"),
    ],
)
async def test_bad_input_is_400_and_named(
    house: House, alice: Principal, simulator: Simulator, body: Any, reason: str, param: str | None
) -> None:
    failure = await refused(house, alice, body)
    assert (failure.reason, failure.http_status, failure.param) == (reason, 400, param)
    assert house.credits.wanted == []
    assert simulator.requests() == []


async def test_opus_needs_the_opt_in(house: House, alice: Principal) -> None:
    failure = await refused(house, alice, ASK | {"model": "claude-opus-4-6"})
    assert (failure.reason, failure.http_status) == ("OPUS_NOT_ENABLED", 403)
    house.credits.opus = True
    await house.create(person(), ASK | {"model": "claude-opus-4-6"})


async def test_an_agents_tools_lie_within_its_grants(house: House) -> None:
    agent = person("agent", agent_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", granted_tool_ids=frozenset({"calendar_find_slots"}))
    tool = {"name": "calendar_find_slots", "input_schema": {"type": "object"}}
    await house.create(agent, ASK | {"tools": [tool]})
    failure = await refused(house, agent, ASK | {"tools": [tool, tool | {"name": "calendar_delete"}]})
    assert (failure.reason, failure.http_status, failure.param) == ("TOOL_NOT_IN_SCOPE", 403, "tools[1]")
    assert failure.details == {"tool_id": "calendar_delete"}


@pytest.mark.parametrize("surface", ["create", "count"])
async def test_a_denied_tool_is_audited_without_the_name_that_the_agent_made_up(
    house: House, simulator: Simulator, surface: str
) -> None:
    agent = person("agent", agent_id="01ARZ3NDEKTSV4RRFFQ69G5FAV", delegation_path=("user", "root", "own"))
    body = ASK | {"tools": [{"name": "call_john_smith", "input_schema": {"type": "object"}}]}
    if surface == "count":
        del body["max_tokens"]
    with pytest.raises(Refused) as caught:
        await (house.create if surface == "create" else house.count)(agent, body)
    assert caught.value.failure.reason == "TOOL_NOT_IN_SCOPE"
    await house.eventually(lambda: house.agreements.events)
    (event,) = house.agreements.events.values()
    assert (event.action, event.entity_type, event.entity_id) == ("agent.tool_denied", "credential", agent.id)
    assert (event.actor_type, event.actor_id, event.credential_id) == ("agent", agent.agent_id, agent.id)
    assert list(event.delegation_path) == ["user", "root", "own"]
    assert dict(event.metadata) == {
        "type": "external.tool.invoke",
        "listed": False,
        "reason": "TOOL_NOT_IN_SCOPE",
        "surface": "anthropic",
        "model": "claude-sonnet-4-6",
        "param": "tools[0]",
    }
    assert "smith" not in str(event)
    assert simulator.requests() == []
    assert house.credits.wanted == []


async def test_a_rate_limit_comes_before_the_guard_and_tells_when(house: House, alice: Principal) -> None:
    house.credits.decision = Decision(
        reserved=False, rate_limited=True, retry_after=7, headers={"x-ratelimit-remaining-requests": "0"}
    )
    house.credits.delay = 0.05
    failure = await refused(house, alice, ASK | {"tools": [PHI_TOOL]})
    assert (failure.reason, failure.http_status) == ("RATE_LIMITED", 429)
    assert failure.details["retry_after_seconds"] == 7
    assert failure.headers["x-ratelimit-remaining-requests"] == "0"


async def test_the_tool_scan_comes_before_the_phi_scan(house: House, alice: Principal, simulator: Simulator) -> None:
    await block(house, alice)
    failure = await refused(house, alice, ASK | {"tools": [PHI_TOOL]})
    assert (failure.reason, failure.http_status) == ("PHI_IN_TOOL_SCHEMA", 400)
    assert failure.details == {"tool": "tools[0]", "entity_types": ["PERSON"]}
    assert simulator.requests() == []


async def test_a_block_gives_the_reservation_back_and_is_audited(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    await block(house, alice)
    failure = await refused(house, alice, ASK)
    assert (failure.reason, failure.http_status) == ("PHI_BLOCKED", 403)
    assert failure.details == {"entity_types": ["PERSON"], "reason": "phi", "path": "messages[0].content"}
    assert house.credits.reserved == set()
    assert len(house.credits.released) == 1
    assert simulator.requests() == []
    await house.eventually(lambda: "inference.blocked" in house.agreements.actions())
    (event,) = [event for event in house.agreements.events.values() if event.action == "inference.blocked"]
    assert "John" not in str(event)
    assert await house.rows("SELECT 1 FROM records") == []


async def test_phi_comes_before_credits(house: House, alice: Principal) -> None:
    await block(house, alice)
    house.credits.decision = Decision(reserved=False, exhausted=True, cycle_reset_at="2026-06-01T00:00:00+00:00")
    assert (await refused(house, alice, ASK)).reason == "PHI_BLOCKED"
    house.scanner.delay = 0.05
    failure = await refused(house, alice, ASK | {"messages": [{"role": "user", "content": "Hi"}]})
    assert (failure.reason, failure.http_status) == ("BUDGET_EXCEEDED", 429)
    assert failure.details == {"cycle_reset_at": "2026-06-01T00:00:00+00:00"}


async def test_a_guard_that_is_down_lets_nothing_through(house: House, alice: Principal, simulator: Simulator) -> None:
    house.scanner.down = True
    failure = await refused(house, alice, ASK)
    assert (failure.reason, failure.http_status) == ("PHI_GUARD_UNAVAILABLE", 503)
    assert failure.details["retry_after_seconds"] == 1
    assert house.credits.reserved == set()
    assert simulator.requests() == []


async def test_a_guard_with_a_defect_lets_nothing_through(house: House, alice: Principal, simulator: Simulator) -> None:
    async def broken(*_: Any) -> Any:
        raise KeyError("John Smith")

    house.scanner.detect = broken  # pyright: ignore[reportAttributeAccessIssue]
    failure = await refused(house, alice, ASK)
    assert failure.reason == "PHI_GUARD_UNAVAILABLE"
    assert "John" not in str(failure)
    await house.eventually(lambda: house.credits.reserved == set())
    assert simulator.requests() == []


async def test_billing_that_is_down_lets_nothing_through(house: House, alice: Principal, simulator: Simulator) -> None:
    house.credits.down = True
    failure = await refused(house, alice, ASK)
    assert (failure.reason, failure.http_status) == ("SERVICE_UNAVAILABLE", 503)
    assert simulator.requests() == []


async def test_the_bound_covers_every_text(house: House, alice: Principal) -> None:
    await house.create(alice, ASK | {"system": "x" * 1000, "messages": [{"role": "user", "content": "y" * 500}]})
    (wanted,) = house.credits.wanted
    assert wanted.input_bound >= 1500
    assert (wanted.max_tokens, wanted.model, wanted.principal_id) == (200, "claude-sonnet-4-6", alice.id)


async def test_counting_tokens_reserves_nothing_and_leaves_one_event(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    body = {name: value for name, value in ASK.items() if name != "max_tokens"}
    answer = await house.count(alice, body)
    assert answer["input_tokens"] > 0
    assert "John" not in simulator.requests()[-1]["body"]
    (wanted,) = house.credits.wanted
    assert wanted.count_only
    assert house.credits.reserved == set()
    await house.eventually(lambda: house.agreements.actions() == ["inference.tokens_counted"])
    assert await house.rows("SELECT 1 FROM records") == []
    house.credits.decision = replace(house.credits.decision, rate_limited=True, retry_after=3)
    with pytest.raises(Refused) as caught:
        await house.count(alice, body)
    assert caught.value.failure.reason == "RATE_LIMITED"


async def test_images_are_refused_by_default_and_pass_under_the_policy(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    body = ASK | {"messages": [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]}
    failure = await refused(house, alice, body)
    assert (failure.reason, failure.details["reason"]) == ("PHI_BLOCKED", "unscannable")
    await house.inference.settings.update(alice, {"image_policy": "pass"})
    await house.create(alice, body)
    assert simulator.bodies()[-1]["messages"][0]["content"][0] == image
