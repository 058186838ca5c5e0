"""Names by the lists alone: of people that nobody capitalised, and of towns of more than one word."""

import re
from collections.abc import Iterator

from services.inference.clients.presidio import words
from services.inference.domain.phi.spans import Span

_WORD = re.compile(r"(?<![\w'’\-@./])[a-z]{2,15}(?![\w@]|[\-./][a-z])")
_CAPITALISED = re.compile(r"(?<![\w.@/\-])[A-Z][A-Za-z'’]{1,20}(?![\w@])")
_ANNOUNCED = re.compile(
    r"(?:\b(?:pt|pts|patient|pt's|patient's|name|named|mr|mrs|ms|dr|miss|for|called)\b[ .:,]{1,3})\Z", re.IGNORECASE
)
_SCORE = 0.75


def lower_case_names(text: str) -> list[Span]:
    """A pair of words that are names and little else, or a name behind "pt" or "mr"."""
    return list(_pairs(text))


def known_towns(text: str) -> list[Span]:
    """ "Baton Rouge": each of its words is an ordinary one."""
    spans: list[Span] = []
    previous: list[re.Match[str]] = []
    for match in _CAPITALISED.finditer(text):
        adjacent = bool(previous) and text[previous[-1].end() : match.start()] == " "
        previous = [*previous[-2:], match] if adjacent else [match]
        for count in range(len(previous), 1, -1):
            start = previous[-count].start()
            if words.is_city(text[start : match.end()]):
                spans.append(Span(start, match.end(), "LOCATION", _SCORE, "known_town"))
                break
    return spans


def _pairs(text: str) -> Iterator[Span]:
    previous: re.Match[str] | None = None
    for match in _WORD.finditer(text):
        if previous and text[previous.end() : match.start()] == " ":
            announced = bool(_ANNOUNCED.search(text, max(0, previous.start() - 14), previous.start()))
            if _pair(previous.group(), match.group(), announced=announced):
                yield Span(previous.start(), match.end(), "PERSON", _SCORE, "lower_case_name")
        previous = match


def _pair(first: str, last: str, *, announced: bool) -> bool:
    if announced and not any(
        words.is_english(word) or words.is_heading(word) or words.is_medical(word) for word in (first, last)
    ):
        return len(first) > 2 and len(last) > 2
    if not words.is_first_name(first) or not (words.is_surname(last) or (announced and not words.is_english(last))):
        return False
    if announced:
        return not words.is_heading(first) and not words.is_heading(last)
    return not words.is_common(first) and not words.is_common(last)
