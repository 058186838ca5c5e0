"""Every place of a request that can carry text, one by one, and texts that go on in the next one."""

import json
import time
from typing import Any

import pytest

from services.inference.domain.phi import Guard, PhiBlocked, PhiInToolSchema, PhiRefusal, Policy, ScannedMessages
from services.inference.domain.phi.addresses import said_in
from services.inference.domain.phi.shapes import goes_on
from tests.inference.phi_fakes import PatternDetector

SSN = "536-22-8812"
PLAIN = {"type": "text", "media_type": "text/plain", "data": "a"}
DRAWN = "01A09q90qw90lq917835lq9"


async def scan(body: dict[str, Any], **policy: Any) -> ScannedMessages:
    detector = PatternDetector()
    return await Guard(detector, detector).scan_messages(
        body, policy=Policy(**policy), org_key=b"k" * 32, deadline=time.monotonic() + 1
    )


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "source": PLAIN | {"filename": SSN}},
        {"type": "document", "source": PLAIN | {"media_type": SSN}},
        {"type": "document", "source": PLAIN | {"deep": [{"er": SSN}]}},
        {"type": "document", "source": {"type": "content", "content": "a", "name": SSN}},
        {"type": "document", "source": PLAIN, "context": SSN},
        {"type": "document", "source": PLAIN, "citations": {"enabled": True, "note": SSN}},
        {"type": "document", "source": {"type": "content", "content": f"a {SSN}"}},
        {"type": "search_result", "source": f"https://h/{SSN}", "title": "b", "content": []},
        {"type": "search_result", "source": "a", "title": SSN, "content": []},
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "note": SSN}},
        {"type": "tool_result", "tool_use_id": "t", "content": f'["a", {{"k": ["{SSN}"]}}]'},
        {"type": "tool_result", "tool_use_id": "t", "is_error": SSN, "content": "a"},
        {"type": "lab_report", "data": "NTM2LTIyLTg4MTIgYW5kIHNvIG9u" + SSN},
        {"type": "lab_report", "signature": [SSN]},
        {"type": "lab_report", SSN: True},
        {"type": SSN},
        SSN,
        [[SSN]],
    ],
)
async def test_no_place_of_a_block_is_left_out(block: Any):
    for body in (user([block]), {"system": [block], **user("hi")}, user([{"type": "tool_result", "content": [block]}])):
        assert "8812" not in json.dumps((await scan(body)).request)


async def test_a_block_with_nothing_to_hide_passes_as_it_is():
    blocks = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "tool_use", "id": f"toolu_{DRAWN}", "name": "lookup", "input": {"a": [1, None, True, {"b": 1.5}]}},
        {"type": "tool_result", "tool_use_id": f"toolu_{DRAWN}", "is_error": False, "content": []},
        {"type": "document", "source": PLAIN, "citations": {"enabled": True}, "title": None},
        {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFB="},
        {"type": "new_kind", "nested": {"a": ["b", 1]}},
    ]
    assert (await scan(user(blocks))).request == user(blocks)


@pytest.mark.parametrize("key", ["signature", "data", "encrypted_content"])
async def test_what_only_looks_sealed_is_scanned(key: str):
    detector = PatternDetector()
    for text in ("PatientJohnSmithMRN4827193", "am9obiBzbWl0aCA1MzYtMjItODgxMiBpcyBpbGw="):
        await Guard(detector, detector).scan_messages(
            user([{"type": "scan", key: text}]), policy=Policy(), org_key=b"k" * 32, deadline=time.monotonic() + 1
        )
        assert any(text in block for block in detector.blocks)


@pytest.mark.parametrize(
    "made_up", ["JohnSmithJohnSmithJohn", "toolu_PatientAdaByronMRN48271934827", "4827193482719348271934"]
)
async def test_an_id_made_of_words_or_numbers_is_scanned(made_up: str):
    detector = PatternDetector()
    body = user([{"type": "tool_use", "id": made_up, "name": "x", "input": {}}]) | {"metadata": {"user_id": made_up}}
    await Guard(detector, detector).scan_messages(body, policy=Policy(), org_key=b"k", deadline=1)
    assert detector.blocks.count(made_up) == 2


@pytest.mark.parametrize(
    "drawn", [DRAWN, f"toolu_{DRAWN}", "call_Zk3vTq9xLmW2pR7yBn4sHd8f", "9f86d081884c7d659a2feaa0c55ad015"]
)
async def test_an_id_that_a_machine_drew_is_not_scanned(drawn: str):
    detector = PatternDetector()
    body = user([{"type": "tool_use", "id": drawn, "name": "x", "input": {}}]) | {"metadata": {"user_id": drawn}}
    await Guard(detector, detector).scan_messages(body, policy=Policy(), org_key=b"k", deadline=1)
    assert drawn not in detector.blocks


@pytest.mark.parametrize(
    ("where", "setting"),
    [
        ("mcp_servers", [{"type": "url", "url": "https://mcp.example/sse", "name": "Zylo"}]),
        ("mcp_servers", [{"type": "url", "url": f"https://mcp.example/sse?ssn={SSN}", "name": "a"}]),
        ("mcp_servers", [{"type": "url", "url": "https://mcp.example/patients/John%20Smith"}]),
        ("mcp_servers", [{"type": "url", "url": "https://mcp.example/John-Smith/notes"}]),
        ("mcp_servers", [{"authorization_token": SSN}]),
        ("container", SSN),
        ("container", {"skills": [{"skill_id": "Zylo"}]}),
        ("tool_choice", {"type": "tool", "name": SSN}),
        ("tool_choice", {"type": SSN}),
        ("tool_choice", SSN),
        ("thinking", {"type": "enabled", "note": SSN}),
        ("output_config", {"format": {"schema": {"enum": [SSN]}}}),
        ("service_tier", SSN),
        ("never_heard_of", {"deep": [SSN]}),
        (SSN, True),
    ],
)
async def test_settings_with_phi_are_refused(where: str, setting: Any):
    with pytest.raises(PhiBlocked) as refused:
        await scan({**user("hi"), where: setting})
    assert SSN not in f"{refused.value} {vars(refused.value)}"


async def test_settings_without_phi_pass():
    body = user("hi") | {
        "mcp_servers": [{"type": "url", "url": "https://mcp.example/v1/sse?team=7&mode=fast", "name": "records"}],
        "container": {"id": f"container_{DRAWN}", "skills": []},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "metadata": {"user_id": "7f7d0d3e-6f0a-4c2b-9d5b-1f2e3d4c5b6a"},
        "stop_sequences": ["END"],
    }
    assert (await scan(body)).request == body


async def test_a_pictures_address_is_read_beyond_its_host():
    def picture(address: str) -> dict[str, Any]:
        return user([{"type": "image", "source": {"type": "url", "url": address}}])

    fine = picture("https://upload.example/commons/a/a7/Camponotus_flavomarginatus_ant.jpg?width=400")
    assert (await scan(fine, image_policy="pass")).request == fine
    for bad in (f"https://h/x.png?ssn={SSN}", "https://h/John_Smith.png", "https://John%20Smith@h/x.png"):
        with pytest.raises(PhiBlocked):
            await scan(picture(bad), image_policy="pass")


async def test_a_table_costs_what_it_is_long():
    rows = [{"patientName": "John Smith", "mrn": str(4_000_000 + row), "note": "no fever"} for row in range(4_000)]
    started = time.process_time()
    scanned = await scan(user(json.dumps(rows)))
    assert scanned.redaction_count == 8_000
    assert time.process_time() - started < 4  # it took a minute when each detection looked at each value


def test_an_address_says_its_path_and_query():
    assert (
        said_in("https://a.b/c/Ana-B_1/?patientMrn=4827193&n=Jo%20Li#see+x")
        == "c\nAna B 1\npatient mrn: 4827193\nn: Jo Li\nsee x"
    )
    assert said_in("https://[bad/Jo%20Li") == "https://[bad/Jo Li"


@pytest.mark.parametrize(
    "tool",
    [
        {"name": SSN},
        {"name": "a", "description": f"b {SSN}"},
        {"name": "a", "type": SSN},
        {"name": "a", "cache_control": {"type": "ephemeral", "ttl": SSN}},
        {"name": "a", "input_schema": {"pattern": f"^(?:{SSN}|x)$"}},
        {"name": "a", "input_schema": {"pattern": r"^John\ Smith$"}},
        {"name": "a", "input_schema": {"format": SSN}},
        {"name": "a", "input_schema": {"$id": SSN}},
        {"name": "a", "input_schema": {"$ref": f"https://h/{SSN}"}},
        {"name": "a", "input_schema": {"$comment": SSN}},
        {"name": "a", "input_schema": {"properties": {"x": {"type": ["string", SSN]}}}},
        {"name": "a", "input_schema": {"properties": {SSN: {"type": "string"}}, "required": [SSN]}},
        {"name": "a", "input_schema": {"properties": {"x": {"examples": [[{"y": SSN}]]}}}},
        {"name": "a", SSN: True},
        {"name": "a", "more": {SSN: {"a": None}}},
        {"name": "a", "input_examples": [{"who": SSN}]},
    ],
)
async def test_phi_anywhere_in_a_tool_refuses_it(tool: dict[str, Any]):
    with pytest.raises(PhiInToolSchema) as refused:
        await scan({**user("hi"), "tools": [tool]})
    assert refused.value.tool == "tools[0]"
    assert SSN not in str(refused.value)


async def test_an_ordinary_tool_passes():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "when": {"type": ["string", "null"], "format": "date-time"},
            "ssn": {"type": "string", "pattern": r"^\d{3}-\d{2}-\d{4}$", "minLength": 11},
            "zip": {"type": "string", "pattern": "^[0-9]{5}(?:-[0-9]{4})?$"},
            "who": {"$ref": "#/$defs/Person"},
        },
        "$defs": {"Person": {"type": "object", "additionalProperties": False}},
        "required": ["when"],
    }
    tools = [
        {"name": "lookup", "input_schema": schema, "strict": True, "cache_control": {"type": "ephemeral"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5, "allowed_domains": ["example.org"]},
    ]
    body = {**user("hi"), "tools": tools}
    assert (await scan(body)).request == body


async def test_a_value_split_over_messages_of_either_role_is_masked():
    pairs = [("user", "user"), ("user", "assistant"), ("assistant", "user")]
    for left, right in (("ssn 536-", "22-8812"), ("ssn 536-22", "-8812"), ("ssn 536-22-8", "812 is it"), ("Zy", "lo")):
        for roles in pairs:
            messages = [{"role": role, "content": text} for role, text in zip(roles, (left, right), strict=True)]
            sent = [m["content"] for m in (await scan({"messages": messages})).request["messages"]]
            assert not any(piece in " ".join(sent) for piece in ("536", "812", "Zy", "lo")), (left, right, roles)


async def test_a_value_split_over_three_places_is_masked():
    body = {
        "system": "ssn 53",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "6-22"}, {"type": "text", "text": "-88"}]},
            {"role": "assistant", "content": "12"},
        ],
    }
    sent = json.dumps((await scan(body)).request)
    assert not any(piece in sent for piece in ("53", "6-22", "-88", "12"))
    results = [{"type": "tool_result", "tool_use_id": "t", "content": text} for text in ("536-22-", "8812")]
    sent = json.dumps((await scan(user(results))).request)
    assert not any(piece in sent for piece in ("536", "8812"))


async def test_two_words_of_one_turn_sent_as_two_messages_are_read_as_one():
    messages = [{"role": "user", "content": text} for text in ("for John ", "Smith and")]
    sent = [m["content"] for m in (await scan({"messages": messages})).request["messages"]]
    assert not any(piece in " ".join(sent) for piece in ("John", "Smith"))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("John Sm", "ith", True),
        ("536-22-", "8812", True),
        ("536-22\n", " 8812", True),
        ("jo@", "example.org", True),
        ("jo", "@example.org", True),
        ("10.0.", "0.1", True),
        ("Let me know.", "Thanks", False),
        ("let me know.", "in the end", False),
        ("thanks", "Hello", False),
        ("thanks ", "hello", False),
        ("Done!", "ok", False),
        ("MRN 4827193", "was it", False),
        ("plate KR4", "T871", True),
    ],
)
def test_where_a_text_may_go_on(left: str, right: str, expected: bool):
    assert goes_on(left, right) is expected


async def test_deep_nesting_is_refused_or_masked_but_never_passed():
    nested: Any = SSN
    for _ in range(9):
        nested = json.dumps({"a": nested})
    for content in (nested, json.dumps([nested])):
        try:
            done = await scan(user(content))
        except PhiRefusal:
            continue
        assert SSN not in json.dumps(done.request)
