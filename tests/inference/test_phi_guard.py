import base64
import json
import time
from typing import Any

import pytest

from services.inference.domain.phi import (
    Guard,
    PhiBlocked,
    PhiGuardUnavailable,
    PhiInToolSchema,
    PlaceholderMap,
    Policy,
    ScannedMessages,
    Turn,
    restore_text,
)
from tests.inference.phi_fakes import PatternDetector

KEY = b"k" * 32


async def scan(body: dict[str, Any], **policy: Any) -> ScannedMessages:
    detector = PatternDetector()
    return await Guard(detector, detector).scan_messages(
        body, policy=Policy(**policy), org_key=KEY, deadline=time.monotonic() + 1
    )


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


async def masked(content: Any, **policy: Any) -> Any:
    return (await scan(user(content), **policy)).request["messages"][0]["content"]


async def test_the_callers_body_is_left_as_it_was():
    body = user([{"type": "text", "text": "John Smith"}])
    await scan(body)
    assert body == user([{"type": "text", "text": "John Smith"}])


async def test_numbers_follow_system_then_messages():
    done = await scan({"system": "For Zylo", **user("John Smith and Zylo and John Smith")})
    assert done.request["system"] == "For [PERSON_1]"
    assert done.request["messages"][0]["content"] == "[PERSON_2] and [PERSON_1] and [PERSON_2]"
    assert [r.path for r in done.redactions] == ["system"] + ["messages[0].content"] * 3
    assert (done.action, done.entity_types, done.redaction_count) == ("redacted", ["PERSON"], 4)


async def test_nothing_found_changes_nothing():
    done = await scan(user("What is a normal creatinine?"))
    assert (done.action, done.redactions, done.request) == ("none", [], user("What is a normal creatinine?"))


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "ssn 536-22-8812"},
        {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"a": [{"b": "ssn 536-22-8812"}]}},
        {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"536-22-8812": 1}},
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "536-22-8812"},
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "536-22-8812"}]},
        {"type": "tool_result", "tool_use_id": "t", "content": json.dumps({"x": [json.dumps({"y": "536-22-8812"})]})},
        {
            "type": "document",
            "title": "536-22-8812",
            "source": {"type": "text", "media_type": "text/plain", "data": "a"},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "536-22-8812"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "536-22-8812"}]}},
        {"type": "search_result", "source": "a", "title": "b", "content": [{"type": "text", "text": "536-22-8812"}]},
        {"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "536-22-8812"}]},
        {"type": "web_search_tool_result", "content": [{"title": "536-22-8812", "encrypted_content": "x" * 40}]},
        {"type": "never_heard_of", "deep": {"er": [{"text": "536-22-8812"}]}},
    ],
)
async def test_text_is_masked_in_every_block(block: dict[str, Any]):
    done = await scan(user([block]))
    assert "8812" not in json.dumps(done.request)
    assert "[SSN_1]" in json.dumps(done.request)


async def test_text_beside_the_messages_is_masked():
    done = await scan({**user("hi"), "metadata": {"user_id": "536-22-8812"}, "stop_sequences": ["John Smith"]})
    assert done.request["metadata"] == {"user_id": "[SSN_1]"}
    assert done.request["stop_sequences"] == ["[PERSON_1]"]


async def test_a_key_labels_the_number_behind_it():
    content = await masked([{"type": "tool_use", "id": "t", "name": "x", "input": {"patientMrn": 4827193, "dose": 5}}])
    assert content[0]["input"] == {"patientMrn": "[MRN_1]", "dose": 5}


async def test_json_in_a_string_keeps_every_byte_but_the_masked_ones():
    source = '{ "mrn" :"4827193",\n "n": 1.50, "t": "\\u00e9" }'
    content = await masked([{"type": "tool_result", "tool_use_id": "t", "content": source}])
    assert content[0]["content"] == source.replace('"4827193"', '"[MRN_1]"')


async def test_a_value_split_over_adjacent_blocks_is_masked():
    content = await masked([{"type": "text", "text": t} for t in ("ssn 536-", "22-", "8812 and John Sm", "ith")])
    text = "".join(block["text"] for block in content)
    assert not any(piece in text for piece in ("536", "22", "8812", "John", "ith"))


async def test_a_value_once_found_is_masked_where_the_scanner_misses_it():
    done = await scan(
        {"messages": [{"role": "user", "content": t} for t in ("4827193", "mrn: 4827193", "was 4827193")]}
    )
    assert [m["content"] for m in done.request["messages"]] == ["4827193", "mrn: [MRN_1]", "was [MRN_1]"]


async def test_the_masked_beginning_stays_the_same_when_turns_are_added():
    turns = [{"role": "user", "content": t} for t in ("John Smith", "Mr. Smith", "Zylo 536-22-8812", "Jane Smith")]
    whole = (await scan({"messages": turns})).request["messages"]
    for count in range(1, 4):
        assert (await scan({"messages": turns[:count]})).request["messages"] == whole[:count]


async def test_block_mode_refuses_and_says_where():
    with pytest.raises(PhiBlocked) as refused:
        await scan(user([{"type": "text", "text": "John Smith 536-22-8812"}]), mode="block")
    assert (refused.value.reason, refused.value.path) == ("phi", "messages[0].content[0].text")
    assert refused.value.entity_types == ["PERSON", "US_SSN"]
    assert "John" not in str(refused.value)


async def test_images_are_refused_by_default_and_pass_by_policy():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    nested = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    for block in (image, nested, {"type": "novel", "inside": [image]}):
        with pytest.raises(PhiBlocked) as refused:
            await scan(user([block]))
        assert refused.value.reason == "unscannable"
    assert await masked([image, nested], image_policy="pass") == [image, nested]


async def test_a_readable_document_becomes_its_masked_text():
    data = base64.b64encode(b"About John Smith").decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    content = await masked([{"type": "document", "source": source, "title": "Letter"}])
    assert content[0]["source"] == {"type": "text", "media_type": "text/plain", "data": "About [PERSON_1]"}


@pytest.mark.parametrize(
    "source",
    [
        {"type": "url", "url": "https://example.org/a.pdf"},
        {"type": "file", "file_id": "file_1"},
        {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"\xff").decode()},
        {"type": "base64", "media_type": "application/pdf", "data": "no base64!"},
        {"type": "base64", "media_type": "application/zip", "data": "aGk="},
    ],
)
async def test_an_unreadable_document_is_removed_or_refused(source: dict[str, Any]):
    done = await scan(user([{"type": "document", "source": source}]))
    assert done.request["messages"][0]["content"] == [{"type": "text", "text": "[DOCUMENT_REMOVED]"}]
    assert (done.action, done.removed_documents) == ("redacted", ["messages[0].content[0]"])
    with pytest.raises(PhiBlocked) as refused:
        await scan(user([{"type": "document", "source": source}]), mode="block")
    assert refused.value.reason == "unscannable"


async def test_signed_thinking_is_never_rewritten():
    thought = {"type": "thinking", "thinking": "[PERSON_1] may need dialysis", "signature": "c2ln" * 10}
    content = await masked([thought, {"type": "text", "text": "John Smith"}])
    assert content == [thought, {"type": "text", "text": "[PERSON_1]"}]
    with pytest.raises(PhiBlocked) as refused:
        await scan(user([{**thought, "thinking": "John Smith"}]))
    assert refused.value.path == "messages[0].content[0].thinking"


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "a", "description": "For John Smith"},
        {"name": "a", "input_schema": {"properties": {"who": {"enum": ["Zylo"]}}}},
        {"name": "a", "input_schema": {"properties": {"mrn": {"default": 4827193}}}},
        {"name": "a", "input_schema": {"properties": {"p": {"items": {"properties": {"Zylo": {"type": "string"}}}}}}},
    ],
)
async def test_a_tool_with_phi_is_refused(tool: dict[str, Any]):
    with pytest.raises(PhiInToolSchema) as refused:
        await scan({**user("hi"), "tools": [{"name": "fine"}, tool]})
    assert refused.value.tool == "tools[1]"


async def test_a_place_as_an_example_of_the_format_is_no_phi():
    schema = {"properties": {"location": {"type": "string", "description": "The city, e.g. San Francisco, CA"}}}
    tool = {"name": "get_weather", "description": "See https://example.org/api", "input_schema": schema}
    assert (await scan({**user("hi"), "tools": [tool]})).action == "none"


async def test_placeholders_never_collide_with_what_the_caller_wrote():
    done = await scan(user("What does [person_1] mean? John Smith asks."))
    text = done.request["messages"][0]["content"]
    assert text == "What does [person_1] mean? [PERSON_A1] asks."
    assert restore_text(text, done.map) == ("What does [person_1] mean? John Smith asks.", 1)


async def test_a_failing_scanner_refuses():
    detector = PatternDetector(broken=True)
    with pytest.raises(PhiGuardUnavailable):
        await Guard(detector, detector).scan_messages(user("hi"), policy=Policy(), org_key=KEY, deadline=0)


async def test_a_conversation_goes_on_with_its_numbers():
    detector = PatternDetector()
    guard = Guard(detector, detector)

    async def say(message: str, turns: list[Turn], placeholders: PlaceholderMap | None = None):
        return await guard.scan_chat(
            system=None,
            turns=turns,
            message=message,
            policy=Policy(),
            org_key=KEY,
            deadline=1.0,
            placeholders=placeholders,
        )

    first = await say("I am Zylo", [])
    stored = PlaceholderMap.from_json(first.map.to_json())
    turns = [Turn("user", "I am Zylo"), Turn("assistant", "Hello Zylo")]
    second = await say("Ask John Smith, not Zylo", turns, stored)
    assert [m["content"] for m in second.messages] == [
        "I am [PERSON_1]",
        "Hello [PERSON_1]",
        "Ask [PERSON_2], not [PERSON_1]",
    ]
    assert [(r.path, r.placeholder) for r in second.redactions] == [
        ("message", "[PERSON_2]"),
        ("message", "[PERSON_1]"),
    ]
    assert len(stored) == 1


async def test_a_part_of_a_known_name_is_masked_in_later_messages_but_not_where_a_sentence_begins():
    messages = [
        {"role": "user", "content": "John Smith fell. What should Smith take? Smith is 54."},
        {"role": "assistant", "content": "Is [PERSON_1] on warfarin?"},
        {"role": "user", "content": "Smith's wife says no. I asked Smith, and John agrees. A blacksmith did too."},
    ]
    done = await scan({"messages": messages})
    first, _, last = (message["content"] for message in done.request["messages"])
    assert "John Smith" not in first
    assert "should Smith" not in first
    assert "asked Smith" not in last
    assert "and John" not in last
    assert "blacksmith" in last
