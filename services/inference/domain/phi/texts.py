"""Texts by themselves, outside of any request: what the guard does for callers that talk to no model."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.inference.domain.phi.json_text import is_json_container
from services.inference.domain.phi.leaves import Leaf, Leaves
from services.inference.domain.phi.masking import Redaction, settle
from services.inference.domain.phi.placeholders import PlaceholderMap
from services.inference.domain.phi.spans import Span
from services.inference.domain.phi.stream import TextStreamRestorer

_PIECE = 32_768


class RestoredTooLong(Exception):
    """More values would have to be put in than the caller of `restore_texts` allows."""


@dataclass(frozen=True, slots=True)
class RedactedTexts:
    """One item a text; `map` is PHI. The redactions' places are in the texts as they were."""

    map: PlaceholderMap
    texts: list[str]
    redactions: list[list[Redaction]]


class Batch:
    """Texts as leaves: each stands alone, none is read together with its neighbour."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.masked = list(texts)
        self.leaves = Leaves()
        self._until: list[int] = []
        for index, text in enumerate(texts):
            self.leaves.text(f"texts[{index}]", text, lambda masked, index=index: self._write(index, masked))
            self._until.append(len(self.leaves.all))

    def spans(self) -> list[list[Span]]:
        """What was found in each text, in the caller's offsets, in order and disjoint."""
        starts = [0, *self._until]
        return [
            [span for leaf in self.leaves.all[start:end] for span in _in_the_text(leaf)]
            for start, end in zip(starts, self._until, strict=False)
        ]

    def by_text(self, redactions: Sequence[Redaction]) -> list[list[Redaction]]:
        grouped: dict[str, list[Redaction]] = {f"texts[{index}]": [] for index in range(len(self.masked))}
        for redaction in redactions:
            grouped[redaction.path].append(redaction)
        return list(grouped.values())

    def _write(self, index: int, masked: str) -> None:
        self.masked[index] = masked


async def restore_texts(texts: Sequence[str], placeholders: Mapping[str, str], *, most: int) -> tuple[list[str], int]:
    """The texts with their values back, and how many placeholders were restored. In a text that is JSON the values are escaped.

    Raises ValueError for what is no map of placeholders, and RestoredTooLong before more than `most` characters of values were
    put in: a short text can name a long value very often. Long texts let others run in between.
    """
    bounded = _Bounded.from_placeholders(placeholders)
    bounded.left = most
    restored: list[str] = []
    count = 0
    for text in texts:
        restorer = TextStreamRestorer(bounded, in_json=is_json_container(text))
        pieces: list[str] = []
        for start in range(0, len(text), _PIECE):
            pieces.append(restorer.push(text[start : start + _PIECE]))
            await asyncio.sleep(0)
        restored.append("".join(pieces) + restorer.finish())
        count += restorer.restored_count
    return restored, count


class _Bounded(PlaceholderMap):
    """A map that counts what is taken out of it."""

    left = 0

    def value(self, label: str, number: int) -> str | None:
        found = super().value(label, number)
        self.left -= len(found or "")
        if self.left < 0:
            raise RestoredTooLong
        return found


def _in_the_text(leaf: Leaf) -> list[Span]:
    if leaf.back is None:
        return []
    places = [(leaf.back(span.start, span.end), span) for span in settle(leaf)]
    return [Span(start, end, span.entity_type, span.score, span.recognizer) for (start, end), span in places]
