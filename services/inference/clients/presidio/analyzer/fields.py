"""Values of named fields: `date of birth: …` on a line of its own, and the columns of a table with a header.

A JSON object reaches the scanner as such lines, and so do forms, YAML and FHIR resources. CSV and other tables are read
column by column. The names of the fields are in `fields.toml`.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from services.inference.clients.presidio.analyzer import words
from services.inference.domain.phi.json_text import words as key_words
from services.inference.domain.phi.spans import Span

_SCORE = 0.9
_LINE = re.compile(
    r"^[ \t>*\-|]{0,6}([A-Za-z][A-Za-z0-9 /_\-.()#']{1,48}?)[ \t]*[:=][ \t]*([^\s\[{][^\n]{0,119})$", re.MULTILINE
)
_VALUE_END = re.compile(r"(?<=\w)[.;] |[ \t]{2,}|\t| \| ")
_NEXT_FIELD = re.compile(r"[,;] (?=[A-Z][A-Za-z .#/]{0,20}(?::|[ #]\d))")
# `MRN: 4827193` and `DOB 01/02/1980` behind a comma are fields of their own; an address goes on with its town and ZIP code.
_FIRST_AND_LAST = re.compile(
    r"^[ \t]*(?:last:[^\n]{1,60}\s+first:|first:[^\n]{1,60}\s+(?:middle:[^\n]{0,60}\s+)?last:)",
    re.IGNORECASE | re.MULTILINE,
)
_DELIMITERS = (",", "\t", ";", "|")
_NOTHING = frozenset(
    {"", "none", "null", "n/a", "na", "unknown", "-", "--", "not provided", "not on file", "true", "false", "declined"}
)
# A declaration: `first_name: str | None`.
_TYPE = re.compile(
    r"(?:str|string|int|integer|float|bool|boolean|date|datetime|text|varchar|char|uuid|object|array|list|dict|optional|any|number)\b"
    r"\W*(?:\Z|[|\[(=?,;]| (?:not )?null| none)",
    re.IGNORECASE,
)
_TABLE_LINES = 2_000


def _load() -> tuple[dict[str, str], dict[str, str]]:
    table = tomllib.loads(Path(__file__).with_name("fields.toml").read_text(encoding="utf-8"))
    columns = table.pop("columns")
    return tuple({name: entity for entity, names in part.items() for name in names} for part in (table, columns))  # type: ignore[return-value]


_FIELDS, _COLUMNS = _load()


def field_values(text: str) -> list[Span]:
    """Detections by the name of the field alone."""
    spans = list(_lines(text))
    if "\n" in text:
        spans += _tables(text)
    return spans


def _lines(text: str) -> Iterator[Span]:
    for match in _LINE.finditer(text):
        entity = (
            entity_of(match[1])
            or (text[match.start()] in " \t" and _nested(text, match))
            or _parts_of_name(text, match[1])
        )
        if entity is None:
            continue
        start, end = match.span(2)
        if stop := _VALUE_END.search(text, start, end):
            end = stop.start()
        if entity != "STREET_ADDRESS" and (following := _NEXT_FIELD.search(text, start, end)):
            end = following.start()
        if plausible(entity, match[1], text[start:end]):
            if entity == "PERSON":
                start, end = words.name_within(text, start, end) or (start, end)
            yield Span(start, end, entity, _SCORE, "field")


def _parts_of_name(text: str, name: str) -> str | None:
    """ "Last: Zylo" in a form that asks for the first name as well."""
    return "PERSON" if name.lower() in {"first", "last", "middle"} and _FIRST_AND_LAST.search(text) else None


def _nested(text: str, line: re.Match[str]) -> str | None:
    """ "first: zylo" below "name:", as YAML has it."""
    indent = line.start(1) - line.start()
    for above in reversed(text[max(0, line.start() - 400) : line.start()].splitlines()):
        bare = above.lstrip(" \t-")
        if len(above) - len(bare) < indent and bare:
            return entity_of(f"{bare.rstrip(': ')} {line[1]}") if bare.rstrip().endswith(":") else None
    return None


def _tables(text: str) -> Iterator[Span]:
    """Rows below a header in which at least two columns are fields of the table."""
    columns: list[tuple[str, str | None]] = []
    delimiter = ""
    start = 0
    for line in text.split("\n")[:_TABLE_LINES]:
        cells = _cells(line, delimiter) if delimiter else []
        if columns and len(cells) == len(columns):
            for (left, right), (name, entity) in zip(cells, columns, strict=True):
                if entity and plausible(entity, name, line[left:right]):
                    yield Span(start + left, start + right, entity, _SCORE, "column")
        else:
            columns, delimiter = _header(line)
        start += len(line) + 1


def _header(line: str) -> tuple[list[tuple[str, str | None]], str]:
    for delimiter in _DELIMITERS:
        if delimiter in line:
            names = [line[left:right] for left, right in _cells(line, delimiter)]
            columns = [(name, entity_of(name, column=True)) for name in names]
            if sum(entity is not None for _, entity in columns) >= 2:
                return columns, delimiter
    return [], ""


def _cells(line: str, delimiter: str) -> list[tuple[int, int]]:
    """The spans of a row's cells without blanks and quotes; a delimiter within quotes does not part."""
    cells: list[tuple[int, int]] = []
    start, quoted = 0, False
    for index, character in enumerate(line + delimiter):
        if character == '"':
            quoted = not quoted
        elif character == delimiter and (not quoted or index == len(line)):
            cell = line[start:index]
            bare = cell.strip(" \t\r\"'")
            left = start + (cell.index(bare) if bare else 0)
            cells.append((left, left + len(bare)))
            start = index + 1
    return cells


@lru_cache(maxsize=1 << 12)
def entity_of(name: str, *, column: bool = False) -> str | None:
    """What a field's name announces: its last one to three words count."""
    parts = key_words(name.strip(" \t\"'*").replace(" ", "_")).lower().replace("_", " ").split()
    for length in (3, 2, 1):
        if len(parts) >= length and (entity := _FIELDS.get(" ".join(parts[-length:]))):
            return entity
    return _COLUMNS.get(" ".join(parts)) if column else None


def plausible(entity: str, name: str, value: str) -> bool:
    """Whether a value may be what its name announces: "address: discuss at next visit" is none."""
    if value.strip().lower() in _NOTHING or len(value) < 2 or _TYPE.match(value):
        return False
    found = words.words_in(value)
    if entity == "PERSON":
        named = [word for word in found if not words.is_heading(word) and not words.is_medical(word)]
        surely = name.lower().endswith(("name", "given", "family")) or words.name_within(value, 0, len(value))
        return len(value) <= 60 and bool(named) and len(found) <= 6 and bool(surely)
    if entity == "STREET_ADDRESS":
        proper = any(word[0].isupper() and not words.is_heading(word) for word in found)
        return bool(found) and len(value) <= 100 and (proper or any(map(str.isdigit, value)))
    if entity == "LOCATION":
        return bool(found) and len(value) <= 60 and len(found) <= 5
    if entity == "EMAIL_ADDRESS":
        return "@" in value
    return len(value) <= 40 and any(map(str.isdigit, value))
