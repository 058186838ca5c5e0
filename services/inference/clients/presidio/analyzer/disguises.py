"""What the view takes off: encodings, markup, and letters and digits that are set apart. Each a pattern and its plain form."""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from services.inference.clients.presidio.analyzer.rules.finder import Finder

Piece = tuple[str, int]  # characters of the view, and where the first of them comes from
Step = Callable[[re.Match[str]], Iterator[Piece]]

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
PLAIN = {
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("‐‑‒−﹘﹣－", "-"),
    **dict.fromkeys("‘’ʼ′＇", "'"),
    **dict.fromkeys("“”＂", '"'),
    **dict.fromkeys("∙․", "."),
    **dict.fromkeys("⁄∕／", "/"),
}
_DIGIT_WORDS = {
    word: str(value)
    for value, names in enumerate(("zero oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
    for word in names.split()
}
_SPOKEN = "|".join(_DIGIT_WORDS)
_LEET = str.maketrans("0134578@$", "oieastbas")

_ENTITY = re.compile(r"&(?:#\d{1,7}(?:;|(?!\d))|#[xX][0-9a-fA-F]{1,6}(?:;|(?![0-9a-fA-F]))|[A-Za-z]{2,8};)")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}){1,64}")
_ESCAPE = re.compile(r"\\{1,2}(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2}))")
_MARKUP = re.compile(
    r"(?<![\w*\-])[*_~`]{1,3}(?=[^\W_])|(?<=[^\W_])[*~`]{1,3}(?![\w*\-])|(?<=[^\W_])__?(?!\w)|(?<=[^\W_])(?:\*\*|~~)|(?:\*\*|~~)(?=[^\W_])"
    r"|(?<=\d)[*_`](?=[\-.][*_`]\d)|(?<=\d[\-.])[*_`](?=\d)|(?<=[*_`][\-.])[*_`](?=\d)"
)
# Tags that may stand inside of a word, and have no attribute to lose.
_TAG = re.compile(
    r"</?(?:b|i|u|s|em|strong|span|font|a|sup|sub|mark|code|small|big|wbr|del|ins|tt)\s?/?>|<!--[^\w>]{0,20}-->",
    re.IGNORECASE,
)
_LINK = re.compile(r"!?\[([^\]\n]{1,80})\]\([^)\n]{0,500}\)")
_SPACED_DIGITS = re.compile(r"(?<![\w.])[+(]?\d(?:[ \t]{1,2}\d|[ \t]{0,2}[\-./()][ \t]{0,2}\d){6,24}(?![\w])")
_SPLIT_DIGITS = re.compile(
    r"(?<=\d)(?:[\-.][ \t]{0,4}\r?\n[ \t]{0,8}|[ \t]{0,4}\r?\n[ \t]{0,8}(?=[\-.]\d))(?=[\-.]?\d)"
)
# The shapes of a social security and of a telephone number, whatever parts their groups.
_GROUPS = re.compile(
    r"(?<![\w.])\d{3}( ?(?:[_*·•|,:;~\\=]|[\-–—]{2,3}|dash|hyphen|minus|dot|point|slash|underscore|space) ?)\d{2,3}\1\d{4}(?![\w])",
    re.IGNORECASE,
)
_ALMOST_DIGITS = re.compile(
    r"(?<![\w.\-])(?=[\-\dOolI]{0,11}[OolI])(?=[\-OolI]{0,4}\d)[\dOolI]{3}-[\dOolI]{2,3}-[\dOolI]{4}(?![\w\-])"
)
_DIGIT_TWINS = str.maketrans("OolI", "0011")
_QUOTED = re.compile(r"=(?:\r?\n|([0-9A-F]{2}))")
_QUOTED_SIGN = re.compile(r"[A-Za-z]=\r?\n[a-z]|(?:=[2-7][0-9A-F][^=\n]{0,76}){3}")
_SPACED_LETTERS = re.compile(r"(?<![\w'])[^\W\d_](?: {1,3}[^\W\d_]){3,30}(?!\w)")
_DOTTED_LETTERS = re.compile(r"(?<![\w.])[^\W\d_](?:[.\-_*][^\W\d_]){3,20}(?![\w])")
_SPOKEN_DIGITS = re.compile(
    rf"\b(?:{_SPOKEN})(?:(?:[ ,\-]{{1,3}}|[ ]?(?:dash|hyphen)[ ]?)(?:{_SPOKEN})){{5,24}}\b", re.IGNORECASE
)
_SNAKE = re.compile(r"(?<![\w.@/\-\\])[A-Z][A-Za-z]{0,30}(?:_[A-Z][A-Za-z]{0,30}){1,5}(?![\w@./\-=])")
_FORM_VALUE = re.compile(r"(?<==)[A-Za-z]+(?:\+[A-Za-z]+)+(?![\w@+])")
_CAMEL_CASED = re.compile(
    r"(?<![\w])(?=[A-Za-z]{0,20}[a-z][A-Z][a-z]?[A-Z]|[a-z][A-Z]+[a-z]?[A-Z]*(?!\w))[A-Za-z]{4,20}(?!\w)"
)
_CAMEL = re.compile(r"(?:[A-Z]?[a-z]{3,}|[A-Z]{2,4}(?![a-z]))+")
_LEET_WORD = re.compile(r"(?<![\w@$])[A-Z][a-z]{0,12}[0134578@$][a-z]{2,12}(?:[0134578@$][a-z]{0,12})?(?![\w@$])")


def _entity(match: re.Match[str]) -> Iterator[Piece]:
    plain = html.unescape(match.group())
    plain = PLAIN.get(plain, plain)
    if plain == match.group():
        yield plain, match.start()
    elif plain and not INVISIBLE.fullmatch(plain):
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
    code = int(match[match.lastindex or 0], 16)
    yield chr(code) if code < 0x110000 else "?", match.start()


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
    if _CAMEL.fullmatch(text):
        yield text, match.start()
        return
    flips = sum(a.islower() != b.islower() for a, b in pairwise(text))
    yield (text.capitalize() if flips >= 3 else text), match.start()


def _letters_for_digits(match: re.Match[str]) -> Iterator[Piece]:
    yield match.group().translate(_LEET), match.start()


def _link_text(match: re.Match[str]) -> Iterator[Piece]:
    yield match[1], match.start(1)


def _dashes_between_groups(match: re.Match[str]) -> Iterator[Piece]:
    for group in re.finditer(r"\d+", match.group()):
        if group.start():
            yield "-", match.start() + group.start() - 1
        yield group.group(), match.start() + group.start()


def _digits_for_twins(match: re.Match[str]) -> Iterator[Piece]:
    yield match.group().translate(_DIGIT_TWINS), match.start()


def _unquoted(match: re.Match[str]) -> Iterator[Piece]:
    if match[1] and (character := chr(int(match[1], 16))).isprintable():
        yield character, match.start()


def holds_quoted_printable(text: str) -> bool:
    """Whether the text may be a mail's body in quoted-printable (RFC 2045 §6.7), rather than `key=20`."""
    return "=" in text and _QUOTED_SIGN.search(text) is not None


@dataclass(frozen=True)
class Disguise:
    pattern: re.Pattern[str]
    step: Step
    marks: str = ""  # characters one of which is there when the pattern matches
    weak: str = ""  # matches wherever the pattern does, and looks nowhere ahead

    @property
    def source(self) -> str:
        """What the prefilter compiles."""
        return self.weak or self.pattern.pattern

    @cached_property
    def finder(self) -> Finder:
        return Finder(self.pattern)


ENCODINGS = (
    Disguise(_ENTITY, _entity, "&"),
    Disguise(_PERCENT, _percent, "%"),
    Disguise(_ESCAPE, _escape, "\\"),
)
MARKUP = (
    Disguise(_TAG, _nothing, "<"),
    Disguise(_MARKUP, _nothing, "*_`~"),
    Disguise(_SNAKE, _spaces_for_underscores, "_"),
    Disguise(_FORM_VALUE, _spaces_for_plus, "+"),
)
SPACING = (
    Disguise(_SPLIT_DIGITS, _keep_separator, "\n"),
    Disguise(_SPACED_DIGITS, _without_blanks),
    Disguise(_GROUPS, _dashes_between_groups),
    Disguise(_ALMOST_DIGITS, _digits_for_twins, "OolI"),
    Disguise(_SPACED_LETTERS, _joined_letters),
    Disguise(_DOTTED_LETTERS, _joined_letters),
    Disguise(_SPOKEN_DIGITS, _digits_for_words),
    Disguise(_CAMEL_CASED, _capitalised, weak="(?-i:[a-z][A-Z])"),
    Disguise(_LEET_WORD, _letters_for_digits),
)
LINKS = (Disguise(_LINK, _link_text), *MARKUP)
QUOTED_PRINTABLE = (Disguise(_QUOTED, _unquoted),)
