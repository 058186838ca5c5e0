"""What runs ahead of a pattern must not change what it matches."""

import re
from random import Random

import pytest

from services.inference.clients.presidio.analyzer.disguises import ENCODINGS, LINKS, QUOTED_PRINTABLE, SPACING
from services.inference.clients.presidio.analyzer.rules.finder import Finder
from services.inference.clients.presidio.analyzer.rules.table import load

PATTERNS = [rule.pattern for rule in load()] + [
    disguise.pattern for disguise in (*ENCODINGS, *LINKS, *SPACING, *QUOTED_PRINTABLE)
]
NOTE = """MRN: 4827193, seen 03/14/2024 by Dr. Hélène Mori (tel. +1 555-010-4477) at St. Mary's Hospital, 12 Oak Street,
Springfield, IL 62704. jane.doe@example.org https://ehr.example/p?name=Leopold%20Stanhope&ssn=536-22-8812
5 3 6 - 2 2 - 8 8 1 2 J o h n **Smith** five three six two two eight eight one two \u017fSN \u212aim İzmir ıd 94 y/o"""


def matches(found: list[re.Match[str]]) -> list[tuple[tuple[int, int], ...]]:
    return [match.regs for match in found]


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern[:40])
def test_it_finds_what_the_pattern_does(pattern: re.Pattern[str]):
    random = Random(pattern.pattern)
    pieces = re.findall(r"\w+|\W", NOTE)
    texts = [NOTE, NOTE.upper(), NOTE.lower()]
    texts += ["".join(random.choices(pieces, k=60)) for _ in range(12)]
    finder = Finder(pattern)
    for text in texts:
        for start, end in [(0, len(text)), (0, 40), (1, 80), (17, len(text) + 400), (len(text), len(text))]:
            assert matches(list(finder.finditer(text, start, end))) == matches(list(pattern.finditer(text, start, end)))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?i:k\d)", "\u212a1 k2 K3"),
        (r"(?i:[^a]b)", "Ab ab cb"),
        (r"(?i:s)t", "\u017ft st St"),
        (r"(?<![^a])b", "ab Ab b"),
        (r"(?i:(?<![^a])b)", "ab Ab b"),
        (r"(?<!x)", "axa"),
        (r"(?:a|)b?", "ab b"),
        (r"(?<![a-z])(?:x|(?<=y)z)", "x yz z ax"),
        (r"(?m:^\w+$)", "one\ntwo three\nfour"),
        (r"(a|b)\1", "aa ab bb"),
        (r".b", "\nb éb"),
    ],
)
def test_it_does_so_for_odd_patterns(pattern: str, text: str):
    compiled = re.compile(pattern)
    assert matches(list(Finder(compiled).finditer(text))) == matches(list(compiled.finditer(text)))
