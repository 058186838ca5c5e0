"""JSON source read token by token, so that one value can be replaced and every other byte stays as it was."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_WORD_EDGE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\-.\s]+")
_CONSTANTS = frozenset({"true", "false", "null"})
_LENIENT = json.JSONDecoder(strict=False)
_CODE_POINT = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.DOTALL)

Back = Callable[[int, int], tuple[int, int]]
"""From a `[start, end)` of a text to where it stands in the text that the caller wrote."""


class Kind(Enum):
    KEY = "key"
    STRING = "string"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Token:
    """One key or value of the source; `text` is the decoded string or the number's digits."""

    start: int
    end: int
    kind: Kind
    text: str
    labels: tuple[str, ...]  # the keys that lead to it, outermost first, itself included when it is a key


def is_json_container(text: str) -> bool:
    """Whether the text, as a whole, is a JSON object or array."""
    bare = text.strip()
    if len(bare) < 4 or (bare[0], bare[-1]) not in {("{", "}"), ("[", "]")}:
        return False
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def tokens(source: str) -> Iterator[Token]:
    """The keys, strings and numbers of valid JSON in order."""
    labels: list[str] = []  # one per open object: its current key
    objects: list[bool] = []  # open containers; True for an object
    expects_key = False
    for match in _TOKEN.finditer(source):
        raw = match.group()
        if raw == "{":
            objects.append(True)
            labels.append("")
            expects_key = True
        elif raw == "[":
            objects.append(False)
            expects_key = False
        elif raw in "}]":
            if objects.pop():
                labels.pop()
            expects_key = False
        elif raw == ",":
            expects_key = bool(objects) and objects[-1]
        elif raw == ":":
            expects_key = False
        elif raw[0] == '"':
            text = _LENIENT.decode(raw) if "\\" in raw else raw[1:-1]
            if expects_key:
                labels[-1] = text
            kind = Kind.KEY if expects_key else Kind.STRING
            yield Token(match.start(), match.end(), kind, text, tuple(filter(None, labels)))
        elif raw not in _CONSTANTS:
            yield Token(match.start(), match.end(), Kind.NUMBER, raw, tuple(filter(None, labels)))


def unmoved(start: int, end: int) -> tuple[int, int]:
    """The `Back` of the caller's own text."""
    return start, end


def back_from(source: str, token: Token, outer: Back) -> Back:
    """The `Back` of a token's text; `outer` is that of its source."""
    return partial(_back, source, token, outer)


def _back(source: str, token: Token, outer: Back, start: int, end: int) -> tuple[int, int]:
    if token.kind is Kind.NUMBER:
        return outer(token.start + start, token.start + end)
    first, raw = token.start + 1, source[token.start + 1 : token.end - 1]
    if "\\" not in raw:
        return outer(first + start, first + end)
    at = [first + match.start() for match in _CODE_POINT.finditer(raw)]
    at.append(first + len(raw))
    return outer(at[start], at[end])


def words(key: str) -> str:
    """`dateOfBirth`, `date_of_birth` → `date of birth`; a key that is no identifier stays as it is.

    Capitals at the beginning stay, `John_Smith` → `John Smith`: a key can be somebody's name.
    """
    if len(key) > 60 or not key.replace("_", "").replace("-", "").replace(".", "").isalpha():
        return key
    parted = " ".join(part for part in _WORD_EDGE.split(key) if part)
    return parted if key[0].isupper() and not key.isupper() else parted.lower()
