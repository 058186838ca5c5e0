"""The unmodified TypeScript SDK against the simulator."""

from tests.e2e import node_sdk
from tests.simulator.conftest import KEY

ASK = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 3000,
    "messages": [{"role": "user", "content": "How is [PERSON_1]?[[sim:chunk=3]]"}],
}
TOOL = {"name": "find", "input_schema": {"type": "object", "properties": {"name": {"type": "string"}}}}


def test_it_parses_every_kind_of_answer(simulator_url: str):
    plain, stream, tool, thinking, count, models = node_sdk.call(
        simulator_url,
        KEY,
        ("create", ASK),
        ("stream", ASK),
        ("stream", {**ASK, "tools": [TOOL], "tool_choice": {"type": "any"}}),
        ("stream", {**ASK, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("count_tokens", {"model": ASK["model"], "messages": ASK["messages"]}),
        ("models", {}),
    )
    assert plain.answer["content"] == [{"type": "text", "text": "You wrote: How is [PERSON_1]?"}]
    assert plain.request_id is not None
    assert stream.answer["text"] == "You wrote: How is [PERSON_1]?"
    assert stream.answer["message"]["usage"]["output_tokens"] == plain.answer["usage"]["output_tokens"]
    assert tool.answer["message"]["content"][-1]["input"] == {"name": "[PERSON_1]"}
    assert [block["type"] for block in thinking.answer["message"]["content"]] == ["thinking", "text"]
    assert thinking.answer["message"]["content"][0]["signature"]
    assert count.answer["input_tokens"] > 0
    assert [model["id"] for model in models.answer][1] == "claude-sonnet-4-6"


def test_it_raises_its_own_error_classes(simulator_url: str):
    statuses = {401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"}
    calls = [
        ("create", {**ASK, "messages": [{"role": "user", "content": f"[[sim:status={status}]]"}]})
        for status in statuses
    ]
    for seen, (status, name) in zip(
        node_sdk.call(simulator_url, KEY, *calls, max_retries=0), statuses.items(), strict=True
    ):
        assert (seen.error["status"], seen.error["class"]) == (status, name)
