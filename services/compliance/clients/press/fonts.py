"""The typefaces of documents: FiraGO for the text, Noto's where a name needs more. Both come in the wheel `pymupdf-fonts` (SIL Open Font License)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cached_property
from io import BytesIO

import pymupdf_fonts
from fontTools import subset
from fontTools.ttLib import TTFont

TEXT, FIXED = "text", "fixed"
"""Families of the text itself: cut down to Latin, so that a document embeds and cuts them quickly."""

# `name` of a family: what the wheel calls the font, for the regular, the bold and the italic face.
_TEXT_FACES = {(TEXT, ""): "figo", (TEXT, "B"): "figbo", (TEXT, "I"): "figit", (FIXED, ""): "ubuntm"}
# Whole fonts for what a person typed, in the order in which they are tried.
_NAMES = ("figo", "notos", "symbol2", "symbol1", "math")
_LATIN = (*range(0x20, 0x7F), *range(0xA0, 0x250), *range(0x2010, 0x2028), 0x2030, 0x2032, 0x2033, 0x20AC, 0x2122)
_MOST_MARKS = 4
"""Combining marks on one letter. More of them (Unicode TR 39, 5.4) would climb over the lines around it."""


class Font:
    """A font's file."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.characters: frozenset[int] = frozenset(TTFont(BytesIO(content), lazy=True).getBestCmap() or ())


class Fonts:
    """Read once a process. Making them takes half a second, most of it for cutting them down."""

    def __init__(self) -> None:
        self.faces: Mapping[tuple[str, str], Font] = {
            key: Font(_latin(pymupdf_fonts.myfont(name))) for key, name in _TEXT_FACES.items()
        }
        """By family and style (`""`, `B`, `I`)."""

    @cached_property
    def names(self) -> Mapping[str, Font]:
        """By family."""
        return {name: Font(pymupdf_fonts.myfont(name)) for name in _NAMES}

    def is_latin(self, text: str) -> bool:
        """Whether the typeface of the text has every character."""
        return self.faces[TEXT, ""].characters.issuperset(map(ord, text))

    def family(self, text: str) -> str | None:
        """The family whose font has every character, None where it takes several. TEXT needs no shaping."""
        if self.is_latin(text):
            return TEXT
        characters = set(map(ord, text))
        return next((name for name, font in self.names.items() if characters <= font.characters), None)

    def legible(self, text: str) -> str:
        """In NFC, with code points, as `U+5F20`, in place of characters that would be an empty box, or would not stay on their line."""
        text = unicodedata.normalize("NFC", text)
        if text.isascii():
            return text
        pieces, marks = [""], 0
        for character in text:
            marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
            if marks <= _MOST_MARKS and self._has(ord(character)):
                pieces[-1] += character
            else:
                pieces += [f"U+{ord(character):04X}", ""]
        return " ".join(piece.strip() for piece in pieces if piece.strip())

    def _has(self, code_point: int) -> bool:
        return any(code_point in font.characters for font in self.names.values())


def _latin(content: bytes) -> bytes:
    """The font with Latin letters alone, without its tables for shaping them."""
    font = TTFont(BytesIO(content), lazy=True, recalcTimestamp=False)
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True)
    options.drop_tables = [*options.drop_tables, "TTFA"]  # what the hinting was made with
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=_LATIN)
    cutter.subset(font)
    written = BytesIO()
    font.save(written)
    return written.getvalue()
