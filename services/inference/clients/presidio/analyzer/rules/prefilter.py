"""Which rules can match at all, in one pass of Hyperscan over the text: the others need not run.

Hyperscan reads bytes and knows no Unicode, so it gets an ASCII twin of the text: one character for one character, a letter for
a letter, a digit for a digit. Patterns lose their ranges beyond ASCII, whose letters the twin has turned into ASCII ones.
Approximate patterns (HS_FLAG_PREFILTER) may say yes too often, never too seldom; so may a repeat without its upper bound, which
compiles many times faster.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import hyperscan

from services.inference.clients.presidio.analyzer.rules import compiled

_GROUP = 15  # rules to a database: all in one compile twice as long and scan no faster
_FOREIGN_RANGE = re.compile(r"[^\x00-\x7f]-[^\x00-\x7f]")
_BOUNDED = re.compile(r"\{(\d+),\d+\}\+?")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_CLASSES = {
    "Lu": "X",
    "Lt": "X",
    "Ll": "x",
    "Lo": "x",
    "Lm": "x",
    "Zs": " ",
    "Zl": "\n",
    "Zp": "\n",
    "Pd": "-",
    "Pi": '"',
    "Pf": "'",
}


class Sifted(Protocol):
    """A rule or a disguise."""

    @property
    def pattern(self) -> re.Pattern[str]: ...

    @property
    def source(self) -> str:
        """Matches wherever the pattern does, and looks nowhere ahead."""
        ...


class Prefilter:
    """Compiled once for many starts, in the folder `kept`; `candidates` is for one thread at a time."""

    def __init__(self, rules: Sequence[Sifted], kept: Path | None = None) -> None:
        kept = kept or compiled.folder()
        self._databases = [_compiled(rules, first, kept) for first in range(0, len(rules), _GROUP)]

    def candidates(self, text: str) -> list[int]:
        """The positions of the rules that may match, in order."""
        found: list[int] = []

        def matched(rule: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            found.append(rule)

        source = twin(text).encode()
        for database, scratch in self._databases:
            database.scan(source, match_event_handler=matched, scratch=scratch)
        return sorted(found)


def _compiled(rules: Sequence[Sifted], first: int, kept: Path) -> tuple[hyperscan.Database, hyperscan.Scratch]:
    group = rules[first : first + _GROUP]
    flags = hyperscan.HS_FLAG_PREFILTER | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY
    database = compiled.database(
        [_twin_pattern(rule.source).encode() for rule in group],
        list(range(first, first + len(group))),
        [flags | (hyperscan.HS_FLAG_CASELESS if rule.pattern.flags & re.IGNORECASE else 0) for rule in group],
        kept,
    )
    return database, hyperscan.Scratch(database)


def twin(text: str) -> str:
    """The text in ASCII, character by character."""
    return text if text.isascii() else _FOREIGN.sub(lambda match: _plain(match.group()), text)


def _twin_pattern(source: str) -> str:
    source = _FOREIGN.sub(lambda match: re.escape(_plain(match.group())), _FOREIGN_RANGE.sub("", source))
    return _BOUNDED.sub(_unbounded, source)


def _unbounded(match: re.Match[str]) -> str:
    return {"0": "*", "1": "+"}.get(match[1], f"{{{match[1]},}}")


@cache
def _plain(character: str) -> str:
    base = unicodedata.normalize("NFKD", character)[0]
    if base.isascii():
        return base
    if base.isdigit():
        return str(unicodedata.digit(base, 0))
    return _CLASSES.get(unicodedata.category(base), "?")
