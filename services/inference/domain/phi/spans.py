"""A detection and the rule by which overlapping detections become one."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from services.inference.domain.phi.entities import BY_NAME


@dataclass(frozen=True, slots=True)
class Span:
    """`[start, end)` in code points of the text as the caller wrote it."""

    start: int
    end: int
    entity_type: str
    score: float
    recognizer: str = ""

    @property
    def category(self) -> str:
        """The letter in 45 CFR 164.514(b)(2)(i)."""
        return BY_NAME[self.entity_type].letter


def merge(spans: Iterable[Span]) -> list[Span]:
    """Disjoint spans in order, covering every character that any input span covered.

    Overlapping spans become their union, named by the one of highest priority (the longer one on a tie), because a
    character that one recognizer calls PHI must not leave although another one disagrees about its kind.
    """
    spans = list(spans)
    if all(one.start < one.end <= other.start for one, other in pairwise(spans)) and all(
        s.start < s.end for s in spans[-1:]
    ):
        return spans
    merged: list[Span] = []
    leader: Span | None = None
    start, end, score = 0, 0, 0.0
    for span in sorted(spans, key=_order):
        if span.end <= span.start:
            continue
        if leader is None or span.start >= end:
            if leader:
                merged.append(_over(leader, start, end, score))
            leader, start, end, score = span, span.start, span.end, span.score
            continue
        if _rank(span) > _rank(leader):
            leader = span
        end, score = max(end, span.end), max(score, span.score)
    if leader:
        merged.append(_over(leader, start, end, score))
    return merged


def _over(leader: Span, start: int, end: int, score: float) -> Span:
    return Span(start, end, leader.entity_type, score, leader.recognizer)


def _order(span: Span) -> tuple[int, int, float, str]:
    return span.start, -span.end, -span.score, span.recognizer


def _rank(span: Span) -> tuple[int, int]:
    return BY_NAME[span.entity_type].priority, span.end - span.start
