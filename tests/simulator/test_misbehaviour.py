"""What no SDK shows: broken connections, garbage, timing, the strictness of the provider and the journal."""

import time
from contextlib import suppress
from itertools import pairwise

import httpx
import pytest


def ask(text: str, **more: object) -> dict[str, object]:
    return {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


def last(http: httpx.Client) -> dict[str, object]:
    return http.get("/_sim/requests").json()["requests"][-1]


def test_a_connection_is_cut_before_the_first_byte(http: httpx.Client):
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/v1/messages", json=ask("[[sim:cut]]"))
    assert last(http)["outcome"] == "cut"


def test_a_plain_answer_is_cut_in_the_middle(http: httpx.Client):
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/v1/messages", json=ask("[[sim:cut_after=1]]"))


def test_a_stream_is_cut_after_so_many_events(http: httpx.Client):
    body = ask("Hello[[sim:cut_after=4]][[sim:chunk=1]]", stream=True)
    chunks: list[bytes] = []
    with http.stream("POST", "/v1/messages", json=body) as response, pytest.raises(httpx.RemoteProtocolError):
        chunks.extend(response.iter_raw())
    assert b"".join(chunks).count(b"event: ") == 4
    assert (last(http)["events"], last(http)["outcome"]) == (4, "cut")


def test_a_hanging_answer_notices_that_the_caller_left(http: httpx.Client):
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/messages", json=ask("[[sim:hang]]"), timeout=0.3)
    deadline = time.monotonic() + 3
    while last(http)["outcome"] != "abandoned" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert last(http)["outcome"] == "abandoned"


def test_garbage_is_no_message_and_no_event(http: httpx.Client):
    assert http.post("/v1/messages", json=ask("[[sim:garbage]]")).headers["content-type"].startswith("text/html")
    streamed = http.post("/v1/messages", json=ask("Hello[[sim:garbage_after=3]]", stream=True))
    assert b"{this is no JSON" in streamed.content


def test_every_event_leaves_at_once(http: httpx.Client):
    body = ask("[[sim:say=abcde]][[sim:chunk=1]][[sim:interval_ms=60]][[sim:delay_ms=100]]", stream=True)
    started = time.monotonic()
    with http.stream("POST", "/v1/messages", json=body) as response:
        arrivals = [time.monotonic() - started for _ in response.iter_raw()]
    assert 0.1 <= arrivals[0] < 0.3
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert sum(gap > 0.05 for gap in gaps) == 4


def test_the_frames_are_spelled_as_the_provider_spells_them(http: httpx.Client):
    frames = http.post("/v1/messages", json=ask("[[sim:say=Hi]]", stream=True)).text.split("\n\n")
    start, ping, delta = (frame.split("\n") for frame in frames[1:4])
    assert start == [
        "event: content_block_start",
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    ]
    assert ping == ["event: ping", 'data: {"type": "ping"}']
    assert delta == [
        "event: content_block_delta",
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}',
    ]
    assert frames[-2] == 'event: message_stop\ndata: {"type":"message_stop"}'


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"max_tokens": None}, 400, "max_tokens: Input should be a valid integer"),
        ({"store": True}, 400, "store: Extra inputs are not permitted"),
        ({"messages": []}, 400, "messages: List should have at least 1 item"),
        ({"model": "gpt-4o"}, 404, "model: gpt-4o"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, 400, "messages: text content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "poem"}]}]},
            400,
            "messages.0.content.0: Input tag 'poem'",
        ),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, 400, "messages: first message must use"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}]},
            400,
            "messages.0: unexpected `tool_use_id`",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "x", "input": {}}]},
                    {"role": "user", "content": "Well?"},
                ]
            },
            400,
            "messages.2: `tool_use` ids were found without `tool_result` blocks",
        ),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, 400, "tools.0.custom.name"),
        ({"tool_choice": {"type": "any"}}, 400, "tool_choice: may only be specified"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, 400, "`max_tokens` must be greater"),
    ],
)
def test_a_malformed_request_is_refused_in_the_providers_words(
    http: httpx.Client, change: dict[str, object], status: int, message: str
):
    answer = http.post("/v1/messages", json={**ask("Hi"), **change})
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith(message)
    assert answer.json()["request_id"] == answer.headers["request-id"]


def test_callers_need_a_key_and_a_version(http: httpx.Client):
    assert http.post("/v1/messages", json=ask("Hi"), headers={"x-api-key": ""}).status_code == 401
    bare = httpx.post(f"{http.base_url}/v1/messages", json=ask("Hi"), headers={"x-api-key": "k"}, trust_env=False)
    assert bare.json()["error"]["message"] == "anthropic-version: header is required"
    assert http.get("/v1/nothing").json()["error"]["type"] == "not_found_error"


def test_an_unknown_directive_is_refused(http: httpx.Client):
    assert "unknown directive: sing" in http.post("/v1/messages", json=ask("[[sim:sing]]")).text


def test_only_the_newest_user_turn_directs(http: httpx.Client):
    turns = [
        {"role": "user", "content": "[[sim:status=500]]"},
        {"role": "assistant", "content": "Oh"},
        {"role": "user", "content": "Again"},
    ]
    assert http.post("/v1/messages", json={**ask(""), "messages": turns}).status_code == 200


def test_a_script_directs_the_next_requests(http: httpx.Client):
    http.post("/_sim/next", json=[{"status": 529}, {"say": "There"}])
    statuses = [http.post("/v1/messages", json=ask("Hi")) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [529, 200, 200]
    assert [answer.json()["content"][0]["text"] for answer in statuses[1:]] == ["There", "You wrote: Hi"]


def test_the_journal_keeps_bodies_and_headers_until_it_is_cleared(http: httpx.Client):
    http.post("/v1/messages", json=ask("first"))
    total = http.get("/_sim/requests").json()["total"]
    http.post("/v1/messages/count_tokens", json={"model": "claude-sonnet-4-6", "messages": ask("second")["messages"]})
    (kept,) = http.get("/_sim/requests", params={"since": total}).json()["requests"]
    assert kept["path"] == "/v1/messages/count_tokens"
    assert '"second"' in kept["body"]
    assert kept["headers"]["x-api-key"] == "sk-ant-any"
    assert (kept["status"], kept["outcome"]) == (200, "answered")
    http.delete("/_sim/requests")
    assert http.get("/_sim/requests").json() == {"total": total + 1, "requests": []}


@pytest.mark.parametrize(
    ("directions", "stream", "output"),
    [
        ("", False, 77),
        ("", True, 77),
        # message_start says what went in, and of what comes out no more than that it has begun.
        ("[[sim:cut_after=4]][[sim:chunk=1]]", True, 1),
        ("[[sim:cut_after=4]]", False, None),
        ("[[sim:garbage]]", False, None),
        ("[[sim:status=529]]", True, None),
    ],
)
def test_the_journal_keeps_what_was_reported(http: httpx.Client, directions: str, output: int | None, *, stream: bool):
    body = ask(f"Hello[[sim:output_tokens=77]]{directions}", stream=stream)
    with suppress(httpx.RemoteProtocolError):
        http.post("/v1/messages", json=body)
    usage = last(http)["usage"]
    assert isinstance(usage, dict)
    assert (usage.get("output_tokens"), "input_tokens" in usage) == (output, output is not None)
    assert (last(http)["message_id"] is None) == (output is None)
