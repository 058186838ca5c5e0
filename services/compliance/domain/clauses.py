"""The agreement's Markdown as what is set on paper: headings, numbered clauses, lists, emphasis. CommonMark, read by markdown-it-py.

A text that uses anything else (a table, a picture, a link, HTML) is refused, so that nothing of an agreement is lost in silence: the test
of the templates fails before such a text is published.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from markdown_it import MarkdownIt
from markdown_it.token import Token

# `1.1 `, `2.3.4 ` and `(a) ` at the beginning of a paragraph; CommonMark knows neither as a list.
_CLAUSE = re.compile(r"(\d+(?:\.\d+)+\.?|\([a-z]{1,4}\)|\(\d+\))[ ]+")
_MARKUP = {"em": "italic", "strong": "bold"}


class Face(StrEnum):
    """How a stretch of text is set."""

    ROMAN = "roman"
    ITALIC = "italic"
    BOLD = "bold"


@dataclass(frozen=True, slots=True)
class Run:
    text: str
    face: Face = Face.ROMAN


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    """1: the agreement's title."""
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    runs: Sequence[Run]
    label: str = ""
    """`1.1`, `(a)`, `•`: it stands before the text, whose lines are indented behind it."""
    depth: int = 0
    """0: from the left margin; 1: a numbered clause; 2 and more: what belongs to one."""

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)


Block = Heading | Paragraph


def parse(markdown: str) -> list[Block]:
    """Raises ValueError for a construct that is not set."""
    return list(_blocks(MarkdownIt("commonmark").parse(markdown)))


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    counters: list[int | None] = []  # one for each list that is open: its next number, None where it has bullets
    label, level = "", 0
    for token in tokens:
        match token.type:
            case "heading_open":
                level = int(token.tag[1:])
            case "bullet_list_open":
                counters.append(None)
            case "ordered_list_open":
                counters.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                counters.pop()
            case "list_item_open":
                label = _next_label(counters)
            case "inline":
                runs = _runs(token.children or [])
                if level:
                    yield Heading(level, "".join(run.text for run in runs))
                else:
                    yield _paragraph(runs, label, len(counters))
                label, level = "", 0
            case "paragraph_open" | "paragraph_close" | "heading_close" | "list_item_close":
                pass
            case other:
                raise ValueError(f"an agreement has no {other}")


def _next_label(counters: list[int | None]) -> str:
    number = counters[-1]
    if number is None:
        return "•"
    counters[-1] = number + 1
    return f"{number}."


def _paragraph(runs: list[Run], label: str, lists: int) -> Paragraph:
    if lists:
        return Paragraph(runs, label, lists + 1)
    found = _CLAUSE.match(runs[0].text) if runs and runs[0].face is Face.ROMAN else None
    if found is None:
        return Paragraph(runs)
    rest = [Run(runs[0].text[found.end() :]), *runs[1:]]
    return Paragraph([run for run in rest if run.text], found[1], 2 if found[1].startswith("(") else 1)


def _runs(inline: Sequence[Token]) -> list[Run]:
    """Neighbours of one face are one run."""
    faced = groupby(_faced(inline), key=lambda run: run.face)
    return [Run("".join(run.text for run in runs), face) for face, runs in faced]


def _faced(inline: Sequence[Token]) -> Iterator[Run]:
    open_: list[Face] = []
    for token in inline:
        markup, _, end = token.type.rpartition("_")
        if token.type in {"text", "code_inline"}:
            if token.content:
                yield Run(token.content, open_[-1] if open_ else Face.ROMAN)
        elif token.type in {"softbreak", "hardbreak"}:
            yield Run(" ", open_[-1] if open_ else Face.ROMAN)
        elif markup in _MARKUP and end == "open":
            open_.append(Face(_MARKUP[markup]))
        elif markup in _MARKUP and end == "close":
            open_.pop()
        else:
            raise ValueError(f"an agreement has no {token.type}")
