"""Breaking runs of text into lines of a width. For text that reads from left to right without shaping; what people typed is fpdf2's to break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from services.compliance.domain.clauses import Face, Run

Word = Sequence[Run]
"""Without a space; of several faces where the face changes within it."""
Line = Sequence[Run]
Measure = Callable[[Face, str], float]
"""The width of a text in points."""


def break_lines(runs: Sequence[Run], width: float, measure: Measure) -> list[Line]:
    """As many words a line as fit into `width` points; a word that is longer stands alone."""
    lines: list[list[Word]] = []
    filled = width
    for word in _words(runs):
        size = sum(measure(run.face, run.text) for run in word)
        space = measure(word[0].face, " ")
        if filled + space + size > width:
            lines.append([])
            filled = size
        else:
            filled += space + size
        lines[-1].append(word)
    return [_joined(line) for line in lines]


def _words(runs: Sequence[Run]) -> Iterator[Word]:
    word: list[Run] = []
    for run in runs:
        for number, piece in enumerate(run.text.split(" ")):
            if number and word:
                yield word
                word = []
            if piece:
                word.append(Run(piece, run.face))
    if word:
        yield word


def _joined(words: Sequence[Word]) -> Line:
    """The words of a line, a space between two, as few runs as there are changes of face."""
    spaced = [
        Run(run.text + " " if last and number < len(words) - 1 else run.text, run.face)
        for number, word in enumerate(words)
        for run, last in ((run, place == len(word) - 1) for place, run in enumerate(word))
    ]
    faces = groupby(spaced, key=lambda run: run.face)
    return [Run("".join(run.text for run in same), face) for face, same in faces]
