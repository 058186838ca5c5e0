"""Timestamps on the wire: ISO 8601 with offset, `2026-05-11T12:00:00+00:00`."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: datetime) -> str:
    """In UTC with `+00:00`; milliseconds only where there are any."""
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds")


def parse_iso(text: str) -> datetime:
    """The moment in UTC. Raises ValueError for anything that is not ISO 8601 with an offset."""
    # A space is what a `+` becomes in a query string that was not percent-encoded.
    at = datetime.fromisoformat(text.strip().replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
    if at.tzinfo is None:
        raise ValueError("the offset is missing")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment is before the year 1 or after 9999") from None
