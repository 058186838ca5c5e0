"""What a text names once it often says again with less around it: a surname without its title, a number without its label."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from services.inference.clients.presidio.analyzer import words
from services.inference.domain.phi.spans import Span

_SCORE = 0.7
_RECOGNIZER = "echo"
_PLACES = frozenset({"LOCATION", "FACILITY"})
_NO_IDENTIFIERS = frozenset({"PERSON", "DATE_TIME", "AGE", "URL", "EMAIL_ADDRESS"}) | _PLACES
# Five digits or more, and what is written among them without a blank.
_IDENTIFIER = re.compile(r"(?=(?:[A-Za-z\-./]{0,8}\d){5})[A-Za-z0-9](?:[\-./]?[A-Za-z0-9])*")
_SHORTEST = 3
# What stands behind the name of somebody who acts: "Badger drives", "Badger's", "Badger, 41".
_ACTS = re.compile(r"(?:['’]s\b|,? [a-z]{2,12}(?:s|ed)\b|, \d| (?:will|had|did|came|went|may|can|said|took)\b)")
_SENTENCE = re.compile(r"(?:\A|[.!?:;\n*•\-–)\]]\s*)\Z")


def echoes(text: str, found: Sequence[Span]) -> list[Span]:
    """Further places where what was found stands again, alone. `found` is disjoint and in order."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter whose small form is longer: places would not agree
        return []
    told = {word.lower(): (word, is_last) for word, is_last in _words_of(text, found)}
    ends = [span.end for span in found]
    again: list[Span] = []
    for word, (written, is_last) in told.items():
        for start in _places(lowered, word):
            end = start + len(word)
            if not _is_covered(start, end, found, ends) and _is_named(text, start, end, written, is_last=is_last):
                again.append(Span(start, end, _kind(written, text, found), _SCORE, _RECOGNIZER))
    for span in found:
        if span.entity_type not in _NO_IDENTIFIERS:
            for value in _IDENTIFIER.findall(text, span.start, span.end):
                again += [
                    Span(start, start + len(value), span.entity_type, _SCORE, _RECOGNIZER)
                    for start in _places(text, value)
                    if not _is_covered(start, start + len(value), found, ends)
                ]
    return again


def _words_of(text: str, found: Iterable[Span]) -> Iterator[tuple[str, bool]]:
    """The words of names that are somebody's or somewhere's, and whether each is a name's last."""
    for span in found:
        if span.entity_type == "PERSON":
            parts = words.words_in(text[span.start : span.end])
        elif span.entity_type == "LOCATION" and len(parts := words.words_in(text[span.start : span.end])) == 1:
            if words.is_english(parts[0]):
                continue
        else:
            continue
        for part in parts:
            if sum(map(str.isalpha, part)) >= _SHORTEST and not words.is_heading(part) and not words.is_medical(part):
                yield part, part is parts[-1]


def _places(text: str, value: str) -> Iterator[int]:
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        if not (start and text[start - 1].isalnum()) and not text[end : end + 1].isalnum():
            yield start
        start = text.find(value, end)


def _is_covered(start: int, end: int, found: Sequence[Span], ends: Sequence[int]) -> bool:
    first = bisect_right(ends, start)
    return first < len(found) and found[first].start < end


def _is_named(text: str, start: int, end: int, written: str, *, is_last: bool) -> bool:
    """Whether the word is a name here too. One that is an ordinary word needs its capital, and a reason for it."""
    if words.EPONYM_TAIL.match(text, end):
        return False
    if not words.is_common(written):
        return True
    if not text[start].isupper():
        return False
    return not _SENTENCE.search(text, max(0, start - 4), start) or bool(is_last and _ACTS.match(text, end))


def _kind(written: str, text: str, found: Sequence[Span]) -> str:
    return next(span.entity_type for span in found if written in text[span.start : span.end])
