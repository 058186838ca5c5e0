"""A detector that finds what a test says, by pattern, and counts how often it was asked."""

import re
from collections.abc import Sequence

from services.inference.domain.phi import PhiGuardUnavailable, Span

PATTERNS = {
    "PERSON": r"John Smith|Jane Smith|Zylo|Ana \"Bo\" Li|(?<=Mr\. )Smith|(?<=Dr\. )Smith",
    "US_SSN": r"\d{3}-\d{2}-\d{4}",
    "MEDICAL_RECORD_NUMBER": r"(?<=mrn: )\w+",
    "LOCATION": r"San Francisco, CA",
    "URL": r"https?://\S+",
}


class PatternDetector:
    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.blocks: list[str] = []

    async def detect(self, blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        if self.broken:
            raise PhiGuardUnavailable("broken")
        self.blocks += blocks
        return [
            [
                Span(match.start(), match.end(), name, 0.9, "pattern")
                for name, pattern in PATTERNS.items()
                for match in re.finditer(pattern, block)
            ]
            for block in blocks
        ]

    async def read_pdf(self, data: bytes, deadline: float) -> str | None:
        return data.decode() if data.isascii() else None
