"""Sets a document: the agreement's text, then the record of its signatures on a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from services.compliance.clients.press.fonts import Fonts
from services.compliance.clients.press.lines import Line, break_lines
from services.compliance.clients.press.sheets import BODY, HEIGHT, LEFT, RIGHT, SOFT, TOP, Sheets, Type
from services.compliance.domain.clauses import Block, Face, Heading, Paragraph, Run
from services.compliance.domain.documents import CODE_POINTS_NOTE, RECORD_NOTE, RECORD_TITLE, Document, Part, Row

_INDENTS = (0.0, 30.0, 54.0, 78.0, 102.0)
"""Of a paragraph's text by its depth; its label stands at the indent before."""
_VALUES = LEFT + 126.0
_PADDING = 10.0
_BETWEEN = 5.5
_TITLE, _SECTION, _PART = Type(22.0, 28.0), Type(12.0, 16.0), Type(10.5, 15.0)
_ROW = Type(BODY.size, BODY.leading, SOFT)


@dataclass(frozen=True, slots=True)
class Box:
    """On a page (counted from 1), in PDF's coordinates: whole points from the lower left corner."""

    page: int
    left: int
    bottom: int
    right: int
    top: int


@dataclass(frozen=True, slots=True)
class Typeset:
    pdf: bytes
    seal: Box
    """Where the operator's digital signature is seen."""


def typeset(document: Document, seal: Part, fonts: Fonts) -> Typeset:
    """`seal` is what the visible digital signature says."""
    with (
        TemporaryDirectory(prefix="hasp-press-") as folder,
        closing(Sheets(document, fonts, Path(folder))) as sheets,
    ):
        return _typeset(sheets, document, seal)


def _typeset(sheets: Sheets, document: Document, seal: Part) -> Typeset:
    for block in document.text:
        _block(sheets, block)
    sheets.new_page()
    _heading(sheets, Heading(2, RECORD_TITLE))
    _paragraph(sheets, Paragraph([Run(RECORD_NOTE)]))
    sheets.y += _BETWEEN
    for part in document.record:
        _part(sheets, part)
    box = _seal(sheets, seal)
    if sheets.spelled_out:
        sheets.y += _BETWEEN
        _paragraph(sheets, Paragraph([Run(CODE_POINTS_NOTE)]))
    return Typeset(sheets.finish(document), box)


def _block(sheets: Sheets, block: Block) -> None:
    if isinstance(block, Heading):
        _heading(sheets, block)
    else:
        _paragraph(sheets, block)


def _heading(sheets: Sheets, heading: Heading) -> None:
    """It stays with the first lines of what follows it."""
    type_ = _TITLE if heading.level == 1 else _SECTION
    lines = _lines(sheets, [Run(heading.text, Face.BOLD)], RIGHT - LEFT, type_)
    above = 0.0 if sheets.y == TOP else 12.0
    sheets.keep(above + len(lines) * type_.leading + _BETWEEN + 2 * BODY.leading)
    if sheets.y > TOP:
        sheets.y += above
    sheets.section(heading.text, max(0, heading.level - 2))
    for line in lines:
        sheets.line(LEFT, line, type_)
    sheets.y += _BETWEEN


def _paragraph(sheets: Sheets, paragraph: Paragraph) -> None:
    indent = LEFT + _INDENTS[min(paragraph.depth, len(_INDENTS) - 1)]
    waiting = _lines(sheets, paragraph.runs, RIGHT - indent, BODY)
    # What ends in a colon stays with the beginning of its list.
    sheets.keep(_least(len(waiting)) * BODY.leading + (2 * BODY.leading if paragraph.text.endswith(":") else 0.0))
    if paragraph.label:
        label = LEFT + _INDENTS[max(0, min(paragraph.depth, len(_INDENTS) - 1) - 1)]
        sheets.write(label, sheets.y, paragraph.label)
    while waiting:
        fitting = _fitting(len(waiting), int(sheets.left / BODY.leading))
        for line in waiting[:fitting]:
            sheets.line(indent, line)
        waiting = waiting[fitting:]
        if waiting:
            sheets.new_page()
    sheets.y += _BETWEEN


def _least(lines: int) -> int:
    """How many lines of a paragraph must find room where it begins: two at least, all of one that has three."""
    return lines if lines <= 3 else 2


def _fitting(lines: int, room: int) -> int:
    """How many of them go on this page: no single line is left for the next."""
    return room - 1 if lines == room + 1 and room > 1 else min(lines, room)


def _lines(sheets: Sheets, runs: Sequence[Run], width: float, type_: Type) -> list[Line]:
    return break_lines(runs, width, lambda face, text: sheets.width(text, face, type_))


def _part(sheets: Sheets, part: Part) -> None:
    sheets.keep(_PART.leading + 4.0 + _row_height(sheets, part.rows[0]))
    sheets.line(LEFT, [Run(part.title, Face.BOLD)], _PART)
    sheets.rule(sheets.y)
    sheets.y += 4.0
    for row in part.rows:
        sheets.keep(_row_height(sheets, row))
        _row(sheets, row, LEFT)
    sheets.y += _BETWEEN + 3.0


def _row(sheets: Sheets, row: Row, x: float) -> None:
    sheets.write(x, sheets.y, row.label, type_=_ROW)
    sheets.y += sheets.typed(_VALUES, sheets.y, RIGHT - _PADDING - _VALUES, row.value, fixed_width=row.fixed_width)


def _row_height(sheets: Sheets, row: Row) -> float:
    width = RIGHT - _PADDING - _VALUES
    return sheets.typed(_VALUES, sheets.y, width, row.value, fixed_width=row.fixed_width, dry=True)


def _seal(sheets: Sheets, seal: Part) -> Box:
    height = _PART.leading + sum(_row_height(sheets, row) for row in seal.rows) + 2 * _PADDING
    sheets.keep(height + 4.0)
    sheets.y += 4.0
    top = sheets.y
    sheets.panel(top, height)
    sheets.y += _PADDING
    sheets.line(LEFT + _PADDING, [Run(seal.title, Face.BOLD)], _PART)
    for row in seal.rows:
        _row(sheets, row, LEFT + _PADDING)
    sheets.y = top + height
    return Box(sheets.page, round(LEFT), round(HEIGHT - sheets.y), round(RIGHT), round(HEIGHT - top))
