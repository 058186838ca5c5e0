"""Reads `recognizers.toml` into compiled rules."""

import re
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

TABLE = Path(__file__).with_name("recognizers.toml")
_MACRO = re.compile(r"\{\{([A-Z0-9]+)\}\}")
_FIRST_LETTER = re.compile(r"[a-z](?![?*+{|])")
# A class in brackets, an escaped character, or one of the three that make groups.
_REGEX_TOKEN = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|[()|]", re.DOTALL)
_LONG_LIST = 10
_LABEL_SCORE = 0.97
_LOOSE_SCORE = 0.8


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


def load(path: Path = TABLE) -> tuple[Rule, ...]:
    """All rules of the table, labelled ones first. Raises on an unknown macro or a pattern that does not compile."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    macros: dict[str, str] = {}
    for name, pattern in document["macros"].items():
        macros[name] = _expand(pattern, macros)
    weak: dict[str, str] = {}
    for name, pattern in document["macros"].items():
        weak[name] = _expand(document["weak"].get(name, pattern), weak)
    rules = [_labelled(entry, macros, weak) for entry in document["labelled"]]
    rules += [_loose(entry, macros, weak) for entry in document["labelled"] if entry.get("loose")]
    for entry in document["rule"]:
        flags = re.NOFLAG if entry.get("cased") else re.IGNORECASE
        pattern = re.compile(_by_first_letter(_expand(entry["pattern"], macros)), flags)
        rules.append(Rule(entry["id"], entry["entity"], entry["score"], pattern, entry.get("check")))
    if len({rule.id for rule in rules}) != len(rules):
        raise ValueError("two rules share an id")
    return tuple(rules)


def _labelled(entry: dict, macros: dict[str, str], weak: dict[str, str]) -> Rule:
    label = rf"(?:{_alternatives(entry['labels'])})(?:{macros['NO']})?"
    if entry.get("labels_no"):
        label = rf"(?:{label}|(?:{_alternatives(entry['labels_no'])}){macros['NO']})"
    label = rf"(?<![A-Za-z0-9]){label}(?![A-Za-z]){macros['IS']}"
    return Rule(
        entry["id"],
        entry["entity"],
        _LABEL_SCORE,
        re.compile(rf"{label}(?P<v>{macros[entry['value']]})", re.IGNORECASE),
        "not_a_measure",
        entry.get("digits", 1),
        rf"{label}(?:{weak[entry['value']]})",
    )


def _loose(entry: dict, macros: dict[str, str], weak: dict[str, str]) -> Rule:
    """Its `labels_no` without the number word, where the value is strong enough by itself."""
    label = rf"(?<![A-Za-z0-9])(?:{_alternatives(entry['labels_no'])})(?![A-Za-z])(?: ?[:#]{{1,2}} ?| )"
    return Rule(
        f"{entry['id']}_loose",
        entry["entity"],
        _LOOSE_SCORE,
        re.compile(rf"{label}(?P<v>{macros['STRONG']})", re.IGNORECASE),
        "not_a_measure",
        4,
        rf"{label}(?:{weak['STRONG']})",
    )


def _alternatives(labels: list[str]) -> str:
    """The labels, longest first, parted by their first letter: most text fails at that."""
    ordered = sorted(labels, key=len, reverse=True)
    plain = [label for label in ordered if _FIRST_LETTER.match(label)]
    return "|".join(filter(None, [_parted(plain), *(label for label in ordered if label not in plain)]))


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
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word[0], []).append(word[1:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in groups.items())


def _expand(pattern: str, macros: dict[str, str]) -> str:
    return _MACRO.sub(lambda match: macros[match[1]], pattern)
