"""Detections into placeholders, leaf by leaf in the order of the request."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from services.inference.domain.phi.entities import BY_NAME
from services.inference.domain.phi.leaves import Leaf
from services.inference.domain.phi.operators import Operators, Placeholder, Value
from services.inference.domain.phi.placeholders import PLACEHOLDER_SHAPE, TITLE, PlaceholderMap
from services.inference.domain.phi.spans import Span, merge

_KNOWN_SCORE = 0.8
_EDGES = " \t\r\n"
_WORD = re.compile(r"[^\W_]+")  # a run of what `isalnum` says
_NAME_PART = re.compile(r"(?<![\w'’\-])[^\W\d_a-z][^\W\d_]{3,}(?:['’\-][^\W\d_]+)*(?![\w'’\-])")
_SENTENCE_START = re.compile(r"(?:\A|[.!?:;\n*•)\]\-–]\s*|[\"“'‘(]\s*)\Z")
_PLACEHOLDERS = Operators()


@dataclass(frozen=True, slots=True)
class Redaction:
    """One masked span; never its value. `place`: `[start, end)` in code points of the text at `path`, where there is one.

    `placeholder` is empty where another `operator` was at work.
    """

    path: str
    entity_type: str
    placeholder: str
    score: float
    recognizer: str
    place: tuple[int, int] | None = None
    operator: str = Placeholder.name

    @property
    def category(self) -> str:
        """The letter in 45 CFR 164.514(b)(2)(i)."""
        return BY_NAME[self.entity_type].letter


def mask(leaves: Iterable[Leaf], placeholders: PlaceholderMap) -> list[Redaction]:
    """Writes each leaf's masked text and tells what was masked, in order."""
    return [
        redaction for leaf, spans in to_mask(leaves, placeholders) for redaction in write(leaf, spans, placeholders)
    ]


def to_mask(leaves: Iterable[Leaf], placeholders: PlaceholderMap) -> Iterator[tuple[Leaf, list[Span]]]:
    """What is to be masked in each leaf, disjoint and in order.

    A value once found is masked again wherever it stands later, whatever the scanner thought there. Never earlier: the
    masked form of a conversation's beginning must not change when a turn is added.
    """
    known = _Known()
    for entity_type, value in placeholders.values():
        known.add(entity_type, value)
    for leaf in leaves:
        if leaf.write is None:
            continue
        spans = settle(leaf)
        for span in spans:
            known.add(span.entity_type, leaf.text[span.start : span.end])
        if again := known.within(leaf.text, spans):
            spans = _whole(leaf, merge([*spans, *again]))
        if spans:
            yield leaf, spans


def write(
    leaf: Leaf,
    spans: Sequence[Span],
    placeholders: PlaceholderMap,
    operators: Operators = _PLACEHOLDERS,
    anonymized: Mapping[Value, str] = MappingProxyType({}),
) -> list[Redaction]:
    """Writes one leaf's masked text; tells what was masked. `anonymized` has every value whose operator anonymizes."""
    redactions: list[Redaction] = []
    pieces: list[str] = []
    position = 0
    for span in spans:
        before = leaf.text[max(0, span.start - 24) : span.start]
        value = leaf.text[span.start : span.end]
        placeholder = ""
        if operators.anonymizes(span.entity_type):
            masked = anonymized[span.entity_type, value]
        else:
            masked = placeholder = placeholders.assign(
                span.entity_type, value, before, alone=value == leaf.text.strip()
            )
        redactions.append(reported(leaf, span, operators, placeholder))
        pieces += leaf.text[position : span.start], masked
        position = span.end
    pieces.append(leaf.text[position:])
    if leaf.write:
        leaf.write("".join(pieces))
    return redactions


def reported(leaf: Leaf, span: Span, operators: Operators, placeholder: str = "") -> Redaction:
    place = leaf.back(span.start, span.end) if leaf.back else None
    return Redaction(
        leaf.path,
        span.entity_type,
        placeholder,
        round(span.score, 3),
        span.recognizer,
        place,
        operators.of(span.entity_type).name,
    )


def settle(leaf: Leaf) -> list[Span]:
    """The leaf's detections, disjoint, without blank edges and without what is a placeholder already."""
    if not leaf.spans:
        return []
    if leaf.whole:
        return _whole(leaf, merge(leaf.spans))
    spans = merge(leaf.spans)
    if spans and "[" in leaf.text:
        for shape in PLACEHOLDER_SHAPE.finditer(leaf.text):
            spans = [piece for span in spans for piece in _outside(span, shape.start(), shape.end())]
    return [trimmed for span in spans if (trimmed := _trimmed(span, leaf.text))]


def _whole(leaf: Leaf, spans: list[Span]) -> list[Span]:
    if not leaf.whole or not spans:
        return spans
    leader = max(spans, key=lambda span: BY_NAME[span.entity_type].priority)
    return [Span(0, len(leaf.text), leader.entity_type, leader.score, leader.recognizer)]


def _outside(span: Span, start: int, end: int) -> list[Span]:
    if span.end <= start or end <= span.start:
        return [span]
    pieces = [(span.start, min(span.end, start)), (max(span.start, end), span.end)]
    return [Span(a, b, span.entity_type, span.score, span.recognizer) for a, b in pieces if a < b]


def _trimmed(span: Span, text: str) -> Span | None:
    if not text[span.start].isspace() and not text[span.end - 1].isspace():
        return span
    value = text[span.start : span.end]
    start = span.start + len(value) - len(value.lstrip(_EDGES))
    end = span.end - (len(value) - len(value.rstrip(_EDGES)))
    return Span(start, end, span.entity_type, span.score, span.recognizer) if start < end else None


class _Known:
    """Values that are masked wherever they occur as whole words.

    Found by their first word, so that a text costs what it is long and not what is known: both may be large.
    """

    def __init__(self) -> None:
        self._types: dict[str, str] = {}
        self._parts: set[str] = set()
        """Of names: where a sentence begins, such a word may be another."""
        self._by_first_word: dict[str, list[tuple[int, str]]] = {}

    def add(self, entity_type: str, value: str) -> None:
        if value in self._types:
            self._parts.discard(value)
            return
        if _distinctive(entity_type, value):
            self._keep(entity_type, value)
        if entity_type == "PERSON" and len(parts := _NAME_PART.findall(TITLE.sub("", value))) > 1:
            for part in parts:
                if part not in self._types:
                    self._keep(entity_type, part)
                    self._parts.add(part)

    def _keep(self, entity_type: str, value: str) -> None:
        if first := _WORD.search(value):
            self._types[value] = entity_type
            self._by_first_word.setdefault(first.group(), []).append((first.start(), value))

    def within(self, text: str, found: Sequence[Span] = ()) -> list[Span]:
        """Where they stand in the text beyond what was `found` there as the same."""
        if not self._types or (self._by_first_word.keys().isdisjoint(_WORD.findall(text))):
            return []
        spans: list[Span] = []
        had = {(span.start, span.end): span.entity_type for span in found}
        for word in _WORD.finditer(text):
            for offset, value in self._by_first_word.get(word.group(), ()):
                start = word.start() - offset
                end = start + len(value)
                if (
                    start >= 0
                    and text.startswith(value, start)
                    and not text[start - 1 : start].isalnum()
                    and not text[end : end + 1].isalnum()
                    and had.get((start, end)) != self._types[value]
                    and not (value in self._parts and _SENTENCE_START.search(text, max(0, start - 4), start))
                ):
                    spans.append(Span(start, end, self._types[value], _KNOWN_SCORE, "known_value"))
        return spans


def _distinctive(entity_type: str, value: str) -> bool:
    """Long enough that the same characters elsewhere are the same value."""
    if entity_type in {"PERSON", "LOCATION", "FACILITY"}:
        return (len(value) >= 4 and value[:1].isupper()) or len(value) >= 8
    if entity_type in {"AGE", "US_ZIP_CODE"}:
        return False
    return len(value) >= (8 if entity_type == "DATE_TIME" else 6)
