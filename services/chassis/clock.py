"""The time, injected so that tests can hold it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def unix_ms(at: datetime) -> int:
    """Whole milliseconds since the Unix epoch."""
    # Not by `timestamp()`: a float loses a millisecond here and there.
    return (at - _EPOCH) // _MILLISECOND


def from_unix_ms(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND
