"""Reads the tables in `recognizers/` into compiled rules."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

TABLES = Path(__file__).with_name("recognizers")
_COMMON = "macros"
_MACRO = re.compile(r"\{\{([A-Z0-9]+)\}\}")
_FIRST_LETTER = re.compile(r"[a-z](?![?*+{|])")
# A class in brackets, an escaped character, or one of the three that make groups.
_REGEX_TOKEN = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|[()|]", re.DOTALL)
_LONG_LIST = 10
_APART = "(?<![A-Za-z0-9])"
_LABEL_SCORE = 0.97
_LOOSE_SCORE = 0.8
FEW = 3  # digits: where so few are asked for, a code with two of them will do


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern. What its group `v` matches, or all of it, is a detection unless `check` refuses."""

    id: str
    entity: str
    score: float
    pattern: re.Pattern[str]
    check: str | None = None
    digits: int = 0  # a value with fewer digits does not count
    weak: str = ""  # matches wherever the pattern does, and looks nowhere ahead

    @property
    def source(self) -> str:
        """What the prefilter compiles."""
        return self.weak or self.pattern.pattern


def load(folder: Path = TABLES) -> tuple[Rule, ...]:
    """All rules of the tables, labelled ones first. Raises on an unknown macro or a pattern that does not compile."""
    common = _Macros({}, {}).with_those_of(_read(folder / f"{_COMMON}.toml"))
    labelled: list[Rule] = []
    loose: list[Rule] = []
    shaped: list[Rule] = []
    for path in sorted(folder.glob("*.toml")):
        document = _read(path)
        macros = common if path.stem == _COMMON else common.with_those_of(document)
        for entry in document.get("labelled", ()):
            labelled.append(_labelled(entry, macros))
            if entry.get("loose"):
                loose.append(_loose(entry, macros))
        shaped += [_shaped(entry, macros) for entry in document.get("rule", ())]
    rules = (*labelled, *loose, *shaped)
    if len({rule.id for rule in rules}) != len(rules):
        raise ValueError("two rules share an id")
    return rules


def _read(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class _Macros:
    """By name, expanded: as the rules read them, and as the prefilter does."""

    exact: dict[str, str]
    weak: dict[str, str]

    def with_those_of(self, document: dict) -> _Macros:
        exact, weak = dict(self.exact), dict(self.weak)
        for name, pattern in document.get("macros", {}).items():
            exact[name] = _expand(pattern, exact)
            weak[name] = _expand(document.get("weak", {}).get(name, pattern), weak)
        return _Macros(exact, weak)


def _shaped(entry: dict, macros: _Macros) -> Rule:
    flags = re.NOFLAG if entry.get("cased") else re.IGNORECASE
    pattern = re.compile(_by_first_letter(_expand(entry["pattern"], macros.exact)), flags)
    weak = _expand(entry.get("weak", ""), macros.weak)
    return Rule(entry["id"], entry["entity"], entry["score"], pattern, entry.get("check"), weak=weak)


def _labelled(entry: dict, macros: _Macros) -> Rule:
    label = rf"(?:{_alternatives(entry['labels'])})(?:{macros.exact['NO']})?"
    if entry.get("labels_no"):
        label = rf"(?:{label}|(?:{_alternatives(entry['labels_no'])}){macros.exact['NO']})"
    label = rf"{_APART}{label}(?![A-Za-z]){macros.exact['IS']}"
    digits = entry.get("digits", 1)
    seen = digits if digits > FEW else min(digits, 2)
    return Rule(
        entry["id"],
        entry["entity"],
        _LABEL_SCORE,
        re.compile(rf"{label}(?P<v>{macros.exact[entry['value']]})", re.IGNORECASE),
        "not_a_measure",
        digits,
        rf"{_in_sight(label)}(?:{macros.weak[entry['value']]}){{{seen}}}",
    )


def _loose(entry: dict, macros: _Macros) -> Rule:
    """Its `labels_no` without the number word, where the value is strong enough by itself."""
    label = rf"{_APART}(?:{_alternatives(entry['labels_no'])})(?![A-Za-z])(?: ?[:#]{{1,2}} ?| )"
    return Rule(
        f"{entry['id']}_loose",
        entry["entity"],
        _LOOSE_SCORE,
        re.compile(rf"{label}(?P<v>{macros.exact['LOOSE']})", re.IGNORECASE),
        "not_a_measure",
        4,
        rf"{_in_sight(label)}(?:{macros.weak['LOOSE']})",
    )


def _in_sight(label: str) -> str:
    """With the character in front of it for the prefilter, which cannot look behind."""
    return label.replace(_APART, "(?:^|[^A-Za-z0-9])", 1)


def _alternatives(labels: list[str]) -> str:
    """The labels, longest first, parted by their first letter: most text fails at that.

    Both cases of it are spelt out: Python's matcher passes over a branch at once only where it need not fold case.
    """
    ordered = sorted(labels, key=len, reverse=True)
    plain = [label for label in ordered if _FIRST_LETTER.match(label)]
    parted = [f"(?-i:[{first}{first.upper()}])(?:{'|'.join(rest)})" for first, rest in _by_letter(plain).items()]
    return "|".join([*parted, *(label for label in ordered if label not in plain)])


def _by_first_letter(pattern: str) -> str:
    """The same with its long lists of words parted as labels are; Python's matcher would try each word at each place."""
    opened: list[int] = []  # where each open group begins
    bars: list[list[int]] = []  # and its own bars
    edits: list[tuple[int, int, str]] = []
    for token in _REGEX_TOKEN.finditer(pattern):
        if token[0] == "(":
            opened.append(token.end())
            bars.append([])
        elif token[0] == "|" and bars:
            bars[-1].append(token.start())
        elif token[0] == ")":
            start, cuts = opened.pop(), bars.pop()
            if len(cuts) + 1 < _LONG_LIST or not pattern.startswith("?:", start):
                continue
            edges = [start + 1, *cuts, token.start()]
            words = [pattern[left + 1 : right] for left, right in pairwise(edges)]
            if all(map(_FIRST_LETTER.match, words)):
                edits = [edit for edit in edits if edit[0] < start]  # those inside are undone
                edits.append((start + 2, token.start(), _parted(words)))
    for start, end, words in reversed(edits):
        pattern = pattern[:start] + words + pattern[end:]
    return pattern


def _parted(words: list[str]) -> str:
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in _by_letter(words).items())


def _by_letter(words: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word[0], []).append(word[1:])
    return groups


def _expand(pattern: str, macros: dict[str, str]) -> str:
    return _MACRO.sub(lambda match: macros[match[1]], pattern)
