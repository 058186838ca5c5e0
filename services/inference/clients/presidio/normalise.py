"""A view of the text in which disguises are taken off, with the way back to the original offsets.

Every step runs only where a cheap look says that there is something for it, so plain prose costs next to nothing.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

Piece = tuple[str, int]  # characters of the view, and where the first of them comes from
Step = Callable[[re.Match[str]], Iterator[Piece]]

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_PLAIN = {
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("‐‑‒−﹘﹣－", "-"),
    **dict.fromkeys("‘’ʼ′＇", "'"),
    **dict.fromkeys("“”＂", '"'),
    **dict.fromkeys("∙․", "."),
    **dict.fromkeys("⁄∕／", "/"),
}
# Letters of other scripts that look like Latin ones; counted only in words that hold Latin letters too.
_TWINS = dict(
    zip(
        "аеорсухіјѕһԁԛԝкмтвнАВЕКМНОРСТУХІЈЅαορνικετΑΒΕΖΗΙΚΜΝΟΡΤΥΧɑɡıոսհօ",
        "aeopcyxijshdqwkmtbhABEKMHOPCTYXIJSaopviketABEZHIKMNOPTYXaginuho",
        strict=True,
    )
)
_MIXED = re.compile(r"[^\W\d_]*[A-Za-z][^\W\d_]*")
_DIGIT_WORDS = {
    word: str(value)
    for value, names in enumerate(("zero oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
    for word in names.split()
}
_SPOKEN = "|".join(_DIGIT_WORDS)
_LEET = str.maketrans("0134578@$", "oieastbas")

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}){1,64}")
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}")
_MARKUP = re.compile(
    r"(?<![\w*\-])[*_~`]{1,3}(?=[^\W_])|(?<=[^\W_])[*~`]{1,3}(?![\w*\-])|(?<=[^\W_])__?(?!\w)|(?<=[^\W_])(?:\*\*|~~)|(?:\*\*|~~)(?=[^\W_])"
)
_SPACED_DIGITS = re.compile(r"(?<![\w.])[+(]?\d(?:[ \t]{1,2}\d|[ \t]{0,2}[\-./()][ \t]{0,2}\d){6,24}(?![\w])")
_SPLIT_DIGITS = re.compile(
    r"(?<=\d)(?:[\-.][ \t]{0,4}\r?\n[ \t]{0,8}|[ \t]{0,4}\r?\n[ \t]{0,8}(?=[\-.]\d))(?=[\-.]?\d)"
)
_SPACED_LETTERS = re.compile(r"(?<![\w'])[^\W\d_](?: {1,3}[^\W\d_]){3,30}(?!\w)")
_DOTTED_LETTERS = re.compile(r"(?<![\w.])[^\W\d_](?:[.\-_*][^\W\d_]){3,20}(?![\w])")
_SPOKEN_DIGITS = re.compile(
    rf"\b(?:{_SPOKEN})(?:(?:[ ,\-]{{1,3}}|[ ]?(?:dash|hyphen)[ ]?)(?:{_SPOKEN})){{5,24}}\b", re.IGNORECASE
)
_SNAKE = re.compile(r"(?<![\w.@/\-\\])[A-Za-z]+(?:_[A-Za-z]+)+(?![\w@./\-])")
_FORM_VALUE = re.compile(r"(?<==)[A-Za-z]+(?:\+[A-Za-z]+)+(?![\w@+])")
_CAMEL_CASED = re.compile(
    r"(?<![\w])(?=[A-Za-z]{0,20}[a-z][A-Z][a-z]?[A-Z]|[a-z][A-Z]+[a-z]?[A-Z]*(?!\w))[A-Za-z]{4,20}(?!\w)"
)
_LEET_WORD = re.compile(r"(?<![\w@$])[A-Z][a-z]{0,12}[0134578@$][a-z]{2,12}(?:[0134578@$][a-z]{0,12})?(?![\w@$])")


class View:
    """`text` is what recognizers read; `back` turns its offsets into those of the original."""

    def __init__(self, original: str) -> None:
        self.text = original
        self._end = len(original)
        self._offsets: list[int] | None = None
        if not original.isascii():
            self._unmask_characters(original)
        self._unmask_sequences()

    def back(self, start: int, end: int) -> tuple[int, int]:
        """Up to the next character that is visible: what was taken off behind the last one belongs to it."""
        if self._offsets is None:
            return start, end
        return self._offsets[start], self._offsets[end]

    def _unmask_characters(self, original: str) -> None:
        pieces: list[str] = []
        offsets: list[int] = []
        twins = _twin_positions(original)
        for index, character in enumerate(original):
            if character.isascii():
                plain = character
            elif _INVISIBLE.match(character):
                continue
            elif unicodedata.combining(character) and pieces:
                pieces[-1] = unicodedata.normalize("NFC", pieces[-1] + character)[: len(pieces[-1])]
                continue
            elif index in twins:
                plain = _TWINS[character]
            else:
                plain = _folded(character)
            pieces.append(plain)
            offsets.extend([index] * len(plain))
        self.text = "".join(pieces)
        self._offsets = [*offsets, len(original)]

    def _unmask_sequences(self) -> None:
        if "&" in self.text:
            self._apply(_ENTITY, _entity)
        if "%" in self.text:
            self._apply(_PERCENT, _percent)
        if "\\" in self.text:
            self._apply(_ESCAPE, _escape)
        if any(mark in self.text for mark in "*_`~"):
            self._apply(_MARKUP, _nothing)
            self._apply(_SNAKE, _spaces_for_underscores)
        if "+" in self.text:
            self._apply(_FORM_VALUE, _spaces_for_plus)
        self._apply(_SPLIT_DIGITS, _keep_separator)
        self._apply(_SPACED_DIGITS, _without_blanks)
        self._apply(_SPACED_LETTERS, _joined_letters)
        self._apply(_DOTTED_LETTERS, _joined_letters)
        self._apply(_SPOKEN_DIGITS, _digits_for_words)
        self._apply(_CAMEL_CASED, _capitalised)
        self._apply(_LEET_WORD, _letters_for_digits)

    def _apply(self, pattern: re.Pattern[str], step: Step) -> None:
        matches = list(pattern.finditer(self.text))
        if not matches:
            return
        before = self._offsets or [*range(len(self.text)), self._end]
        pieces: list[str] = []
        offsets: list[int] = []
        position = 0
        for match in matches:
            pieces.append(self.text[position : match.start()])
            offsets += before[position : match.start()]
            for text, source in step(match):
                pieces.append(text)
                offsets += (
                    before[source : source + len(text)]
                    if source + len(text) <= match.end()
                    else [before[source]] * len(text)
                )
            position = match.end()
        pieces.append(self.text[position:])
        offsets += before[position:]
        self.text = "".join(pieces)
        self._offsets = offsets


def _entity(match: re.Match[str]) -> Iterator[Piece]:
    plain = html.unescape(match.group())
    plain = _PLAIN.get(plain, plain)
    if plain == match.group():
        yield plain, match.start()
    elif plain and not _INVISIBLE.fullmatch(plain):
        yield plain[0], match.start()


def _percent(match: re.Match[str]) -> Iterator[Piece]:
    try:
        plain = bytes.fromhex(match.group().replace("%", "")).decode()
    except UnicodeDecodeError:
        yield match.group(), match.start()
        return
    position = match.start()
    for character in plain:
        yield character, position
        position += 3 * len(character.encode())


def _escape(match: re.Match[str]) -> Iterator[Piece]:
    yield chr(int(match.group()[2:], 16)), match.start()


def _nothing(_match: re.Match[str]) -> Iterator[Piece]:
    yield from ()


def _spaces_for_underscores(match: re.Match[str]) -> Iterator[Piece]:
    yield match.group().replace("_", " "), match.start()


def _spaces_for_plus(match: re.Match[str]) -> Iterator[Piece]:
    yield match.group().replace("+", " "), match.start()


def _keep_separator(match: re.Match[str]) -> Iterator[Piece]:
    for index, character in enumerate(match.group()):
        if character in "-.":
            yield character, match.start() + index


def _without_blanks(match: re.Match[str]) -> Iterator[Piece]:
    """Only digits written one by one: "5 3 6 - 2 2", not "555 0142 12"."""
    if re.search(r"\d\d", match.group()):
        yield match.group(), match.start()
        return
    for index, character in enumerate(match.group()):
        if character not in " \t":
            yield character, match.start() + index


def _joined_letters(match: re.Match[str]) -> Iterator[Piece]:
    """ "J o h n  S m i t h" and "J.o.h.n": a capital behind a small letter begins a word."""
    text = match.group()
    letters = [(index, character) for index, character in enumerate(text) if character.isalpha()]
    for place, (index, character) in enumerate(letters):
        if place:
            left = letters[place - 1]
            if index - left[0] > 2 or (character.isupper() and left[1].islower()):
                yield " ", match.start() + index - 1
        yield character, match.start() + index


def _digits_for_words(match: re.Match[str]) -> Iterator[Piece]:
    for word in re.finditer(rf"{_SPOKEN}|dash|hyphen|-", match.group(), re.IGNORECASE):
        yield _DIGIT_WORDS.get(word.group().lower(), "-"), match.start() + word.start()


def _capitalised(match: re.Match[str]) -> Iterator[Piece]:
    """ "jOhN" → "John"; a word with capitals in many places is no word."""
    text = match.group()
    flips = sum(a.islower() != b.islower() for a, b in pairwise(text))
    yield (text.capitalize() if flips >= 3 else text), match.start()


def _letters_for_digits(match: re.Match[str]) -> Iterator[Piece]:
    yield match.group().translate(_LEET), match.start()


def _twin_positions(text: str) -> frozenset[int]:
    return frozenset(
        index
        for word in _MIXED.finditer(text)
        if not word.group().isascii()
        for index in range(word.start(), word.end())
        if text[index] in _TWINS
    )


@cache
def _folded(character: str) -> str:
    """Compatibility forms and foreign digits become plain; accents stay, names have them."""
    if character in _PLAIN:
        return _PLAIN[character]
    if character.isdigit():
        value = unicodedata.digit(character, None)
        return str(value) if value is not None else character
    if character.isspace():
        return "\n" if character in "\u2028\u2029\x85" else " "
    return unicodedata.normalize("NFKC", character) or character
