"""Every category of 45 CFR 164.514(b)(2)(i) in the phrasings of `categories.txt`."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from presidio_analyzer import AnalyzerEngine

from services.inference.clients.presidio.analyzer import engine as presidio

_PART = re.compile(r"«([^»]*)»|([^«»]+)")
_TOKEN = re.compile(r"[^\W_]+")


def cases() -> Iterator[tuple[str, str, list[tuple[int, int]]]]:
    """(type, text, spans of its PHI)"""
    kind = ""
    lines = Path(__file__).with_name("categories.txt").read_text(encoding="utf-8").splitlines()
    for line in filter(None, lines):
        if line.startswith("## "):
            kind = line[3:]
        if line.startswith("#"):
            continue
        text, spans = "", []
        for part in _PART.finditer(line):
            if part[1]:
                spans.append((len(text), len(text) + len(part[1])))
            text += part[1] or part[2]
        yield kind, text, spans


CASES = list(cases())


@pytest.fixture(scope="module")
def engine() -> AnalyzerEngine:
    return presidio.build()


@pytest.mark.parametrize(("kind", "text", "values"), CASES, ids=[f"{kind}-{text[:40]}" for kind, text, _ in CASES])
def test_it_is_masked_in_full_and_nothing_else_is(
    engine: AnalyzerEngine, kind: str, text: str, values: list[tuple[int, int]]
):
    found = presidio.detect(engine, text)
    for start, end in values:
        for token in _TOKEN.finditer(text, start, end):
            assert any(span.start <= token.start() and token.end() <= span.end for span in found), token.group()
    extra = [span for span in found if not any(span.start < end and start < span.end for start, end in values)]
    assert [(text[span.start : span.end], span.recognizer) for span in extra] == []


def test_every_category_has_its_cases():
    numbers = {kind: sum(len(spans) for other, _, spans in CASES if other == kind) for kind, _, _ in CASES}
    assert numbers.pop("NONE") == 0
    assert len(numbers) == 20
    assert min(numbers.values()) >= 9
