"""The disguises of `evasion.toml`: what of each comes through, by the real scanner and the real guard."""

import asyncio
import json
import re
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from presidio_analyzer import AnalyzerEngine

from services.inference.clients.presidio.analyzer import engine as presidio
from services.inference.domain.phi import Guard, Policy
from services.inference.domain.phi.spans import Span

TABLE = tomllib.loads(Path(__file__).with_name("evasion.toml").read_text(encoding="utf-8"))
_TOKEN = re.compile(r"[^\W_]+")
LEAST = 0.98  # of all values


@pytest.fixture(scope="module")
def engine() -> AnalyzerEngine:
    return presidio.build()


class InProcess:
    """The scanner without its processes."""

    def __init__(self, engine: AnalyzerEngine) -> None:
        self._engine = engine

    async def detect(self, blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        return [presidio.detect(self._engine, block) for block in blocks]

    async def read_pdf(self, data: bytes, deadline: float) -> str | None:
        raise AssertionError("no probe is a PDF")


def left_of(probe: dict[str, Any], engine: AnalyzerEngine) -> list[str]:
    """The values that are not masked in full."""
    if "text" in probe:
        text = probe["text"]
        spans = presidio.detect(engine, text)
        return [value for value in probe["values"] if not _is_covered(text, value, spans)]
    content: Any = (
        [{"type": "text", "text": block} for block in probe["blocks"]]
        if "blocks" in probe
        else [{"type": "tool_result", "tool_use_id": "t", "content": probe["json"]}]
    )
    guard = Guard(InProcess(engine), InProcess(engine))
    body = {"messages": [{"role": "user", "content": content}]}
    done = asyncio.run(guard.scan_messages(body, policy=Policy(), org_key=b"k" * 32, deadline=time.monotonic() + 60))
    sent = done.request["messages"][0]["content"]
    said = "".join(block.get("text") or json.dumps(block["content"]) for block in sent)
    return [value for value in probe["values"] if any(token.group() in said for token in _TOKEN.finditer(value))]


def _is_covered(text: str, value: str, spans: list[Span]) -> bool:
    start = text.index(value)
    return all(
        any(span.start <= start + token.start() and start + token.end() <= span.end for span in spans)
        for token in _TOKEN.finditer(value)
    )


def test_disguises_carry_next_to_nothing_through(engine: AnalyzerEngine):
    left = {probe["trick"]: values for probe in TABLE["probe"] if (values := left_of(probe, engine))}
    every = sum(len(probe["values"]) for probe in TABLE["probe"])
    assert sum(map(len, left.values())) <= (1 - LEAST) * every, left


def test_the_table_is_as_long_as_it_claims():
    assert len({probe["trick"] for probe in TABLE["probe"]}) >= 40
    assert sum(len(probe["values"]) for probe in TABLE["probe"]) >= 150


@pytest.mark.parametrize("text", TABLE["harmless"]["texts"])
def test_harmless_text_stays(engine: AnalyzerEngine, text: str):
    assert [(text[span.start : span.end], span.recognizer) for span in presidio.detect(engine, text)] == []
