"""Reads `recognizers.toml` into compiled rules."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("recognizers.toml")
_MACRO = re.compile(r"\{\{([A-Z0-9]+)\}\}")
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

    @property
    def source(self) -> str:
        return self.pattern.pattern


def load(path: Path = TABLE) -> tuple[Rule, ...]:
    """All rules of the table, labelled ones first. Raises on an unknown macro or a pattern that does not compile."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    macros: dict[str, str] = {}
    for name, pattern in document["macros"].items():
        macros[name] = _expand(pattern, macros)
    rules = [_labelled(entry, macros) for entry in document["labelled"]]
    rules += [_loose(entry, macros) for entry in document["labelled"] if entry.get("loose")]
    for entry in document["rule"]:
        flags = re.NOFLAG if entry.get("cased") else re.IGNORECASE
        pattern = re.compile(_expand(entry["pattern"], macros), flags)
        rules.append(Rule(entry["id"], entry["entity"], entry["score"], pattern, entry.get("check")))
    if len({rule.id for rule in rules}) != len(rules):
        raise ValueError("two rules share an id")
    return tuple(rules)


def _labelled(entry: dict, macros: dict[str, str]) -> Rule:
    alone = "|".join(sorted(entry["labels"], key=len, reverse=True))
    numbered = "|".join(sorted(entry.get("labels_no", []), key=len, reverse=True))
    label = rf"(?:{alone})(?:{macros['NO']})?"
    if numbered:
        label = rf"(?:{label}|(?:{numbered}){macros['NO']})"
    source = rf"(?<![A-Za-z0-9]){label}(?![A-Za-z]){macros['IS']}(?P<v>{macros[entry['value']]})"
    return Rule(
        entry["id"],
        entry["entity"],
        _LABEL_SCORE,
        re.compile(source, re.IGNORECASE),
        "not_a_measure",
        entry.get("digits", 1),
    )


def _loose(entry: dict, macros: dict[str, str]) -> Rule:
    """Its `labels_no` without the number word, where the value is strong enough by itself."""
    words = "|".join(sorted(entry["labels_no"], key=len, reverse=True))
    source = rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z])(?: ?[:#]{{1,2}} ?| )(?P<v>{macros['STRONG']})"
    return Rule(
        f"{entry['id']}_loose", entry["entity"], _LOOSE_SCORE, re.compile(source, re.IGNORECASE), "not_a_measure", 4
    )


def _expand(pattern: str, macros: dict[str, str]) -> str:
    return _MACRO.sub(lambda match: macros[match[1]], pattern)
