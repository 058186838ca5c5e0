"""Names by the lists alone: of people that nobody capitalised, and of towns of more than one word."""

import re
from collections.abc import Iterator
from itertools import pairwise

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules import evidence
from services.inference.clients.presidio.analyzer.rules.place_checks import PLACE_TAIL
from services.inference.domain.phi.spans import Span

_WORD = re.compile(r"(?<![\w'’\-@./])[a-z]{2,15}(?![\w@]|[\-./][a-z])")
_CAPITALISED = re.compile(r"(?<![\w.@/\-])[A-Z][A-Za-z'’]{1,20}(?![\w@])")
_ANNOUNCED = re.compile(
    r"(?:\b(?:pt|pts|patient|pt's|patient's|name|named|mr|mrs|ms|dr|miss|for|called)\b[ .:,]{1,3})\Z", re.IGNORECASE
)
_SCORE = 0.75
# Words set together as in file names, logins and identifiers: "MargaretOlsen_CT.pdf", "margaret-olsen".
_COMPOUND = re.compile(r"(?<![\w@/\\.%])[A-Za-z][A-Za-z0-9]{0,30}(?:[_\-.][A-Za-z0-9]{1,30}){0,8}(?![\w@])")
_DOUBLE = re.compile(r"[A-Z][a-z]+(?:-[A-Z][a-z]+)+")
_COMPOUND_HEAD = re.compile(r"[A-Za-z0-9_\-.]*\Z")
_COMPOUNDED = re.compile(r"[a-z][A-Z]|[A-Za-z][_\-.][A-Za-z]")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]{2,}(?![a-z])")
_FILE = re.compile(
    r"\.(?:pdf|docx?|txt|rtf|csv|xlsx?|jpe?g|png|tiff?|dcm|hl7|xml|json|zip|mp[34]|wav|eml|msg|html?|odt|pptx?)\Z",
    re.IGNORECASE,
)


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
            if words.is_city(text[start : match.end()]) and not PLACE_TAIL.match(text, match.end()):
                spans.append(Span(start, match.end(), "LOCATION", _SCORE, "known_town"))
                break
    return spans


def compound_names(text: str) -> Iterator[Span]:
    """A first name beside a surname within a compound; in the name of a file a surname is enough."""
    end = 0
    for joint in _COMPOUNDED.finditer(text):
        if joint.start() < end:
            continue
        start = joint.start() - len(_COMPOUND_HEAD.search(text[max(0, joint.start() - 120) : joint.start()])[0])  # type: ignore[index]
        match = _COMPOUND.match(text, start)
        if match is None or match.end() <= joint.start():
            continue
        value, end = match.group(), match.end()
        if _DOUBLE.fullmatch(value):  # a double surname or an eponym: the rules and the model know better
            continue
        file = _FILE.search(value)
        parts = [part for part in _PARTS.finditer(value, 0, file.start() if file else len(value)) if len(part[0]) > 2]
        for first, last in pairwise(parts):
            if last.start() - first.end() <= 1 and (_compound(first[0], last[0]) or _compound(last[0], first[0])):
                start, stop = match.start() + first.start(), match.start() + last.end()
                if (
                    not evidence.names_a_thing(text, *match.span())
                    and not evidence.names_a_thing(text, start, stop)
                    and not words.EPONYM_TAIL.match(text, stop)
                ):
                    yield Span(start, stop, "PERSON", _SCORE, "compound_name")
        for part in parts if file else ():
            if _is_only_name(part[0]):
                yield Span(match.start() + part.start(), match.start() + part.end(), "PERSON", _SCORE, "file_name")


def _compound(first: str, last: str) -> bool:
    if (
        first.isupper() != last.isupper()
        or not words.is_first_name(first)
        or any(words.is_heading(w) or words.is_medical(w) for w in (first, last))
    ):
        return False
    return (words.is_surname(last) and not words.is_first_name(last) and _is_rare(first, last)) or not words.is_english(
        last
    )


def _is_rare(first: str, last: str) -> bool:
    return words.is_frequent_name(first) or not (words.is_common(first) or words.is_common(last))


def _is_only_name(word: str) -> bool:
    return len(word) > 3 and words.is_name(word) and not words.is_common(word) and not words.is_eponym(word)


def _pairs(text: str) -> Iterator[Span]:
    previous: re.Match[str] | None = None
    for match in _WORD.finditer(text):
        if previous and text[previous.end() : match.start()] == " ":
            first, last = previous.group(), match.group()
            if (words.is_first_name(first) or _is_unknown(first, last)) and _pair(
                first, last, announced=_is_announced(text, previous.start())
            ):
                yield Span(previous.start(), match.end(), "PERSON", _SCORE, "lower_case_name")
        previous = match


def _is_announced(text: str, start: int) -> bool:
    return _ANNOUNCED.search(text, max(0, start - 14), start) is not None


def _is_unknown(first: str, last: str) -> bool:
    return not (words.is_english(first) or words.is_english(last) or words.is_heading(first) or words.is_heading(last))


def _pair(first: str, last: str, *, announced: bool) -> bool:
    if announced and _is_unknown(first, last):
        return len(first) > 2 and len(last) > 2
    if not words.is_first_name(first) or not (words.is_surname(last) or (announced and not words.is_english(last))):
        return False
    if announced:
        return not words.is_heading(first) and not words.is_heading(last)
    return words.is_usual_first_name(first) and not words.is_common(first) and not words.is_common(last)
