"""HL7 version 2 segments, masked field by field as `hl7.toml` says."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from services.inference.domain.phi.spans import Span

_SCORE = 0.96
# Segments are parted by a carriage return; whoever pastes one has line feeds.
_SEGMENT = re.compile(r"(?:^|(?<=\r))[ \t\x0b>]{0,4}([A-Z][A-Z0-9]{2})(\|[^\r\n]{2,20000})", re.MULTILINE)
_NOTHING = frozenset({"", '""'})


def _load() -> dict[str, dict[int, str]]:
    table = tomllib.loads(Path(__file__).with_name("hl7.toml").read_text(encoding="utf-8"))
    return {segment: {int(number): entity for number, entity in fields.items()} for segment, fields in table.items()}


_FIELDS = _load()


def segment_fields(text: str) -> Iterator[Span]:
    """Every field that the table names, components and repetitions and all."""
    if "|" not in text:
        return
    for match in _SEGMENT.finditer(text):
        fields = _FIELDS.get(match[1])
        if fields is None:
            continue
        start = match.start(2) + 1
        first = 2 if match[1] == "MSH" else 1  # MSH.1 is the delimiter itself
        for number, value in enumerate(match[2][1:].split("|"), start=first):
            bare = value.strip()
            if number in fields and bare not in _NOTHING and any(map(str.isalnum, bare)):
                left = start + value.index(bare)
                yield Span(left, left + len(bare), fields[number], _SCORE, "hl7_field")
            start += len(value) + 1
