"""Names that nobody capitalised: a first name next to a surname, in running lower case."""

import re
from collections.abc import Iterator

from services.inference.clients.presidio import words
from services.inference.domain.phi.spans import Span

_WORD = re.compile(r"(?<![\w'’\-@./])[a-z]{2,15}(?![\w@]|[\-./][a-z])")
_ANNOUNCED = re.compile(
    r"(?:\b(?:pt|pts|patient|pt's|patient's|name|named|mr|mrs|ms|dr|miss|for|called)\b[ .:,]{1,3})\Z", re.IGNORECASE
)
_SCORE = 0.75


def lower_case_names(text: str) -> list[Span]:
    """A pair of words that are names and little else, or a name behind "pt" or "mr"."""
    return list(_pairs(text))


def _pairs(text: str) -> Iterator[Span]:
    previous: re.Match[str] | None = None
    for match in _WORD.finditer(text):
        if previous and text[previous.end() : match.start()] == " ":
            announced = bool(_ANNOUNCED.search(text, max(0, previous.start() - 14), previous.start()))
            if _pair(previous.group(), match.group(), announced=announced):
                yield Span(previous.start(), match.end(), "PERSON", _SCORE, "lower_case_name")
        previous = match


def _pair(first: str, last: str, *, announced: bool) -> bool:
    if not (words.is_first_name(first) and words.is_surname(last)):
        return False
    if announced:
        return not words.is_heading(first) and not words.is_heading(last)
    return not words.is_common(first) and not words.is_common(last)
