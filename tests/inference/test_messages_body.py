"""What is refused in a Messages body, and how it is named."""

from typing import Any

import pytest

from services.chassis.errors import ServiceError
from services.inference.domain import messages_body
from services.inference.domain.errors import ToolNotInScope

GOOD: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


def refusal(body: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(ServiceError) as caught:
        messages_body.check_create(body)
    return caught.value.reason, caught.value.param


def message(content: Any) -> dict[str, Any]:
    return GOOD | {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"x"', b"null", b'{"a": NaN}', b"\xff", b'{"a": "\\ud800"}', b"[" * 5000]
)
def test_what_is_no_json_object_is_malformed(raw: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        messages_body.parse(raw)
    assert caught.value.reason == "MALFORMED_JSON"


@pytest.mark.parametrize(("depth", "passes"), [(90, True), (101, False), (1000, False)])
def test_a_body_that_nests_too_deeply_is_refused(depth: int, *, passes: bool) -> None:
    raw = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    if passes:
        messages_body.parse(raw)
        return
    with pytest.raises(ServiceError) as caught:
        messages_body.parse(raw)
    assert caught.value.reason == "VALIDATION_FAILED"


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
def test_a_missing_field_is_named(field: str) -> None:
    assert refusal({name: value for name, value in GOOD.items() if name != field}) == ("VALIDATION_FAILED", field)


@pytest.mark.parametrize(
    "name", ["store", "conversation_id", "metadata_", "fallbacks", "workspace_id", "billing_policy", "n"]
)
def test_a_parameter_that_is_not_of_the_api_is_unsupported(name: str) -> None:
    assert refusal(GOOD | {name: True}) == ("UNSUPPORTED_PARAMETER", name)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (GOOD | {"model": 4}, "model"),
        (GOOD | {"model": ""}, "model"),
        (GOOD | {"max_tokens": 0}, "max_tokens"),
        (GOOD | {"max_tokens": True}, "max_tokens"),
        (GOOD | {"max_tokens": "10"}, "max_tokens"),
        (GOOD | {"max_tokens": 1.5}, "max_tokens"),
        (GOOD | {"messages": []}, "messages"),
        (GOOD | {"messages": {}}, "messages"),
        (GOOD | {"messages": ["Hi"]}, "messages[0]"),
        (GOOD | {"messages": [{"content": "Hi"}]}, "messages[0].role"),
        (GOOD | {"messages": [{"role": "doctor", "content": "Hi"}]}, "messages[0].role"),
        (GOOD | {"messages": [*GOOD["messages"], {"role": "assistant"}]}, "messages[1].content"),
        (message(5), "messages[0].content"),
        (message(["Hi"]), "messages[0].content[0]"),
        (message([{"text": "Hi"}]), "messages[0].content[0].type"),
        (message([{"type": "text"}]), "messages[0].content[0].text"),
        (message([{"type": "text", "text": "a"}, {"type": "text", "text": 1}]), "messages[0].content[1].text"),
        (message([{"type": "image"}]), "messages[0].content[0].source"),
        (message([{"type": "tool_use", "id": "a", "name": "b"}]), "messages[0].content[0].input"),
        (message([{"type": "tool_result", "content": "x"}]), "messages[0].content[0].tool_use_id"),
        (
            message([{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}]),
            "messages[0].content[0].content[0].text",
        ),
        (GOOD | {"system": 1}, "system"),
        (GOOD | {"system": [{"type": "image", "source": {}}]}, "system[0].type"),
        (GOOD | {"stream": "yes"}, "stream"),
        (GOOD | {"temperature": 2}, "temperature"),
        (GOOD | {"top_p": "x"}, "top_p"),
        (GOOD | {"top_k": -1}, "top_k"),
        (GOOD | {"stop_sequences": "x"}, "stop_sequences"),
        (GOOD | {"stop_sequences": ["a", 1]}, "stop_sequences[1]"),
        (GOOD | {"metadata": []}, "metadata"),
        (GOOD | {"metadata": {"user_id": 1}}, "metadata.user_id"),
        (GOOD | {"tools": {}}, "tools"),
        (GOOD | {"tools": [{"input_schema": {}}]}, "tools[0].name"),
        (GOOD | {"tools": [{"name": "a"}]}, "tools[0].input_schema"),
        (GOOD | {"tool_choice": {"type": "some"}}, "tool_choice.type"),
        (GOOD | {"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        (GOOD | {"thinking": True}, "thinking"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(body: dict[str, Any], param: str) -> None:
    assert refusal(body) == ("VALIDATION_FAILED", param)


def test_everything_the_sdk_sends_passes() -> None:
    messages_body.check_create(
        GOOD
        | {
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "tools": [
                {"name": "a", "input_schema": {"type": "object"}},
                {"type": "web_search_20260318", "name": "web_search"},
            ],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u-1"},
            "temperature": 1,
            "top_p": 0.5,
            "top_k": 5,
            "service_tier": "auto",
            "stream": True,
            "container": None,
            "output_config": {"effort": "low"},
            "context_management": {"edits": []},
            "mcp_servers": [{"type": "url", "name": "x", "url": "https://example.com"}],
            "messages": [
                {"role": "user", "content": [{"type": "a_new_block", "anything": 1}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "…", "signature": "abc"}]},
                {"role": "system", "content": "Go on."},
            ],
        }
    )


def test_count_tokens_has_its_own_parameters() -> None:
    with pytest.raises(ServiceError) as caught:
        messages_body.check_count(GOOD)
    assert (caught.value.reason, caught.value.param) == ("UNSUPPORTED_PARAMETER", "max_tokens")


def test_agents_offer_only_what_they_were_granted() -> None:
    body = GOOD | {
        "tools": [
            {"name": "calendar.find_slots", "input_schema": {}},
            {"type": "web_search_20260318", "name": "calendar.find_slots"},
        ]
    }
    messages_body.check_grants(body, frozenset({"calendar.find_slots", "web_search_20260318"}))
    with pytest.raises(ToolNotInScope) as caught:
        messages_body.check_grants(body, frozenset({"calendar.find_slots"}))
    assert caught.value.details == {"tool_id": "web_search_20260318"}
    servers = GOOD | {"mcp_servers": [{"name": "records"}]}
    with pytest.raises(ToolNotInScope):
        messages_body.check_grants(servers, frozenset({"calendar.find_slots"}))
