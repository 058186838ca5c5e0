"""Texts by themselves, outside of any request: what the guard does for callers that talk to no model."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from services.inference.domain.phi.detection import Detector, fill
from services.inference.domain.phi.json_text import is_json_container
from services.inference.domain.phi.leaves import Leaf, Leaves
from services.inference.domain.phi.masking import Redaction, reported, settle, to_mask, write
from services.inference.domain.phi.operators import Anonymizer, Keep, Operators, Value
from services.inference.domain.phi.placeholders import PlaceholderMap
from services.inference.domain.phi.spans import Span
from services.inference.domain.phi.stream import TextStreamRestorer

_PIECE = 32_768


class RestoredTooLong(Exception):
    """More values would have to be put in than the caller of `restore_texts` allows."""


class RedactedTooLong(Exception):
    """What stands in the place of values would be longer than the caller of `TextGuard.redact` allows."""


@dataclass(frozen=True, slots=True)
class RedactedTexts:
    """One item a text; `map` is PHI. The redactions' places are in the texts as they were."""

    map: PlaceholderMap
    texts: list[str]
    redactions: list[list[Redaction]]

    @property
    def restorable(self) -> bool:
        """Nothing was masked that is not in the map."""
        return all(each.placeholder or each.operator == Keep.name for found in self.redactions for each in found)


class TextGuard:
    """The guard on texts that are no request to a model. Stateless; one for the process."""

    def __init__(self, detector: Detector, anonymizer: Anonymizer) -> None:
        self._detector = detector
        self._anonymizer = anonymizer

    async def scan(self, texts: Sequence[str], *, org_key: bytes, deadline: float) -> list[list[Span]]:
        """What is in each text by itself, in its own offsets."""
        batch = Batch(texts)
        await fill(batch.leaves, self._detector, org_key, deadline)
        return batch.spans()

    async def redact(
        self, texts: Sequence[str], operators: Operators, *, org_key: bytes, salt: bytes, deadline: float, most: int
    ) -> RedactedTexts:
        """Masked copies, numbered over all of them. What was found in one text is masked in the later ones too.

        `salt` is the hashes'. Raises RedactedTooLong before more than `most` characters are put in by operators.
        """
        batch, placeholders = Batch(texts), PlaceholderMap()
        await fill(batch.leaves, self._detector, org_key, deadline)
        kept = _take_kept(batch.leaves, operators)
        plan = list(to_mask(batch.leaves.all, placeholders))
        found = [(span.entity_type, leaf.text[span.start : span.end]) for leaf, spans in plan for span in spans]
        values = list(dict.fromkeys(value for value in found if operators.anonymizes(value[0])))
        anonymized: dict[Value, str] = {}
        if values:
            masked = await self._anonymizer.anonymize(values, operators, salt=salt, deadline=deadline)
            anonymized = dict(zip(values, masked, strict=True))
        if sum(len(anonymized.get(value, "")) for value in found) > most:
            raise RedactedTooLong
        placeholders.avoid([*(leaf.text for leaf in batch.leaves.all), *operators.written])
        redactions = [
            redaction for leaf, spans in plan for redaction in write(leaf, spans, placeholders, operators, anonymized)
        ]
        batch.leaves.finish()
        return RedactedTexts(placeholders, batch.masked, batch.by_text([*redactions, *_left(kept, plan, operators)]))


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
        return [sorted(found, key=lambda each: each.place or (0, 0)) for found in grouped.values()]

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


def _take_kept(leaves: Leaves, operators: Operators) -> list[tuple[Leaf, list[Span]]]:
    """Takes away from each leaf what is to be kept. First of all, so that what is masked is masked inside of it too."""
    kept: list[tuple[Leaf, list[Span]]] = []
    for leaf in leaves.all:
        if any(operators.keeps(span.entity_type) for span in leaf.spans):
            spans = [span for span in leaf.spans if operators.keeps(span.entity_type)]
            kept.append((leaf, settle(replace(leaf, spans=spans))))
            leaf.spans = [span for span in leaf.spans if not operators.keeps(span.entity_type)]
    return kept


def _left(
    kept: Sequence[tuple[Leaf, list[Span]]], masked: Sequence[tuple[Leaf, list[Span]]], operators: Operators
) -> Iterator[Redaction]:
    """What was kept and stands there still, untouched."""
    gone = {id(leaf): spans for leaf, spans in masked}
    for leaf, spans in kept:
        others = gone.get(id(leaf), [])
        ends = [other.end for other in others]
        for span in spans:
            following = others[bisect_right(ends, span.start) :][:1]
            if not following or span.end <= following[0].start:
                yield reported(leaf, span, operators)


def _in_the_text(leaf: Leaf) -> list[Span]:
    if leaf.back is None:
        return []
    places = [(leaf.back(span.start, span.end), span) for span in settle(leaf)]
    return [Span(start, end, span.entity_type, span.score, span.recognizer) for (start, end), span in places]
