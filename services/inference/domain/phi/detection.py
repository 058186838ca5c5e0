"""The scanner as the guard sees it."""

from collections.abc import Sequence
from typing import Protocol

from services.inference.domain.phi.leaves import Leaves
from services.inference.domain.phi.spans import Span


class Detector(Protocol):
    async def detect(self, blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        """The detections in each block. `deadline` is on `time.monotonic()`; raises PhiGuardUnavailable."""
        ...


async def fill(leaves: Leaves, detector: Detector, org_key: bytes, deadline: float) -> None:
    """Gives each leaf what was found in it."""
    found = await detected([block.text for block in leaves.blocks], detector, org_key, deadline)
    for block, spans in zip(leaves.blocks, found, strict=True):
        block.give_back(spans)


async def detected(blocks: list[str], detector: Detector, org_key: bytes, deadline: float) -> list[list[Span]]:
    if not blocks:
        return []
    return await detector.detect(blocks, deadline, org_key)
