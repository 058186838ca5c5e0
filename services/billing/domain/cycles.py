"""Monthly cycles, anchored at the moment an account was opened.

Cycle n begins n calendar months after the anchor, in UTC, at the anchor's time of day; where a month lacks the anchor's day, on its last one. Each
beginning is computed from the anchor and not from the beginning before it, so that the 31st comes back after February. A cycle ends where the next
begins: no gap, no overlap.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Cycle:
    """`start` is part of it, `end` is not."""

    start: datetime
    end: datetime


def beginning(anchor: datetime, number: int) -> datetime:
    """When cycle `number`, counted from 0, begins."""
    # A driver gives moments in its session's zone, whose calendar is not the cycles'.
    anchor = anchor.astimezone(UTC)
    months = anchor.year * 12 + anchor.month - 1 + number
    year, month = divmod(months, 12)
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def cycle_at(anchor: datetime, moment: datetime) -> Cycle:
    """The cycle that holds `moment`; the first one for moments before the anchor."""
    number = _number_at(anchor, moment)
    return Cycle(beginning(anchor, number), beginning(anchor, number + 1))


def cycles_from(anchor: datetime, start: datetime, until: datetime) -> Iterator[Cycle]:
    """Every cycle from the one that begins at `start` to the one that holds `until`."""
    number = _number_at(anchor, start)
    if beginning(anchor, number) != start:
        raise ValueError("no cycle begins there")
    while (cycle := Cycle(beginning(anchor, number), beginning(anchor, number + 1))).start <= until:
        yield cycle
        number += 1


def _number_at(anchor: datetime, moment: datetime) -> int:
    anchor, moment = anchor.astimezone(UTC), moment.astimezone(UTC)
    number = max(0, (moment.year - anchor.year) * 12 + moment.month - anchor.month)
    return number - 1 if number and beginning(anchor, number) > moment else number
