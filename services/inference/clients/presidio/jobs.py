"""Blocks cut and packed so that a long request uses all workers and none is held for long.

Where a block is cut depends on the block alone: the same text must be masked the same way in every request.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.inference.clients.presidio.frames import WireSpan
from services.inference.domain.phi.spans import Span

_AROUND = (
    160  # characters on each side of a cut that are read together: a label may stand before it and its value behind
)
_SEPARATORS = ("\n\n", "\n", ". ", " ", ",", ";", "|")


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` begins at `start` of the block named `key`. Around a cut, what touches an end may be half of something and does not count."""

    key: bytes
    start: int
    text: str
    around_a_cut: bool = False

    def in_block(self, spans: Sequence[WireSpan]) -> list[Span]:
        """What was found in the text, by the block's offsets."""
        return [
            Span(self.start + start, self.start + end, entity_type, score, recognizer)
            for start, end, entity_type, score, recognizer in spans
            if not self.around_a_cut or (start > 0 and end < len(self.text))
        ]


def cut_to_jobs(blocks: Mapping[bytes, str], size: int) -> Iterator[list[Piece]]:
    """Jobs of about `size` characters."""
    job: list[Piece] = []
    length = 0
    for key, block in blocks.items():
        for piece in _pieces(key, block, size):
            if job and length + len(piece.text) > size:
                yield job
                job, length = [], 0
            job.append(piece)
            length += len(piece.text)
    if job:
        yield job


def _pieces(key: bytes, block: str, size: int) -> Iterator[Piece]:
    start = 0
    for left in range(-(-len(block) // size), 1, -1):
        aim = start + (len(block) - start) // left
        end = _cut(block, aim - size // 6, aim + size // 6)
        yield Piece(key, start, block[start:end])
        first = max(0, end - _AROUND)
        yield Piece(key, first, block[first : end + _AROUND], around_a_cut=True)
        start = end
    yield Piece(key, start, block[start:])


def _cut(block: str, first: int, last: int) -> int:
    """Nearest to the middle: behind a line where there is one, a sentence or a word otherwise."""
    middle = (first + last) // 2
    for separator in _SEPARATORS:
        before, behind = block.rfind(separator, first, middle), block.find(separator, middle, last)
        if found := [place for place in (before, behind) if place >= 0]:
            return min(found, key=lambda place: abs(place - middle)) + len(separator)
    return middle
