"""Addresses to both their ends: what is known of one grows over the parts beside it, comma by comma.

The rules know street types and postal codes; the world has more ways to write an address than rules can name. But its parts
stand in a row between commas or line ends, begin with capitals or are numbers, and a town or a postal code is among them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.address_parts import (
    POSTAL,
    TOKEN,
    UPPER,
    Part,
    is_address_word,
    leading,
    part,
    trailing,
)
from services.inference.clients.presidio.analyzer.towns import is_ordinary, is_town
from services.inference.domain.phi.spans import Span, merge

_SCORE = 0.8
_PARTS = 8  # more than any address has on one side
_REACH = 80  # characters of one part
_TOWN_FOUND = "address_town"
_GROWING = frozenset({"STREET_ADDRESS", "US_ZIP_CODE", "LOCATION"})
_TOWN = re.compile(rf"(?:,[ \n]|\n|\d )(?P<v>[{UPPER}][\w'’\-]+(?:[ .][{UPPER}][\w'’\-]+){{0,3}})")
_BREAKS = re.compile(r"[,;\n|\[\]<>=\"()!?*]")
_PART = re.compile(rf"[^,;\n|\[\]<>=\"()!?*]{{1,{_REACH}}}")
_UNITS = "bus|bte|box|boîte|app|appt|lgh|kv|apt|apto|piso|esc|int|depto|dpto|unit|flat|suite|trailer|tv|og|eg|kat|floor"
_AFTER = re.compile(
    rf"[ \t]*(?:,[ \t]*\n?|\n)[ \t]*|[ ]+[-–][ ]+|/(?=[A-Z]{{2}}(?![A-Za-z]))|[ ]{{1,2}}(?=[#\dA-Z]|(?:{_UNITS})\b)"
)
_BEFORE = re.compile(r"(?:[ \t]*(?:,[ \t]*\n?|\n)[ \t]*|[ ]+[-–][ ]+|[ ]{1,2})\Z")
_YEAR = re.compile(r"(?:19|20)\d\d\Z")
_HOUSE = re.compile(
    r"(?<=[\da-z])(?:[/\-–]\d{1,4}[A-Za-z]?){1,3}(?![\w/%])|(?<=\d)/[A-Z](?!\w)|(?<=[a-z]) \d{1,2}(?=[.,;)\n]|\Z)"
)
_POSTAL_BEFORE = re.compile(r"(?<!\d)(?!(?:19|20)\d\d )(?:\d{4,5}|\d{3} \d\d|\d{2}-\d{3}) \Z")
# British, Irish and Canadian postal codes are nothing else.
_CERTAIN = re.compile(r"[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}|[A-Z]\d[A-Z] \d[A-Z]\d|[A-Z]\d[\dW] [A-Z\d]{4}")
_DISTRICT = re.compile(r",? [A-Z]{1,2}\d{1,2}[A-Z]?(?=[.,;)\n]|\Z)")  # "Byres Road, G12"
_STATE_BEHIND = re.compile(r"-[A-Z]{2}\Z")
_LONG_CODE = re.compile(r"\d{4}|[A-Z]\d[A-Z]")
_PROVINCE = re.compile(r" \([A-Z]{2}\)| S ?\(\d{6}\)|(?<=S)\(\d{6}\)|(?:(?<=[a-z]) |-)[A-Z]{1,2}(?=[.,;)\n]|\Z)")


def grown(text: str, found: Sequence[Span], *, towns: bool = True) -> list[Span]:
    """Those of `found` that are longer than the rules know, and with `towns` the addresses that a town's name ends."""
    spans: list[Span] = []
    done = 0
    anchors = [span for span in found if span.entity_type in _GROWING]
    for span in sorted([*merge(anchors), *(_towns(text) if towns else ())], key=lambda span: span.start):
        if span.end <= done:
            continue
        start, end = span.start, span.end
        if span.entity_type != "LOCATION" or not is_ordinary(text[start:end]):
            start = _left(text, start, certain=_CERTAIN.fullmatch(text, start, end) is not None)
        if start < span.start or span.recognizer != _TOWN_FOUND:
            end = _right(text, span.start, end, only_known=span.entity_type == "LOCATION" and start == span.start)
        if (start, end) != (span.start, span.end):
            kind = "STREET_ADDRESS" if start < span.start else span.entity_type
            spans.append(Span(start, end, kind, max(_SCORE, span.score), f"{span.recognizer}_grown"))
        done = max(done, end)
    return spans


def address_line(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """ "Hse No. C114/3, Kokomlemle": a number of a house with places behind it, as the checks of rules answer."""
    reached = _right(text, start, end, only_known=False)
    behind = [name.strip() for name in text[end:reached].split(",") if name.strip()]
    named = [word for name in behind for word in words.words_in(name) if len(word) > 2 and not is_address_word(word)]
    if not named or is_ordinary(" ".join(named)):
        return False
    return (len(behind) > 1 or is_town(behind[0]) or not all(map(words.is_name, named))) and (start, reached)


def rural(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """ "RR 4, Chadron" and "RD 3, Te Puke 3183", but not "RR 16, Sats 97"."""
    reached = _right(text, start, end, only_known=False)
    town = re.sub(r"[,\d]", " ", text[end:reached]).strip()
    return (is_town(town) or bool(_LONG_CODE.search(text, end, reached))) and (start, reached)


def _towns(text: str) -> Iterator[Span]:
    """Towns behind a comma, a line's end or a number."""
    for match in _TOWN.finditer(text):
        name = _STATE_BEHIND.sub("", match["v"])
        start = match.start("v")
        first, _, rest = name.partition(" ")
        if rest and is_address_word(first) and not is_town(name):  # "District Faisalabad"
            name, start = rest, start + len(first) + 1
        while name and not is_town(name):
            name = name.rpartition(" ")[0]
        if not name or words.EPONYM_TAIL.match(text, start + len(name)) or _is_eponym(name):
            continue
        if code := _POSTAL_BEFORE.search(text, max(0, start - 8), start):
            yield Span(code.start(), start + len(name), "LOCATION", _SCORE, "postal_town")
        elif not is_ordinary(name):
            yield Span(start, start + len(name), "LOCATION", _SCORE, _TOWN_FOUND)


def _is_eponym(name: str) -> bool:
    """ "Lichtenstein": of an operation sooner than of a hamlet."""
    return words.is_eponym(name) and not words.is_city(name) and not words.is_name(name)


def _left(text: str, start: int, *, certain: bool) -> int:
    """Where the address begins: with its first part that is of a street, or before a `certain` end that has a name."""
    best = at = start
    number = False
    for count in range(_PARTS):
        found = _before(text, at, parted=count > 0, certain=certain)
        if found is None:
            break
        beside = found.number and best == at and (found.whole or not text[found.start : found.end].isdigit())
        house = certain and found.named and not _is_person(text[found.start : found.end])
        if found.street or (number and found.named) or beside or house:
            best = found.start
        number, at = found.number, found.start
        if not found.whole:
            break
    return best


def _is_person(value: str) -> bool:
    found = words.words_in(value)
    return len(found) > 1 and words.is_first_name(found[0]) and not is_town(value)


def _right(text: str, start: int, end: int, *, only_known: bool) -> int:
    """Where it ends: with the last part that surely is of an address."""
    lower = not any(map(str.isupper, text[start:end]))
    if house := _HOUSE.match(text, end):
        end = house.end()
    best = at = end
    for _ in range(_PARTS):
        found = _after(text, at, lower=lower)
        if found is None or (only_known and not found.known):
            break
        at = found.end
        best = at if found.sure else best
        if not found.whole:
            break
    ending = _PROVINCE.match(text, best) or (None if only_known else _DISTRICT.match(text, best))
    return ending.end() if ending else best


def _before(text: str, at: int, *, parted: bool, certain: bool) -> Part | None:
    """What stands in front of `at`, right beside it or, if `parted`, behind a comma."""
    separator = _BEFORE.search(text, max(0, at - 12), at)
    if separator is None or (parted and separator.group().isspace() and "\n" not in separator.group()):
        return None
    stop = separator.start()
    begin = max(0, stop - _REACH)
    for broken in _BREAKS.finditer(text, begin, stop):
        begin = broken.end()
    tokens = list(TOKEN.finditer(text, begin, stop))
    kept = trailing(tokens, certain=certain)
    numbered = not parted and separator.group().isspace() and text[at : at + 1].isdigit()
    return part(kept, whole=len(kept) == len(tokens), numbered=numbered)


def _after(text: str, at: int, *, lower: bool) -> Part | None:
    """What stands behind `at`: a postal code with its town, or a part up to the next comma."""
    separator = _AFTER.match(text, at)
    if separator is None:
        return None
    beside = separator.group().isspace() and "\n" not in separator.group()
    postal = POSTAL.match(text, separator.end())
    begin = postal.end() if postal else separator.end()
    rest = _PART.match(text, begin)
    tokens = list(TOKEN.finditer(text, begin, rest.end())) if rest else []
    kept = leading(tokens, lower=lower)
    whole = len(kept) == len(tokens)
    found = part(kept, whole=whole)
    if postal:
        return _coded(postal, found)
    if found and beside and found.number and text.startswith("#", found.start):
        return replace(found, sure=True, known=True)
    if found is None or (not found.sure and (beside or not whole)):
        return None
    return found if whole or not lower else None


def _coded(postal: re.Match[str], town: Part | None) -> Part | None:
    """A postal code, alone or in front of its town; four digits that may be a year need one."""
    if town and town.sure:
        return Part(postal.start(), town.end, town.whole, street=False, sure=True, known=True)
    if _YEAR.match(postal.group()):
        return None
    return Part(postal.start(), postal.end(), whole=town is None, street=False, sure=True, known=True)
