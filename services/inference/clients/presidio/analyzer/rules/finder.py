"""The matches of a pattern, found faster: Python's matcher begins anew at each character unless a pattern opens with plain ones.

Ours open with a look behind. So what a match can begin with, and what cannot stand before it, is read off the pattern and put in
front as plain classes, which the matcher runs over at a tenth of the cost. Both are taken too wide rather than too narrow, and
say so only of ASCII: whether there is a match is up to the pattern alone.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from re import _constants as op  # type: ignore[attr-defined]  # no public way leads to a parsed pattern
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_ASCII = frozenset(map(chr, range(128)))
_LETTERS = frozenset(filter(str.isalpha, _ASCII))
_NONE: frozenset[str] = frozenset()
_OTHER_CASES = frozenset("iIsSkK")  # of letters beyond ASCII: "ı", "ſ" and the sign for Kelvin
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_FLAGS = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)


class Finder:
    """`finditer` of a pattern."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern

    def make(self) -> None:
        """What the first `finditer` would make, now."""
        _ = self._seeker

    def finditer(self, text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[str]]:
        """As the pattern's own."""
        seeker, behind = self._seeker
        if seeker is None:
            yield from self.pattern.finditer(text, start, end)
            return
        seek, match = seeker.search, self.pattern.match
        if behind and start == 0:
            if found := match(text, 0, end):
                yield found
            start = found.end() if found else 1
        while sought := seek(text, start - behind, end):
            start = sought.start() + behind
            if found := match(text, start, end):
                yield found
            start = found.end() if found else start + 1

    @cached_property
    def _seeker(self) -> tuple[re.Pattern[str] | None, int]:
        """What finds where a match begins, and how many characters in front of it; made at first use, for it costs milliseconds."""
        pattern = self.pattern
        parsed = parser.parse(pattern.pattern, pattern.flags)
        first, empty = _first(parsed, bool(pattern.flags & re.IGNORECASE))
        never, apart = (_NONE, _NONE) if empty else (_ASCII - first, _never_before(parsed))
        flags = "".join(letter for letter, flag in _FLAGS.items() if pattern.flags & flag)
        source = f"(?{flags}:{pattern.pattern})" if flags else f"(?:{pattern.pattern})"
        if apart and first & _LETTERS:
            return re.compile(f"{_none_of(apart)}(?={_none_of(never)})(?={source})"), 1
        if not never:
            return None, 0
        # A look behind must not hold a reference back.
        whole = "" if pattern.groups > len(pattern.groupindex) else rf"(?<=(?={source})[\s\S])"
        return re.compile(_none_of(never) + whole), 0


def _first(sequence: Sequence[tuple[Any, Any]], ignore_case: bool) -> tuple[frozenset[str], bool]:
    """The ASCII characters that a match may begin with, and whether it may be empty."""
    found = _NONE
    for kind, value in sequence:
        inner: list[tuple[Any, bool]] = []
        optional = False
        if kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
            continue
        if kind is op.BRANCH:
            inner = [(branch, ignore_case) for branch in value[1]]
        elif kind is op.SUBPATTERN:
            _, added, removed, part = value
            inner = [(part, (ignore_case or bool(added & re.IGNORECASE)) and not removed & re.IGNORECASE)]
        elif kind is op.ATOMIC_GROUP:
            inner = [(value, ignore_case)]
        elif kind in _REPEATS:
            optional = value[0] == 0
            inner = [(value[2], ignore_case)]
        else:
            return found | _matched(kind, value, ignore_case=ignore_case), False
        for part, ignores in inner:
            more, empty = _first(part, ignores)
            found |= more
            optional = optional or empty
        if not optional:
            return found, False
    return found, True


def _never_before(sequence: Sequence[tuple[Any, Any]]) -> frozenset[str]:
    """The ASCII characters that a look behind at the very beginning rules out."""
    if not len(sequence):  # a parsed pattern is true even when it is empty
        return _NONE
    kind, value = sequence[0]
    if kind is op.SUBPATTERN:
        return _never_before(value[3])
    if kind is op.ASSERT_NOT and value[0] < 0 and len(value[1]) == 1:
        kind, value = value[1][0]
        if kind is op.IN and value[0][0] is not op.NEGATE:
            return _class(value) & _ASCII
        if kind is op.LITERAL:
            return frozenset({chr(value)}) & _ASCII
    return _NONE


def _matched(kind: Any, value: Any, *, ignore_case: bool) -> frozenset[str]:
    """The ASCII characters that one item matches."""
    if kind is op.LITERAL:
        found = frozenset({chr(value)})
    elif kind is op.IN:
        found = _class(value)
    else:
        return _ASCII
    if ignore_case:
        found |= {other for one in found & _ASCII for other in (one.lower(), one.upper())}
        if not found <= _ASCII:
            found |= _OTHER_CASES
    return found & _ASCII


def _class(items: Sequence[tuple[Any, Any]]) -> frozenset[str]:
    found: set[str] = set()
    negated = False
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.LITERAL:
            found.add(chr(value))
        elif kind is op.RANGE:
            found |= {one for one in _ASCII if value[0] <= ord(one) <= value[1]}
            if value[1] > 127:
                found.add(chr(value[1]))
        elif kind is op.CATEGORY:
            found |= {one for one in _ASCII if re.match(_CATEGORIES[value], one)}
    return _ASCII - found if negated else frozenset(found)


def _none_of(characters: frozenset[str]) -> str:
    return f"[^{''.join(map(re.escape, sorted(characters)))}]" if characters else r"[\s\S]"
