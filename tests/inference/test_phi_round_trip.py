"""From the caller's request to the caller's answer: placeholders that collide with nothing, and come back whole at every cut."""

import itertools
import json
import random
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.domain.phi import (
    Guard,
    PhiTooComplex,
    PlaceholderMap,
    Policy,
    ScannedMessages,
    Span,
    StreamRestorer,
    TextStreamRestorer,
    restore_message,
    restore_text,
    split_frames,
)
from services.inference.domain.phi.entities import BY_LABEL, LABELS
from services.inference.domain.phi.leaves import Leaf
from services.inference.domain.phi.masking import mask, settle
from tests.inference.phi_fakes import PatternDetector

AWKWARD = [
    'Ana "Bo" Li',
    "O\\Brien\\",
    "line\nbreak\ttab\r",
    "\u0000\u001f\u2028",
    "Zoë 👩‍⚕️ Núñez",
    "$1 $& \\1 \\g<0> {0} %s",
    "[PERSON_1]",
    "PERSON_2",
    "[SSN_1",
    "]",
    "</script>",
    "x" * 20_000,
    " ",
    "\ud83d",
]


def known(values: list[str], label: str = "US_SSN", namespace: str = "") -> PlaceholderMap:
    """A map of these values in this order, whatever they look like."""
    made = PlaceholderMap(namespace)
    for value in values:
        made.assign(label, value)
    return made


def every_cut(text: str) -> list[tuple[str, str]]:
    return [(text[:place], text[place:]) for place in range(len(text) + 1)]


def through(stream: TextStreamRestorer, pieces: Any) -> str:
    return "".join(stream.push(piece) for piece in pieces) + stream.finish()


@pytest.mark.parametrize(
    "form", ["[SSN_2]", "[ssn_2]", "[SSN\\_2]", "\\[SSN\\_2\\]", "[SSN 2]", "SSN_2", "[SSN_12]", "[SSN_13]"]
)
@pytest.mark.parametrize("edge", ["", "a", " ", "[", "]", "\\", "_", "1", "S", "\n"])
def test_a_placeholder_is_restored_at_every_cut(form: str, edge: str):
    values = known([f"536-22-88{number:02}" for number in range(12)])
    text = f"{edge}{form}{edge} and {form}"
    whole = restore_text(text, values)[0]
    for cut in every_cut(text):
        assert through(TextStreamRestorer(values), cut) == whole, cut
    assert through(TextStreamRestorer(values), text) == whole
    for one, two in itertools.combinations(range(0, len(text) + 1, 2), 2):
        assert through(TextStreamRestorer(values), (text[:one], text[one:two], text[two:])) == whole, (one, two)


@pytest.mark.parametrize("value", AWKWARD)
def test_an_awkward_value_comes_back_exactly_in_text_and_in_json_at_every_cut(value: str):
    values = known([value])
    expected = value.encode("utf-8", "replace").decode()
    assert restore_text("a [SSN_1].", values)[0] == f"a {expected}."
    source = json.dumps({"a": "is [SSN_1]!", "b": [{"[SSN_1]": "[SSN_1][SSN_1]"}]})
    for cut in every_cut(source):
        sent = through(TextStreamRestorer(values, in_json=True), cut)
        got = json.loads(sent)
        assert got == {"a": f"is {expected}!", "b": [{expected: expected * 2}]}
        sent.encode()  # nothing that no UTF-8 can carry


@pytest.mark.parametrize("value", AWKWARD)
def test_an_awkward_value_travels_through_both_forms_of_an_answer(value: str):
    values = known([value])
    expected = value.encode("utf-8", "replace").decode()
    content = [
        {"type": "text", "text": "[SSN_1]"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "[ssn_1]"}},
    ]
    restored, count = restore_message({"content": content}, values)
    assert (restored["content"][0]["text"], restored["content"][1]["input"], count) == (expected, {"a": expected}, 2)
    orjson.dumps(restored)
    stream = StreamRestorer(values)
    frames = []
    for piece in ("[SS", "N_1", "]"):
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        frames += stream.push(b"event: content_block_delta\ndata: " + orjson.dumps(delta) + b"\n\n")
    frames += stream.finish()
    assert "".join(orjson.loads(frame.split(b"data: ", 1)[1])["delta"]["text"] for frame in frames) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique=True), st.integers(), st.data())
def test_any_values_survive_any_cuts_of_json(texts: list[str], seed: int, data: st.DataObject):
    values = known(texts)
    names = [values.text("SSN", number + 1) for number in range(len(texts))]
    said = data.draw(st.lists(st.sampled_from([*names, "[", "\\", '"', "SSN_", "é", "\n"]), max_size=8))
    source = json.dumps({"a": "".join(said)}, ensure_ascii=bool(seed % 2))
    chance = random.Random(seed)
    places = sorted(chance.randint(0, len(source)) for _ in range(chance.randint(0, 9)))
    pieces = [source[a:b] for a, b in itertools.pairwise([0, *places, len(source)])]
    sent = through(TextStreamRestorer(values, in_json=True), pieces)
    assert json.loads(sent) == {"a": restore_text("".join(said), values)[0]}


def test_what_is_held_is_never_more_than_one_placeholder_for_any_label():
    for label in LABELS:
        values = known([f"v{number}" for number in range(120)], BY_LABEL[label].name, "ZY")
        longest = f"\\[{label}\\_ZY119\\]"
        for end in range(1, len(longest) + 1):
            assert len(TextStreamRestorer(values).push(" " * 50 + longest[:end])) >= 50
        text = f"see {longest} [{label}_ZY7] " * 2
        assert through(TextStreamRestorer(values), text) == "see v118 v6 " * 2


async def scan(body: dict[str, Any], org_key: bytes = b"k" * 32, **policy: Any) -> ScannedMessages:
    detector = PatternDetector()
    return await Guard(detector, detector).scan_messages(
        body, policy=Policy(**policy), org_key=org_key, deadline=time.monotonic() + 1
    )


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


LOOK_ALIKES = [
    "[PERSON_1]",
    "[person_7]",
    "[Person_1]",
    "PERSON_3",
    "[PERSON\\_1]",
    "\\[PERSON\\_1\\]",
    "[PERSON 1]",
    "[PERSON_99x",
]


@pytest.mark.parametrize("mine", LOOK_ALIKES)
async def test_nothing_that_the_caller_wrote_is_taken_for_a_placeholder(mine: str):
    places: list[dict[str, Any]] = [
        user(f"{mine} John Smith"),
        {"system": mine, **user("John Smith")},
        {"system": [{"type": "text", "text": mine}], **user("John Smith")},
        user([{"type": "text", "text": mine}, {"type": "text", "text": "and John Smith"}]),
        user(
            [
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": {"b": [mine]}}},
                {"type": "text", "text": "John Smith"},
            ]
        ),
        user(
            [{"type": "tool_use", "id": "t1", "name": "f", "input": {mine: 1}}, {"type": "text", "text": "John Smith"}]
        ),
        user([{"type": "tool_result", "tool_use_id": "t1", "content": json.dumps({"a": mine, "b": "John Smith"})}]),
        {**user("John Smith"), "tools": [{"name": "f", "description": f"Use {mine} for a person."}]},
        {**user("John Smith"), "stop_sequences": [mine]},
    ]
    for body in places:
        done = await scan(body)
        assert "John" not in json.dumps(done.request)
        assert done.map.namespace == "A", body
        assert restore_text(f"{mine} [PERSON_A1]", done.map) == (f"{mine} John Smith", 1)


async def test_a_caller_with_every_namespace_is_refused():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    spaces = ["", *letters, *(a + b for a in letters for b in letters)]
    with pytest.raises(PhiTooComplex):
        await scan(user(" ".join(f"[ID_{space}1]" for space in spaces) + " John Smith"))
    some = [space for space in spaces if space != "QQ"]
    done = await scan(user(" ".join(f"[ID_{space}1]" for space in some) + " John Smith"))
    assert done.map.namespace == "QQ"


@pytest.mark.parametrize("value", ["[MRN_4827193]", "[SSN_536228812]", "[ZIP_02139]"])
def test_a_number_in_a_placeholders_dress_is_masked(value: str):
    leaf = Leaf("p", f"his {value}", None, spans=[Span(4, 4 + len(value), "MEDICAL_RECORD_NUMBER", 0.9)])
    assert [(span.start, span.end) for span in settle(leaf)] == [(4, 4 + len(value))]
    leaf = Leaf("p", "his [MRN_1]", None, spans=[Span(4, 11, "MEDICAL_RECORD_NUMBER", 0.9)])
    assert settle(leaf) == []


def test_a_value_around_a_placeholder_is_masked_around_it():
    out: list[str] = []
    made = PlaceholderMap("A")
    mask([Leaf("p", "for Ana [SSN_1] Li now", out.append, spans=[Span(4, 18, "PERSON", 0.9)])], made)
    assert out == ["for [PERSON_A1] [SSN_1] [PERSON_A2] now"]
    assert restore_text(out[0], made)[0] == "for Ana [SSN_1] Li now"


TURNS = [
    "I am Zylo, ssn 536-22-8812",
    "Hello Zylo",
    "Write to John Smith about 536-22-8812 and Mr. Smith",
    "Dear John Smith",
    "Jane Smith and Zylo",
    "ok",
]


async def test_every_beginning_of_a_conversation_is_masked_to_the_same_bytes():
    messages = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(TURNS)]
    base = {"model": "m", "system": "For Zylo", "tools": [{"name": "f", "input_schema": {"type": "object"}}]}
    whole = orjson.dumps((await scan({**base, "messages": messages})).request["messages"])
    for count in range(1, len(messages) + 1):
        done = await scan({**base, "messages": messages[:count]})
        assert whole.startswith(orjson.dumps(done.request["messages"])[:-1])
        assert done.request["system"] == "For [PERSON_1]"


async def test_a_thinking_block_comes_back_byte_for_byte_and_the_values_around_it_keep_their_numbers():
    first = await scan(user("Zylo and John Smith"))
    thought = {"type": "thinking", "thinking": "[PERSON_2] knows [PERSON_1]", "signature": "EqoBCkgIARAB" * 4}
    answer, _ = restore_message({"content": [thought, {"type": "text", "text": "[PERSON_2] is well"}]}, first.map)
    assert answer["content"][0] == thought
    assert answer["content"][1]["text"] == "John Smith is well"
    messages = [
        {"role": "user", "content": "Zylo and John Smith"},
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": "And Jane Smith?"},
    ]
    second = await scan({"messages": messages})
    assert second.request["messages"][1]["content"] == [thought, {"type": "text", "text": "[PERSON_2] is well"}]
    assert second.request["messages"][0] == first.request["messages"][0]


async def test_two_organizations_at_once_never_see_each_others_values():
    theirs = await scan(user("John Smith, ssn 536-22-8812"), b"a" * 32)
    ours = await scan(user("Jane Smith, ssn 219-09-9999"), b"b" * 32)
    assert theirs.request == ours.request  # the same placeholders for different people
    text = "Dear [PERSON_1], ssn [SSN_1], or [PERSON_2]. "
    streams = {name: StreamRestorer(done.map) for name, done in (("theirs", theirs), ("ours", ours))}
    got = dict.fromkeys(streams, "")
    for position in range(0, len(text) * 3, 3):
        piece = (text * 3)[position : position + 3]
        for name, stream in streams.items():
            event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            got[name] += "".join(sent["delta"]["text"] for sent in stream.push_event(event))
    for name, stream in streams.items():
        got[name] += "".join(sent["delta"]["text"] for sent in stream.finish_events())
    assert got["theirs"] == "Dear John Smith, ssn 536-22-8812, or [PERSON_2]. " * 3
    assert got["ours"] == "Dear Jane Smith, ssn 219-09-9999, or [PERSON_2]. " * 3


async def test_without_restoration_placeholders_fed_back_keep_their_numbers():
    first = await scan(user("John Smith"), restore=False)
    answer = "Dear [PERSON_1]"
    messages = [
        {"role": "user", "content": "John Smith"},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "and Zylo"},
    ]
    second = await scan({"messages": messages}, restore=False)
    assert second.map.namespace == ""
    assert [m["content"] for m in second.request["messages"]] == ["[PERSON_1]", answer, "and [PERSON_2]"]
    assert second.request["messages"][0] == first.request["messages"][0]


def test_a_whole_event_stream_is_restored_wherever_the_bytes_are_cut():
    values = known(['Ana "Bo" Li', "O\\Li"])
    events: list[dict[str, Any]] = [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        },
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in ('{"a": "[SS', "N_1] \\\\", '[SSN_2]"', "}")
        ),
        {"type": "content_block_stop", "index": 0},
    ]
    data = b"".join(b"event: " + e["type"].encode() + b"\ndata: " + orjson.dumps(e) + b"\n\n" for e in events)
    for place in range(0, len(data), 5):
        stream, rest, sent = StreamRestorer(values), b"", []
        for piece in (data[:place], data[place:]):
            frames, rest = split_frames(rest + piece)
            sent += [out for frame in frames for out in stream.push(frame)]
        got = [orjson.loads(frame.split(b"data: ", 1)[1]) for frame in sent]
        source = "".join(e["delta"]["partial_json"] for e in got if e["type"] == "content_block_delta")
        assert json.loads(source) == {"a": 'Ana "Bo" Li \\O\\Li'}
