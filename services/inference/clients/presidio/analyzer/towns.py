"""The names of the world's towns of 5,000 people or more: only for places where a town stands, as at an address's end.

Many are surnames or ordinary words somewhere, so that such a word alone says nothing. See data/README.md.
"""

import gzip
import unicodedata
from functools import cache
from pathlib import Path

from services.inference.clients.presidio.analyzer import words

_DATA = Path(__file__).with_name("data")
# What has no decomposition into a letter and its accent.
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})
# In the list of countries, and towns all the same.
_CITY_STATES = {"bronx", "brooklyn", "manhattan", "queens", "harlem", "staten island", "nyc", "sf"} | {
    "singapore",
    "luxembourg",
    "hong kong",
    "panama",
    "djibouti",
    "monaco",
    "macao",
}


def fold(text: str) -> str:
    """In lower case, without accents."""
    text = text.lower()
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def is_town(name: str) -> bool:
    return words.is_city(name) or fold(name) in _towns()


def is_ordinary(name: str) -> bool:
    """A word that is a town somewhere ("Reading", "Split"), or a country."""
    return (words.is_common(name) and fold(name) not in _though_common()) or fold(name) in _countries()


@cache
def _towns() -> frozenset[str]:
    listed = gzip.decompress(_DATA.joinpath("towns.txt.gz").read_bytes()).decode().splitlines()
    return frozenset([*listed, *map(fold, _lines("towns.txt"))])


@cache
def _though_common() -> frozenset[str]:
    return frozenset(_lines("towns_common.txt"))


@cache
def _countries() -> frozenset[str]:
    return frozenset(_lines("places.txt")) - _CITY_STATES


def _lines(file: str) -> list[str]:
    return _DATA.joinpath(file).read_text(encoding="utf-8").splitlines()
