"""Names by the evidence of a list: where lines have one shape and some of them hold names, the others' same place does too.

Also who speaks: a label in front of a colon that comes again, as in transcripts and chats.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules.roster_checks import is_borne, is_listed, is_unknown, may_name
from services.inference.domain.phi.spans import Span

_SCORE = 0.75
_LINES = 2_000
_NAME = r"[^\W\d_][^\W\d_'’\-]{0,24}(?:['’\-][^\W\d_]{1,24}){0,2}"
# What numbers or ticks a line: "[ ]", "b5", "RM2 0730", "601B", "I-2", "3)", "0412".
_FRONT = r"(?:\[[ xX/]?\]|[\-*•]|\d{1,2}:\d\d ?(?:[ap]m?)?|(?:[A-Za-z]{1,5}[ .#]?)?\d{1,4}[A-Da-d]?[.):]?|[IVX]{1,3}-\d{1,2})"
_ENTRY = re.compile(
    rf"^[ \t]{{0,4}}(?P<front>{_FRONT}(?:[ \t]{{1,3}}(?:\d{{4}}|\d{{1,2}}:\d\d))?)?[ \t]{{0,3}}(?P<name>{_NAME})(?P<more>,? {_NAME})?"
    rf"(?P<then>[ \t]{{0,4}}(?:-{{1,2}}|[–—:|,;(]|[/])[ \t]?|[ \t]{{1,6}}\d{{1,3}} ?[MFmf](?!\w)|[ \t]{{1,6}}|$)"
)
_SPEAKER = re.compile(rf"^[ \t]{{0,4}}(?:\[?\d\d?:\d\d\]? )?(?P<name>{_NAME}):[ \t]", re.MULTILINE)
_TICK = re.compile(r"\[[xX/]?\]")
# Who speaks without a name.
_ROLES = frozenset(
    "human user assistant system bot me you agent caller customer doctor dr patient pt nurse clinic pharm mom dad interviewer clinician".split()  # noqa: SIM905
)
_DIGITS = re.compile(r"\d+")
_LETTERS = re.compile(r"[^\W\d_]+")
# What a list of people is headed by.
_TITLE = re.compile(
    r"\b(?:or (?:board|list|schedule)|(?:bed|ward|round|rounding|call|patient|clinic|transfer|admit|admission|discharge|waiting|recall|"
    r"callback|vax|sick) "
    r"?(?:list|board|log)|sign[ \-]?out|hand[ \-]?(?:off|over)|census|roster|queue|schedule|appts?|appointments|"
    r"worklist|night team|on[ \-]call|pedigree)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{3,24}(?:-[^\W\d_]{2,24})?")
_FEWEST = 3
_SURE = 2


def listed_names(text: str) -> list[Span]:
    """Of texts of several lines; the others have no list."""
    if text.count("\n") < _FEWEST - 1:
        return []
    return [*_entries(text), *_speakers(text)]


def _entries(text: str) -> Iterator[Span]:
    shapes: dict[str, list[tuple[int, int]]] = defaultdict(list)
    titled = _TITLE.search(text, 0, 2_000) is not None
    start = 0
    for line in text.split("\n")[:_LINES]:
        if match := _ENTRY.match(line):
            left, right = match.span("name")
            if shape := _shape(match, titled=titled):
                shapes[shape].append((start + left, start + right))
        start += len(line) + 1
    for shape, places in shapes.items():
        sure = titled or shape.startswith(("a 0 0", "a0 0"))  # a room and an hour
        if len(places) >= (2 if sure else _FEWEST) and _is_roster([text[slice(*place)] for place in places], sure):
            for left, right in places:
                if _may_be_listed(text[left:right]):
                    yield Span(left, right, "PERSON", _SCORE, "roster")
                yield from _beside(text, right)


def _beside(text: str, start: int) -> Iterator[Span]:
    """Who else an entry names: "THR HOLLOWAY/BASU", "page Cho"."""
    end = text.find("\n", start)
    for match in _WORD.finditer(text, start, len(text) if end < 0 else min(end, start + 120)):
        word = match[0]
        if not word.islower() and is_listed(word) and not words.is_english(word) and not words.is_city(word):
            yield Span(match.start(), match.end(), "PERSON", _SCORE, "roster")


def _shape(match: re.Match[str], *, titled: bool) -> str | None:
    """What stands around the name. Nothing in front of it is no list, unless a dash follows, or nothing below a list's title."""
    then = match["then"].strip()
    front = _LETTERS.sub("a", _DIGITS.sub("0", _TICK.sub("[ ]", match["front"] or "")))
    alone = titled and match.end() == len(match.string)
    if not then and not alone and front[:1] in {"", "-", "*", "•"}:
        return None
    if not front and not alone and then not in {"-", "–", "—"}:
        return None
    case = "A" if match["name"].isupper() else "a" if match["name"].islower() else "Aa"
    return f"{front}|{case}"


def _is_roster(candidates: list[str], titled: bool) -> bool:
    """Two names at least, and many more than words of medicine or of forms; below a title, words of no list will do."""
    sure = sum(map(_is_surely_one, candidates))
    if titled:
        sure += sum(is_unknown(word) and not _is_surely_one(word) for word in candidates)
    against = sum(map(_is_against, candidates))
    return sure >= _SURE and sure > 2 * against


def _is_surely_one(word: str) -> bool:
    parts = words.words_in(word)
    return (len(word) > 2 and any(map(is_listed, parts)) and not words.is_english(word)) or (
        is_unknown(word) and words.is_surname(parts[-1])
    )


def _is_against(word: str) -> bool:
    return words.is_medical(word) or words.may_be_eponym(word) or (words.is_english(word) and not words.is_name(word))


def _may_be_listed(word: str) -> bool:
    return len(word) > 2 and may_name(word) and not (words.is_common(word) and words.is_heading(word))


def _speakers(text: str) -> Iterator[Span]:
    labels: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for match in _SPEAKER.finditer(text):
        labels[match["name"]].append(match.span("name"))
    if len(labels) < 2:
        return
    for name, places in labels.items():
        if len(places) > 1 and may_name(name) and not words.is_heading(name) and _is_spoken(name):
            for left, right in places:
                yield Span(left, right, "PERSON", _SCORE, "roster")


def _is_spoken(name: str) -> bool:
    return name != "Claude" and name.lower() not in _ROLES and is_borne(name) and not words.may_be_eponym(name)
