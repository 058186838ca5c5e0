"""The words around a value, for the checks that go by them. Which words tell what: `[contexts]` in `recognizers/dates.toml`."""

import re
import tomllib
from pathlib import Path

REACH = 48  # characters of context
CONTEXTS: dict[str, frozenset[str]] = {
    name: frozenset(listed.split())
    for name, listed in tomllib.loads(
        Path(__file__).with_name("recognizers").joinpath("dates.toml").read_text(encoding="utf-8")
    )["contexts"].items()
}

_SENTENCE = 300  # characters of a sentence on either side
_WORD = re.compile(r"(?<![^\W_])[^\W\d_](?:[/.'’\-]?[^\W\d_]){0,20}\.?")
_ADJOINING = re.compile(r"[^\W\d_][^\w\n]{1,5}\Z")


def words_before(text: str, start: int, count: int = 4) -> list[str]:
    """The last words of the line in front of `start`, in lower case; "" stands for a number right before it."""
    front = text[max(0, start - REACH) : start].rpartition("\n")[2]
    found = [word.lower().rstrip(".") for word in _WORD.findall(front)][-count:]
    return found if found and _ADJOINING.search(front[-8:]) else [*found, ""]


def next_word(text: str, end: int) -> str:
    """In lower case; the next character where there is no word."""
    after = text[end : end + 24].lstrip(" ")
    found = _WORD.match(after)
    return found.group().lower().rstrip(".") if found else after[:1]


def sentence_words(text: str, start: int, end: int) -> frozenset[str]:
    """All words of the sentence that `[start, end)` stands in, in lower case."""
    first = max(0, start - _SENTENCE)
    left = max(text.rfind(mark, first, start) for mark in (". ", "\n", "? "))
    rights = [found for mark in (". ", "\n", "?") if (found := text.find(mark, end, end + _SENTENCE)) >= 0]
    sentence = text[max(left + 1, first) : min([end + _SENTENCE, *rights])]
    return frozenset(word.lower().rstrip(".") for word in _WORD.findall(sentence))
