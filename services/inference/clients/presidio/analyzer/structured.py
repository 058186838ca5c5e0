"""Named values inside of running text: `key=value`, JSON, XML elements and attributes, query strings, SQL.

What a name means stands in `fields.toml`; lines and tables of fields are read in `fields.py`.
"""

import json
import re
from collections.abc import Iterator

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.fields import entity_of, plausible
from services.inference.domain.phi.json_text import Kind, tokens
from services.inference.domain.phi.json_text import words as key_words
from services.inference.domain.phi.spans import Span

_SCORE = 0.9
_TRIES = 8  # JSON values that are looked for in one text
_PAIR = re.compile(
    r"(?<![\w.\-])[\"']?(?P<key>[A-Za-z][A-Za-z0-9_.\-]{1,40}+)[\"']?[ ]?"
    r"(?:(?:=>|[:=])[ ]?(?:\"(?P<double>[^\"\n]{2,100})\"|'(?P<single>[^'\n]{2,100})'|\[(?P<list>[\"'][^\[\]\n]{2,200})\])"
    r"|=[ ]?(?P<bare>[^\s&;,|<>\"'\[\](){}=]{2,60}+)(?![(\[{=]))"
)
_ITEM = re.compile(r"\"([^\"\n]{2,100})\"|'([^'\n]{2,100})'")
_ELEMENT = re.compile(r"<(?:\w{1,20}:)?([A-Za-z][\w.\-]{1,40}+)(?:\s[^<>]{0,200})?>[ \t]{0,4}([^<>\n]{2,100})</")
_VALUE_ATTRIBUTE = re.compile(
    r"<(?:\w{1,20}:)?([A-Za-z][\w.\-]{1,40}+)\s(?:[^<>]{0,80}?\s)?(?:value|extension)=[\"']([^\"'<>\n]{2,100})[\"']"
)
_JSON_START = re.compile(r"[{\[](?=\s{0,20}[\"{\[])")
_INSERT = re.compile(
    r"\binto\s{1,4}[\w.\"`\[\]]{1,80}\s{0,4}\(([^()]{3,600})\)\s{0,8}values\s{0,8}(?=\()", re.IGNORECASE
)
_ROW = re.compile(r"\s{0,8},?\s{0,8}\(([^()]{1,1000})\)")
_CELL = re.compile(r"'((?:[^']|''){0,200})'|\"([^\"]{0,200})\"|([^,'\"\s][^,'\"]{0,60})")
_DECODER = json.JSONDecoder()


def named_values(text: str) -> Iterator[Span]:
    """Detections by the name in front of a value, wherever it stands."""
    if "=" in text or '":' in text or "':" in text:
        yield from _pairs(text)
    if "</" in text or "/>" in text:
        yield from _elements(text)
    if '":' in text or '" :' in text:
        yield from _json(text)
    if "(" in text:
        yield from _rows(text)


def _pairs(text: str) -> Iterator[Span]:
    for match in _PAIR.finditer(text):
        entity = entity_of(match["key"])
        if entity is None:
            continue
        if match["list"]:
            for item in _ITEM.finditer(match["list"]):
                group = 1 if item[1] else 2
                start = match.start("list") + item.start(group)
                yield from _named(text, start, start + len(item[group]), entity, match["key"])
        elif match["bare"]:
            start, end = match.span("bare")
            if not _is_code(match["key"], match["bare"].rstrip("."), entity):
                yield from _named(text, start, end, entity, match["key"])
        else:
            start, end = match.span("double" if match["double"] else "single")
            yield from _named(text, start, end, entity, match["key"])


def _is_code(key: str, value: str, entity: str) -> bool:
    """`city=city`, `last_name=user.last_name`: a variable, not a value."""
    if entity not in {"PERSON", "LOCATION", "STREET_ADDRESS"}:
        return False
    plain = key_words(value).lower()
    return len(value) < 3 or "." in value or "_" in value or plain in key_words(key).lower() or words.is_heading(plain)


def _elements(text: str) -> Iterator[Span]:
    for pattern in (_ELEMENT, _VALUE_ATTRIBUTE):
        for match in pattern.finditer(text):
            if entity := entity_of(match[1]):
                yield from _named(text, *match.span(2), entity, match[1])


def _json(text: str) -> Iterator[Span]:
    position = 0
    for _ in range(_TRIES):
        found = _JSON_START.search(text, position)
        if found is None:
            return
        start = position = found.start()
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            position += 1
            continue
        source = text[start:end]
        for token in tokens(source):
            name = " ".join(key_words(label) for label in token.labels[-2:])
            # A "pt" is a patient here, where its value is a name; elsewhere it is a laboratory's time as often.
            entity = entity_of(name) or ("PERSON" if token.labels[-1:] in (("pt",), ["pt"]) else None)
            if token.kind is Kind.KEY or entity is None:
                continue
            quotes = 1 if token.kind is Kind.STRING else 0
            yield from _named(text, start + token.start + quotes, start + token.end - quotes, entity, name)
        position = end


def _rows(text: str) -> Iterator[Span]:
    for match in _INSERT.finditer(text):
        names = [name.strip(' \t\r\n"`[]') for name in match[1].split(",")]
        position = match.end()
        while row := _ROW.match(text, position):
            position = row.end()
            cells = list(_CELL.finditer(text, *row.span(1)))
            if len(cells) != len(names):
                break
            for name, cell in zip(names, cells, strict=True):
                if entity := entity_of(name, column=True):
                    yield from _named(text, *cell.span(cell.lastindex or 0), entity, name)


def _named(text: str, start: int, end: int, entity: str, name: str) -> Iterator[Span]:
    if plausible(entity, name, text[start:end]):
        yield Span(start, end, entity, _SCORE, "named_value")
