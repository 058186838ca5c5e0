"""What the parts of an address look like: what stands between two commas, word by word."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from pathlib import Path

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.towns import fold, is_town

UPPER = "A-ZÀ-ÖØ-ÞĀ-ŽƠƯȀ-ɏḀ-ỿΆΈ-ΏΑ-ΫЀ-Я"
TOKEN = re.compile(r"\S+")
POSTAL = re.compile(
    r"(?:(?:C\.?P\.?|CEP|PIN|[A-Z]{1,3}-|[A-Z]{2,3} (?=\d{4}))[ :.]{0,2})?(?:[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d"
    r"|[A-Z]\d[\dW] ?[A-Z\d]{4}"
    r"|\d{5}-\d{3,4}|\d{4}-\d{3}|\d{2}-\d{3}|\d{3}-\d{4}|\d{3} \d{2,3}|\d{4,6}(?: [A-Z]{2})?)(?![\w\-/%])"
)
_NUMBER = re.compile(
    r"(?:[A-Za-z]{1,5}:)?(?:#|[Nn][°ºo]\.?)?(?:[A-Z]{1,3}-?)?\d{1,6}(?:[/\-–]\w{1,5}){0,3}(?:st|nd|rd|th|bis|ter|\.[oa]|[A-Za-z]{0,2})[.ºª°:]{0,2},?"
    r"|[IVX]{1,4}/\d{1,3}\.?"
)
_ASIAN = re.compile(r"\d{1,4}-(?:dong|ho|ro|gil|ga|chome|ch[oō]me|ban|gou?)")
_TITLES = frozenset(
    {
        "The",
        "Sir",
        "Dr.",
        "Dr",
        "Prof.",
        "Gen.",
        "Gral.",
        "Col.",
        "Cnel.",
        "Sgt.",
        "Lic.",
        "Ing.",
        "Pres.",
        "St.",
        "Sta.",
        "Sto.",
    }
)
_LABELS = frozenset(
    {"Address", "Addr", "Home", "Patient", "Residence", "Postcode", "Pt", "Lives", "Mailing", "Discharge"}
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_DIGIT = re.compile(r"\d")
_DATE = re.compile(r"\d{1,4}([/\-])\d{1,2}\1\d{1,4}\.?")
_CAPITAL = re.compile(rf"[{UPPER}][\w.'’\-]*:?")


class Kind(Enum):
    NUMBER = auto()
    WORD = auto()  # of addresses: "Street", "apto"
    NAME = auto()
    LITTLE = auto()  # "de la", a dash


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    units: frozenset[str]
    streets: frozenset[str]
    particles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Word:
    match: re.Match[str]
    kind: Kind

    @property
    def text(self) -> str:
        return self.match.group()


@dataclass(frozen=True, slots=True)
class Part:
    """The words of one part that can be an address's, without a break."""

    start: int
    end: int
    whole: bool  # nothing of it was left out
    street: bool  # a street's: a number and a name, or a word of addresses
    sure: bool  # belongs to an address by itself; others only between two that do
    number: bool = False  # nothing but a number
    named: bool = False  # has a name
    known: bool = False  # and is sure for more than its words' being unknown ones


def is_address_word(word: str) -> bool:
    return any(fold(word) in kind for kind in (_vocabulary().units, _vocabulary().streets))


@cache
def _vocabulary() -> _Vocabulary:
    tables = tomllib.loads((Path(__file__).with_name("data") / "address_words.toml").read_text(encoding="utf-8"))
    return _Vocabulary(*(frozenset(tables[kind].split()) for kind in ("units", "streets", "particles")))


def leading(tokens: Sequence[re.Match[str]], *, lower: bool) -> list[Word]:
    """The first tokens as long as they can be an address's; a sentence's end ends them."""
    kept: list[Word] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1].group() if index + 1 < len(tokens) else ""
        numbered = following[:1].isdigit() or (bool(kept) and kept[-1].kind is Kind.NUMBER)
        kind = _kind(token.group(), lower=lower, numbered=numbered)
        if kind is None or (kept and _ends_sentence(kept[-1], kind)):
            break
        kept.append(Word(token, kind))
    return kept


def trailing(tokens: Sequence[re.Match[str]], *, certain: bool) -> list[Word]:
    """The last tokens as long as they can be an address's; in a `certain` one a word of forms is a name ("Upper Slaughter")."""
    kept: list[Word] = []
    for index, token in reversed([*enumerate(tokens)]):
        before = tokens[index - 1].group() if index else ""
        numbered = (bool(kept) and kept[0].kind is Kind.NUMBER) or before[:1].isdigit()
        kind = _kind(token.group(), lower=False, numbered=numbered)
        if (
            kind is None
            and certain
            and token.group().isalpha()
            and token.group().istitle()
            and token.group() not in _LABELS
        ):
            kind = Kind.NAME
        if kind is None or (kept and _ends_sentence(Word(token, kind), kept[0].kind)):
            break
        kept.insert(0, Word(token, kind))
    return kept


def part(kept: list[Word], *, whole: bool, numbered: bool = False) -> Part | None:
    """What the words make, without little ones at the edges; `numbered` if a number stands right behind."""
    while kept and kept[0].kind is Kind.LITTLE and kept[0].text != "The":
        kept = kept[1:]
    while kept and kept[-1].kind is Kind.LITTLE:
        kept = kept[:-1]
    if not kept:
        return None
    names = [word.text.strip(".,:") for word in kept if word.kind is Kind.NAME]
    named = [
        name for name in names if len(name) > 2 and not (name.isupper() and len(name) < 5) and not _DIGIT.search(name)
    ]
    numbered = numbered or any(word.kind is Kind.NUMBER and not _YEAR.fullmatch(word.text) for word in kept)
    of_address = any(word.kind is Kind.WORD and (numbered or names or _ASIAN.match(word.text)) for word in kept)
    street = of_address or (numbered and bool(named) and not all(map(words.is_eponym, named)))
    start, end = kept[0].match.start(), kept[-1].match.end()
    last = kept[-1].text
    if last.endswith((".", ":", ",")) and not _is_abbreviated(last):
        end -= 1
    number = all(word.kind is Kind.NUMBER for word in kept)
    town = _is_known_town(kept, named)
    sure = street or town or (bool(named) and not any(map(words.is_english, named)))
    return Part(start, end, whole, street, sure, number, bool(named), street or town)


def _is_known_town(kept: list[Word], named: list[str]) -> bool:
    name = " ".join(word.text.strip(".,:") for word in kept if word.kind is not Kind.NUMBER)
    return bool(named) and (is_town(name) or is_town(named[0]))


def _kind(token: str, *, lower: bool, numbered: bool) -> Kind | None:
    if token in {"-", "–", "/", "#", "&"} or token in _TITLES:
        return Kind.LITTLE
    if _ASIAN.fullmatch(token):
        return Kind.WORD
    if _NUMBER.fullmatch(token):
        return None if _DATE.fullmatch(token) else Kind.NUMBER
    bare = token.rstrip(".,:").lower()
    vocabulary = _vocabulary()
    if bare in vocabulary.particles and token == bare:
        return Kind.LITTLE
    plain = bare if bare.isascii() else fold(bare)
    is_word = any(form in kind for form in (bare, plain) for kind in (vocabulary.units, vocabulary.streets))
    if is_word and (lower or token != bare or not words.is_common(bare) or (numbered and plain in vocabulary.units)):
        return Kind.WORD
    if not (_CAPITAL.fullmatch(token) or (lower and bare.isalpha())) or (":" in token and not is_word):
        return None
    unnamed = words.is_heading(bare) or words.is_medical(bare)
    return None if unnamed and len(bare) > 1 else Kind.NAME


def _ends_sentence(word: Word, following: Kind) -> bool:
    if not word.text.endswith(".") or word.text in _TITLES:
        return False
    if word.kind is Kind.NUMBER:  # "3. tv.", "1453. Sokak"
        return following not in {Kind.WORD, Kind.NUMBER}
    return not _is_abbreviated(word.text)


def _is_abbreviated(token: str) -> bool:
    bare = token.rstrip(".,:").lower()
    vocabulary = _vocabulary()
    return len(bare) == 1 or "." in bare or fold(bare) in vocabulary.units or fold(bare) in vocabulary.streets
