"""Citation offsets and document numbers come back in the caller's own texts."""

import json
import time
from typing import Any

import pytest

from services.inference.domain.phi import Guard, Policy, ScannedMessages, StreamRestorer, restore_message
from tests.inference.phi_fakes import PatternDetector

TEXT = "Zylo came. John Smith, 536-22-8812, is well. Zylo left; Jane Smith stayed."


def text(data: str) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": data}}


async def scan(*blocks: dict[str, Any]) -> ScannedMessages:
    detector = PatternDetector()
    body = {"messages": [{"role": "user", "content": list(blocks)}]}
    return await Guard(detector, detector).scan_messages(
        body, policy=Policy(), org_key=b"k" * 32, deadline=time.monotonic() + 1
    )


def cites(index: int, masked: str, cited: str) -> dict[str, Any]:
    """What the provider says about a sentence of the text that it was sent."""
    start = masked.index(cited)
    return {
        "type": "char_location",
        "cited_text": cited,
        "document_index": index,
        "start_char_index": start,
        "end_char_index": start + len(cited),
    }


def both_ways(done: ScannedMessages, citation: dict[str, Any]) -> list[Any]:
    """The citation as it reaches the caller in a whole answer and in a stream."""
    whole, _ = restore_message({"content": [{"type": "text", "text": "a", "citations": [citation]}]}, done.map)
    delta = {"type": "citations_delta", "citation": citation}
    events = StreamRestorer(done.map).push_event({"type": "content_block_delta", "index": 0, "delta": delta})
    streamed = [event["delta"]["citation"] for event in events]
    assert whole["content"][0]["citations"] == streamed
    return streamed


@pytest.mark.parametrize("sentence", range(3))
async def test_offsets_point_into_the_callers_text(sentence: int):
    done = await scan(text("nothing here"), text(TEXT))
    masked = done.request["messages"][0]["content"][1]["source"]["data"]
    theirs, ours = (source.replace("; ", ". ").split(". ")[sentence] for source in (masked, TEXT))
    assert theirs != ours
    (citation,) = both_ways(done, cites(1, masked, theirs))
    assert TEXT[citation["start_char_index"] : citation["end_char_index"]] == ours == citation["cited_text"]
    assert citation["document_index"] == 1


async def test_a_place_inside_a_placeholder_takes_the_whole_value():
    done = await scan(text(TEXT))
    masked = done.request["messages"][0]["content"][0]["source"]["data"]
    inside = cites(0, masked, "ERSON_2], [SSN")
    (citation,) = both_ways(done, inside)
    assert TEXT[citation["start_char_index"] : citation["end_char_index"]] == "John Smith, 536-22-8812"


async def test_a_removed_document_does_not_move_the_numbers_of_the_others():
    gone = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    nested = {"type": "tool_result", "tool_use_id": "t", "content": [gone, text("all is well")]}
    done = await scan(gone, nested, text("and well again"))
    assert len(done.map) == 0
    for index, (number, said) in enumerate([(2, "all is well"), (3, "and well again")]):
        citation = cites(index, said, "well")
        assert both_ways(done, citation) == [citation | {"document_index": number}]
    block = {"type": "content_block_location", "document_index": 1, "start_block_index": 0, "end_block_index": 1}
    assert both_ways(done, block) == [block | {"document_index": 3}]


async def test_a_document_that_is_json_is_found_by_its_words_or_its_citation_dropped():
    source = json.dumps({"mrn": 4827193, "note": "Zylo is \u00e9levated", "again": "is well", "more": "is well"})
    done = await scan(text(source))
    masked = done.request["messages"][0]["content"][0]["source"]["data"]
    cited = masked[masked.index('"mrn"') : masked.index(", ")]
    assert both_ways(done, cites(0, masked, cited)) == []  # the number came back as a string
    (citation,) = both_ways(done, cites(0, masked, '"again": "is well"'))
    assert source[citation["start_char_index"] : citation["end_char_index"]] == '"again": "is well"'
    assert both_ways(done, cites(0, masked, "is well")) == []


async def test_other_citations_are_left_as_they_are():
    done = await scan(text(TEXT))
    for citation in (
        {"type": "web_search_result_location", "url": "https://h", "encrypted_index": "abc", "cited_text": "a"},
        {"type": "search_result_location", "search_result_index": 0, "start_block_index": 0, "end_block_index": 1},
        {"type": "char_location", "document_index": 7, "start_char_index": 1, "end_char_index": 2},
    ):
        assert both_ways(done, citation) == [citation]


async def test_nothing_moved_is_nothing_to_do():
    assert not (await scan(text("all is well"))).map
