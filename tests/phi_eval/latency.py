"""How long a scan takes: the engine alone, and through the pool with its cache, as requests meet it."""

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING, Any

from services.inference.clients.presidio import PoolSettings, PresidioPool, Tier

if TYPE_CHECKING:
    from tests.phi_eval.systems import Detect

SIZES = {200: 200, 1_000: 200, 4_000: 100, 20_000: 50}  # characters: how many texts of it
_TURN = 1_000  # a conversation is cut into turns of about this many characters
_NEW_TURN = 200
_ORG = b"latency of the evaluation".ljust(32, b".")
_POOLED = "pool, wall, {}"


class Texts:
    """Texts of a given length, documents in an order that no text before had, so that each one is first seen."""

    def __init__(self, documents: list[str]) -> None:
        self._documents = documents
        self._random = random.Random(4)
        self._made = 0

    def of(self, characters: int) -> str:
        self._made += 1
        text = f"Note {self._made}. "
        while len(text) < characters:
            text += self._random.choice(self._documents) + "\n\n"
        return text[:characters]


def measure(detect: "Detect", documents: list[str], others: dict[str, "Detect"], tier: Tier) -> dict[str, Any]:
    """`others` are slower: a tenth of the texts, of which a 99th percentile is no more than the slowest."""
    texts = Texts(documents)
    started = os.getloadavg()
    rows: list[dict[str, Any]] = []
    for name, other in others.items():
        for size, count in SIZES.items():
            rows += _engine(other, name, [texts.of(size) for _ in range(count // 10)])
    for size, count in SIZES.items():
        rows += _engine(detect, "engine alone, first seen", [texts.of(size) for _ in range(count)])
    rows += asyncio.run(_pool(texts, tier))
    return {"rows": rows, "load": [round(started[0], 1), round(os.getloadavg()[0], 1)]}


def _engine(detect: "Detect", name: str, texts: list[str]) -> list[dict[str, Any]]:
    cpu: list[float] = []
    wall: list[float] = []
    for text in texts:
        cpu_before, wall_before = time.process_time(), time.perf_counter()
        detect(text)
        cpu.append(time.process_time() - cpu_before)
        wall.append(time.perf_counter() - wall_before)
    size = len(texts[0])
    return [percentiles(size, f"{name}, CPU", cpu), percentiles(size, f"{name}, wall", wall)]


async def _pool(texts: Texts, tier: Tier) -> list[dict[str, Any]]:
    pool = PresidioPool(PoolSettings(tier=tier))
    await pool.start()
    rows: list[dict[str, Any]] = []

    async def took(turns: list[str]) -> float:
        before = time.perf_counter()
        await pool.detect(turns, time.monotonic() + 120, _ORG)
        return time.perf_counter() - before

    try:
        await took([texts.of(_TURN)])
        for size, count in SIZES.items():
            first: list[float] = []
            again: list[float] = []
            grown: list[float] = []
            for _ in range(count):
                turns = _turns(texts.of(size))
                first.append(await took(turns))
                again.append(await took(turns))
                grown.append(await took([*turns, texts.of(_NEW_TURN)]))
            rows += [
                percentiles(size, _POOLED.format("first seen"), first),
                percentiles(size, _POOLED.format("re-sent"), again),
                percentiles(size, _POOLED.format(f"re-sent and {_NEW_TURN} new characters"), grown),
            ]
    finally:
        await pool.stop()
    return rows


def _turns(text: str) -> list[str]:
    return [text[start : start + _TURN] for start in range(0, len(text), _TURN)]


def percentiles(size: int, what: str, seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return {"characters": size, "what": what, "n": len(ordered), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99)}
