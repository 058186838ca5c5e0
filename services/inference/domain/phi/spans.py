"""A detection and the rule by which overlapping detections become one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    for span in sorted(spans, key=lambda s: (s.start, -s.end, -s.score, s.recognizer)):
        if span.end <= span.start:
            continue
        if leader is None or not merged or span.start >= merged[-1].end:
            merged.append(span)
            leader = span
            continue
        if _rank(span) > _rank(leader):
            leader = span
        last = merged[-1]
        merged[-1] = replace(leader, start=last.start, end=max(last.end, span.end), score=max(last.score, span.score))
    return merged


def _rank(span: Span) -> tuple[int, int]:
    return BY_NAME[span.entity_type].priority, span.end - span.start
