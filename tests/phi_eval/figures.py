"""Verdicts on documents as figures, each with a 95 % confidence interval.

Intervals are the 2.5th and 97.5th percentile of 1,000 bootstrap samples of whole documents, because the spans of one document stand
or fall together. Where that says nothing (every span or none counted, or fewer than ten documents have any), and for
shares of documents, Wilson's score interval over documents stands instead.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tests.phi_eval.scoring import Verdict

_SAMPLES = 1_000
_Z = 1.959964
_FEW = 10
_SEED = 20_250_101


@dataclass(frozen=True, slots=True)
class Rate:
    """A share, how many it is a share of, and its interval; all None where there is nothing to count."""

    value: float | None
    low: float | None
    high: float | None
    of: int


@dataclass(frozen=True, slots=True)
class Figures:
    documents: int
    spans: int
    characters: int
    overlap: Rate
    full: Rate
    precision: Rate
    f2: Rate  # of full-cover recall and precision
    named: Rate
    no_leak: Rate
    untouched: Rate
    ms_per_1000: float | None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def figures(verdicts: Sequence[Verdict], kind: str | None = None) -> Figures:
    """Of all types together, or of one: then precision is of the detections that bear its name, and leaks are its own."""

    def column(count: Callable[[Verdict], Any]) -> np.ndarray:
        return np.array([_of(count(verdict), kind) for verdict in verdicts], dtype=float)

    gold, covered = column(lambda v: v.gold), column(lambda v: v.covered)
    predicted, correct = column(lambda v: v.predicted), column(lambda v: v.correct)
    characters = sum(v.characters for v in verdicts)
    milliseconds = sum(v.milliseconds for v in verdicts)
    of_documents = [(g, c) for g, c in zip(gold, covered, strict=True) if kind is None or g]
    clean = [v for v in verdicts if v.clean]
    return Figures(
        documents=len(verdicts) if kind is None else len(of_documents),
        spans=int(gold.sum()),
        characters=characters,
        overlap=_ratio(column(lambda v: v.overlapped), gold),
        full=_ratio(covered, gold),
        precision=_ratio(correct, predicted),
        f2=_f2(covered, gold, correct, predicted),
        named=_ratio(column(lambda v: v.named), gold),
        no_leak=wilson(sum(g == c for g, c in of_documents), len(of_documents)),
        untouched=wilson(sum(v.untouched for v in clean), len(clean) if kind is None else 0),
        ms_per_1000=milliseconds / characters * 1000 if characters and kind is None else None,
    )


def wilson(hits: float, of: int) -> Rate:
    """Wilson (1927), without continuity correction. `hits` may be fractional: a share times a number of documents."""
    if not of:
        return Rate(None, None, None, 0)
    share, z2 = hits / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return Rate(share, max(0.0, middle - half), min(1.0, middle + half), of)


def _of(counts: Any, kind: str | None) -> int:
    return counts[kind] if kind is not None else sum(counts.values())


@lru_cache(maxsize=64)
def _weights(documents: int) -> np.ndarray:
    """How often each document stands in each sample; seeded, so that a figure is the same on every run."""
    share = np.full(documents, 1 / documents)
    return np.random.default_rng(_SEED).multinomial(documents, share, size=_SAMPLES).astype(float)


def _ratio(part: np.ndarray, whole: np.ndarray) -> Rate:
    total = whole.sum()
    if not total:
        return Rate(None, None, None, 0)
    share = part.sum() / total
    carrying = int((whole > 0).sum())
    if carrying < _FEW or share in (0.0, 1.0):
        by_documents = wilson(share * carrying, carrying)
        return Rate(float(share), by_documents.low, by_documents.high, int(total))
    weights = _weights(len(whole))
    return _percentiles(share, weights @ part, weights @ whole, int(total))


def _f2(covered: np.ndarray, gold: np.ndarray, correct: np.ndarray, predicted: np.ndarray) -> Rate:
    """5PR / (4P + R), R counting four times as much as P."""
    if not gold.sum() or not predicted.sum():
        return Rate(None, None, None, 0)

    def combine(recall: Any, precision: Any) -> tuple[Any, Any]:
        return 5 * precision * recall, 4 * precision + recall

    top, bottom = combine(covered.sum() / gold.sum(), correct.sum() / predicted.sum())
    value = float(top / bottom) if bottom else 0.0
    carrying = int(((gold > 0) | (predicted > 0)).sum())
    if carrying < _FEW or value in (0.0, 1.0):
        by_documents = wilson(value * carrying, carrying)
        return Rate(value, by_documents.low, by_documents.high, int(gold.sum()))
    weights = _weights(len(gold))
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = (weights @ covered) / (weights @ gold)
        precision = (weights @ correct) / (weights @ predicted)
    return _percentiles(value, *combine(recall, precision), int(gold.sum()))


def _percentiles(value: float, top: np.ndarray, bottom: np.ndarray, of: int) -> Rate:
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = top / bottom
    low, high = np.nanpercentile(samples, (2.5, 97.5))
    return Rate(float(value), float(low), float(high), of)


def halves(verdicts: Sequence[Verdict], seeds: int = 20) -> tuple[float, float]:
    """The lowest and the highest full-cover recall of random halves of the documents: how much hangs on their choice."""
    gold = np.array([sum(v.gold.values()) for v in verdicts], dtype=float)
    covered = np.array([sum(v.covered.values()) for v in verdicts], dtype=float)
    orders = [np.random.default_rng(seed).permutation(len(verdicts)) for seed in range(seeds)]
    parts = [part for order in orders for part in np.array_split(order, 2)]
    shares = [float(covered[part].sum() / gold[part].sum()) for part in parts if gold[part].sum()]
    return min(shares), max(shares)
