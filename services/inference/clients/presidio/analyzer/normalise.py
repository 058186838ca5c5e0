"""A view of the text in which disguises are taken off, with the way back to the original offsets.

Every step runs only where a cheap look says that there is something for it, so plain prose costs next to nothing.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

from services.inference.clients.presidio.analyzer.disguises import (
    ENCODINGS,
    INVISIBLE,
    LINKS,
    MARKUP,
    PLAIN,
    QUOTED_PRINTABLE,
    SPACING,
    Disguise,
    holds_quoted_printable,
)
from services.inference.clients.presidio.analyzer.rules.prefilter import Prefilter

# Letters of other scripts that look like Latin ones; counted only in words that hold Latin letters too.
_TWINS = dict(
    zip(
        "аеорсухіјѕһԁԛԝкмтвнАВЕКМНОРСТУХІЈЅαορνικετΑΒΕΖΗΙΚΜΝΟΡΤΥΧɑɡıոսհօ",
        "aeopcyxijshdqwkmtbhABEKMHOPCTYXIJSaopviketABEZHIKMNOPTYXaginuho",
        strict=True,
    )
)
_TWIN = re.compile(f"[{''.join(_TWINS)}]")
_MIXED = re.compile(r"[^\W\d_]*[A-Za-z][^\W\d_]*")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_DASHES = frozenset("–—―‒")
_ROUNDS = 3  # encodings within encodings
_LINK = re.compile(r"[^\n]*\]\([^\n]*")


class View:
    """`text` is what recognizers read; `back` turns its offsets into those of the original."""

    def __init__(self, original: str, disguises: Sequence[Disguise] | None = None) -> None:
        """With `disguises` only these are taken off."""
        self.text = original
        self._end = len(original)
        self._offsets: list[int] | None = None
        if disguises is not None:
            self._unmask(disguises)
            return
        self._unmask_characters()
        if any(mark in self.text for mark in "&%\\"):
            for _ in range(_ROUNDS):
                if not self._unmask(ENCODINGS):
                    break
            self._unmask_characters()
        self._unmask(MARKUP)
        self._unmask_spacing()

    def back(self, start: int, end: int) -> tuple[int, int]:
        """Up to the next character that is visible: what was taken off behind the last one belongs to it."""
        if self._offsets is None:
            return start, end
        return self._offsets[start], self._offsets[end]

    def _unmask_characters(self) -> None:
        text = self.text
        if text.isascii():
            return
        before = self._offsets or list(range(len(text) + 1))
        pieces: list[str] = []
        offsets: list[int] = []
        twins = _twin_positions(text)
        position = 0
        for match in _FOREIGN.finditer(text):
            index, character = match.start(), match.group()
            pieces.append(text[position:index])
            offsets += before[position:index]
            position = index + 1
            if INVISIBLE.match(character):
                continue
            if unicodedata.combining(character) and (last := next(filter(None, reversed(pieces)), "")):
                while not pieces[-1]:
                    pieces.pop()
                pieces[-1] = last[:-1] + unicodedata.normalize("NFC", last[-1] + character)[:1]
                continue
            if index in twins:
                plain = _TWINS[character]
            elif character in _DASHES and text[index - 1 : index].isdigit() and text[position : position + 1].isdigit():
                plain = "-"
            else:
                plain = _folded(character)
            pieces.append(plain)
            offsets += [before[index]] * len(plain)
        pieces.append(text[position:])
        offsets += before[position : len(text)]
        self.text = "".join(pieces)
        self._offsets = [*offsets, before[len(text)]]

    def _unmask_spacing(self) -> None:
        """Few texts have any of it, and one look says so."""
        before, likely = "", frozenset[int]()
        for index, disguise in enumerate(SPACING):
            if self.text is not before:
                before, likely = self.text, frozenset(_spacing().candidates(self.text))
            if index in likely:
                self._apply(disguise)

    def _unmask(self, disguises: Sequence[Disguise]) -> bool:
        """Whether anything was changed."""
        before = self.text
        for disguise in disguises:
            if not disguise.marks or any(mark in self.text for mark in disguise.marks):
                self._apply(disguise)
        return self.text is not before

    def _apply(self, disguise: Disguise) -> None:
        matches = list(disguise.finder.finditer(self.text))
        if not matches:
            return
        before = self._offsets or [*range(len(self.text)), self._end]
        pieces: list[str] = []
        offsets: list[int] = []
        position = 0
        for match in matches:
            pieces.append(self.text[position : match.start()])
            offsets += before[position : match.start()]
            for text, source in disguise.step(match):
                pieces.append(text)
                offsets += (
                    before[source : source + len(text)]
                    if source + len(text) <= match.end()
                    else [before[source]] * len(text)
                )
            position = match.end()
        pieces.append(self.text[position:])
        offsets += before[position:]
        changed = "".join(pieces)
        if changed != self.text:
            self.text = changed
            self._offsets = offsets


def second_views(text: str) -> Iterator[tuple[int, View]]:
    """Other ways to read parts of a view, with where they begin: what only may be a disguise is read both ways."""
    if "](" in text:
        for match in _LINK.finditer(text):
            yield match.start(), View(match.group(), LINKS)
    if holds_quoted_printable(text):
        yield 0, View(text, QUOTED_PRINTABLE)


def _twin_positions(text: str) -> frozenset[int]:
    if _TWIN.search(text) is None:
        return frozenset()
    return frozenset(
        index
        for word in _MIXED.finditer(text)
        if not word.group().isascii()
        for index in range(word.start(), word.end())
        if text[index] in _TWINS
    )


@cache
def _spacing() -> Prefilter:
    return Prefilter(SPACING)


@cache
def _folded(character: str) -> str:
    """Compatibility forms and foreign digits become plain; accents stay, names have them."""
    if character in PLAIN:
        return PLAIN[character]
    if character.isdigit():
        value = unicodedata.digit(character, None)
        return str(value) if value is not None else character
    if character.isspace():
        return "\n" if character in "\u2028\u2029\x85" else " "
    return unicodedata.normalize("NFKC", character) or character
