"""What reached the provider: kept for tests to read, bounded in number and in bytes."""

import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MOST_EXCHANGES = 5_000
MOST_BYTES = 256 * 1024 * 1024


class Outcome(StrEnum):
    RUNNING = "running"
    ANSWERED = "answered"
    CUT = "cut"
    """We closed the connection, as directed."""
    ABANDONED = "abandoned"
    """The caller went away before the answer was whole."""


@dataclass(slots=True)
class Exchange:
    """One request and how it ended. Times are seconds of the wall clock."""

    number: int
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    status: int | None = None
    outcome: Outcome = Outcome.RUNNING
    events: int = 0
    message_id: str | None = None
    """Of the answer, once its usage was reported."""
    usage: dict[str, Any] = field(default_factory=dict)
    """What was reported of it so far; later reports replace what they name."""

    def report(self, message_id: str, usage: dict[str, Any]) -> None:
        self.message_id = message_id
        self.usage |= usage

    def end(self, outcome: Outcome) -> None:
        """The first ending counts."""
        if self.ended_at is None:
            self.outcome, self.ended_at = outcome, time.time()


class Journal:
    """The newest exchanges, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Exchange] = deque()
        self._bytes = 0
        self._total = 0

    @property
    def total(self) -> int:
        """How many were ever received, forgotten ones included."""
        return self._total

    def open(self, method: str, path: str, query: str, headers: dict[str, str], body: str) -> Exchange:
        self._total += 1
        exchange = Exchange(self._total, method, path, query, headers, body)
        self._kept.append(exchange)
        self._bytes += len(body)
        while len(self._kept) > MOST_EXCHANGES or (self._bytes > MOST_BYTES and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft().body)
        return exchange

    def since(self, number: int) -> list[Exchange]:
        """Those with a number greater than `number`."""
        return [exchange for exchange in self._kept if exchange.number > number]

    def clear(self) -> None:
        """Forgets the exchanges; the numbering goes on."""
        self._kept.clear()
        self._bytes = 0
