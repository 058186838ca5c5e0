import json
import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.domain.phi import (
    PlaceholderMap,
    StreamRestorer,
    TextStreamRestorer,
    restore_message,
    restore_text,
    split_frames,
)
from services.inference.domain.phi.entities import ENTITIES
from services.inference.domain.phi.leaves import Leaf
from services.inference.domain.phi.masking import mask
from services.inference.domain.phi.spans import Span

EXACT = [
    entity.name
    for entity in ENTITIES
    if entity.name not in {"PERSON", "LOCATION", "STREET_ADDRESS", "FACILITY", "EMAIL_ADDRESS"}
]
PIECES = [
    *(
        "[",
        "]",
        "\\",
        "_",
        "PERSON",
        "person",
        "[PERSON_1]",
        "[person_1]",
        "[PERSON\\_2]",
        "[PERSON_12]",
        "[PERSON_13]",
    ),
    *("PERSON_1", "[HEALTH_PLAN_1]", "[PERSON 1]", "\\[PERSON_1\\]", "1", "2", " ", "\n", "x", "[DATE_1", "DATE_1."),
    *("PERSON_12x", "é", "HEALTH_PL", "[[PERSON_1]]"),
]


def some_map() -> PlaceholderMap:
    known = PlaceholderMap()
    for number in range(1, 13):
        known.assign("PERSON", f'Ana "Bo{number}" O\\Li\n')
    known.assign("DATE_TIME", "3/4/2020")
    known.assign("US_HEALTH_INSURANCE_MEMBER_ID", "HP-1")
    return known


def cut(text: str, random_cuts: random.Random) -> list[str]:
    places = sorted(random_cuts.sample(range(len(text) + 1), min(len(text), random_cuts.randint(0, 12))))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def test_other_forms_a_model_writes_are_restored():
    known = PlaceholderMap()
    known.assign("US_SSN", "536-22-8812")
    for form in ("[SSN_1]", "[ssn_1]", "[Ssn_1]", "[SSN\\_1]", "\\[SSN\\_1\\]", "[SSN 1]", "SSN_1", "SSN\\_1"):
        assert restore_text(f"it is {form}.", known) == ("it is 536-22-8812.", 1), form
    for other in ("[SSN_2]", "ssn_1", "SSN_11", "XSSN_1", "[SSN_01]", "[DATE_1]"):
        assert restore_text(other, known) == (other, 0), other


@given(st.lists(st.tuples(st.sampled_from(EXACT), st.text(min_size=1, max_size=8), st.text(max_size=8)), max_size=8))
def test_masking_then_restoring_gives_the_original(parts: list[tuple[str, str, str]]):
    text, spans = "", []
    for entity, value, between in parts:
        spans.append(Span(len(text), len(text) + len(value), entity, 0.9))
        text += value + between
    known = PlaceholderMap()
    known.avoid([text])
    out: list[str] = []
    mask([Leaf("p", text, out.append, spans=spans)], known)
    assert restore_text(out[0] if out else text, known)[0] == text


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.integers())
def test_a_stream_restores_what_the_whole_text_does(pieces: list[str], seed: int):
    known, text = some_map(), "".join(pieces)
    stream = TextStreamRestorer(known)
    sent = "".join(stream.push(piece) for piece in cut(text, random.Random(seed))) + stream.finish()
    assert (sent, stream.restored_count) == restore_text(text, known)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.integers())
def test_json_in_pieces_stays_json_with_the_values_in_it(pieces: list[str], seed: int):
    known, text = some_map(), "".join(pieces)
    source = json.dumps({"a": text, "b": [1, {text: None}]}, ensure_ascii=False)
    stream = TextStreamRestorer(known, in_json=True)
    sent = "".join(stream.push(piece) for piece in cut(source, random.Random(seed))) + stream.finish()
    restored = restore_text(text, known)[0]
    assert json.loads(sent) == {"a": restored, "b": [1, {restored: None}]}


def test_nothing_is_held_that_cannot_become_a_placeholder_of_the_map():
    known = PlaceholderMap()
    known.assign("PERSON", "Zylo")
    for text in ("plain", "[DATE_", "[PERSON_2", "p", "person_", "XPERSON", "[PERSON_1x", "a[b"):
        assert TextStreamRestorer(known).push(text) == text, text
    for text, held in (("a [", 1), ("the P", 1), ("[PERSON_1", 9), ("is PERSON_1", 8), ("[PERSON\\", 8)):
        assert TextStreamRestorer(known).push(text) == text[:-held], text


def frame(event: dict[str, Any]) -> bytes:
    return b"event: " + event["type"].encode() + b"\ndata: " + json.dumps(event).encode() + b"\n\n"


def delta(index: int, **fields: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def test_untouched_frames_pass_as_the_same_bytes():
    stream = StreamRestorer(some_map())
    frames = [
        frame({"type": "ping"}),
        frame(delta(0, type="text_delta", text="plain text")),
        frame(delta(0, type="thinking_delta", thinking="[PERSON_1]")),
        frame(delta(0, type="signature_delta", signature="abc")),
    ]
    for each in frames:
        assert stream.push(each)[0] is each


def test_held_text_is_flushed_before_its_block_stops():
    known = PlaceholderMap()
    known.assign("PERSON", "Zylo")
    stream = StreamRestorer(known)
    assert stream.push(frame(delta(0, type="text_delta", text="Hello [PER"))) == [
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello "}}\n\n'
    ]
    assert stream.push(frame(delta(1, type="text_delta", text="SON_1]"))) == [
        frame(delta(1, type="text_delta", text="SON_1]"))
    ]
    stop = frame({"type": "content_block_stop", "index": 0})
    flushed = stream.push(stop)
    assert orjson.loads(flushed[0].split(b"data: ")[1]) == delta(0, type="text_delta", text="[PER")
    assert flushed[1] is stop
    assert stream.finish() == []


def test_a_stream_that_dies_gives_what_was_held():
    stream = StreamRestorer(some_map())
    assert stream.push_event(delta(0, type="text_delta", text="see [PERSON_")) == [
        delta(0, type="text_delta", text="see ")
    ]
    assert stream.finish_events() == [delta(0, type="text_delta", text="[PERSON_")]


@pytest.mark.parametrize("seed", range(20))
def test_a_whole_event_stream_restores_as_the_whole_message_does(seed: int):
    known, chance = some_map(), random.Random(seed)
    text = "".join(chance.choice(PIECES) for _ in range(60))
    tool = {"who": text, "list": ["[PERSON_2]"]}
    message = {
        "content": [
            {"type": "text", "text": text},
            {"type": "tool_use", "id": "toolu_[PERSON_1]", "name": "f", "input": tool},
        ],
        "stop_sequence": "[PERSON_3]",
    }
    events: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    ]
    events += [delta(0, type="text_delta", text=piece) for piece in cut(text, chance)]
    events += [
        delta(1, type="input_json_delta", partial_json=piece)
        for piece in cut(json.dumps(tool, ensure_ascii=False), chance)
    ]
    chance.shuffle(
        order := [0] * sum(e.get("index") == 0 for e in events) + [1] * sum(e.get("index") == 1 for e in events)
    )
    queues = {index: [e for e in events if e.get("index") == index] for index in (0, 1)}
    events = [queues[index].pop(0) for index in order]
    events += [{"type": "content_block_stop", "index": 0}, {"type": "content_block_stop", "index": 1}]
    events += [{"type": "message_delta", "delta": {"stop_sequence": "[PERSON_3]"}}, {"type": "message_stop"}]
    stream = StreamRestorer(known)
    frames, rest = split_frames(b"".join(frame(e) for e in events))
    assert rest == b""
    sent = b"".join(out for f in frames for out in stream.push(f)) + b"".join(stream.finish())
    got = [orjson.loads(f.split(b"data: ")[1]) for f in split_frames(sent)[0]]
    texts = {i: [e["delta"] for e in got if e["type"] == "content_block_delta" and e["index"] == i] for i in (0, 1)}
    whole, count = restore_message(message, known)
    assert "".join(d["text"] for d in texts[0]) == whole["content"][0]["text"]
    assert json.loads("".join(d["partial_json"] for d in texts[1])) == whole["content"][1]["input"]
    assert whole["content"][1]["id"] == "toolu_[PERSON_1]"
    assert next(e for e in got if e["type"] == "message_delta")["delta"]["stop_sequence"] == whole["stop_sequence"]
    assert stream.restored_count == count


def test_thinking_ids_and_usage_are_left_alone():
    known = some_map()
    message = {
        "id": "[PERSON_1]",
        "content": [{"type": "thinking", "thinking": "[PERSON_1]", "signature": "s"}],
        "usage": {"x": "[PERSON_1]"},
    }
    assert restore_message(message, known) == (message, 0)
