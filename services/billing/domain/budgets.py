"""Spend cap, thresholds and opt-ins, and what a change of them may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from services.chassis.errors import ValidationFailed

_MOST_CREDITS = 10**15
_MOST_THRESHOLDS = 3


@dataclass(frozen=True, slots=True)
class Budget:
    spend_cap: int | None
    """Credits a cycle; None: allotment and overage are the only limit."""
    alert_thresholds: tuple[int, ...]
    """Percentages of the limit, ascending."""
    opus_enabled: bool


def changed(budget: Budget, change: Mapping[str, Any]) -> Budget:
    """The budget after a change as JSON: an absent field is untouched, null clears. Raises ValidationFailed that names the field."""
    for name in change:
        if name == "credits_allotment":
            raise ValidationFailed("credits_allotment is the plan's and cannot be changed here.", param=name)
        if name not in _READERS:
            raise ValidationFailed("There is no such field in a budget.", param=name)
    return replace(budget, **{name: read(change[name]) for name, read in _READERS.items() if name in change})


def _spend_cap(value: Any) -> int | None:
    if value is None:
        return None
    cap = _whole(value)
    if cap is None or not 0 <= cap < _MOST_CREDITS:
        raise ValidationFailed("spend_cap must be a whole number of credits or null.", param="spend_cap")
    return cap


def _alert_thresholds(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > _MOST_THRESHOLDS:
        raise ValidationFailed(
            "alert_thresholds must be a list of at most three percentages.", param="alert_thresholds"
        )
    thresholds: list[int] = []
    for place, item in enumerate(value):
        percent = _whole(item)
        if percent is None or not 1 <= percent <= 99 or percent in thresholds:
            raise ValidationFailed(
                "A threshold must be a whole percentage from 1 to 99, named once.", param=f"alert_thresholds[{place}]"
            )
        thresholds.append(percent)
    return tuple(sorted(thresholds))


def _opus_enabled(value: Any) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ValidationFailed("opus_enabled must be true or false.", param="opus_enabled")
    return value


def _whole(value: Any) -> int | None:
    """The integer; JSON through protobuf makes every number a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


_READERS = {"spend_cap": _spend_cap, "alert_thresholds": _alert_thresholds, "opus_enabled": _opus_enabled}


def limit_of(spend_cap: Decimal | int | None, allotment: Decimal, overage: Decimal) -> Decimal:
    """What may be used in a cycle: the spend cap, or allotment and overage where that is less."""
    given = allotment + overage
    return given if spend_cap is None else min(Decimal(spend_cap), given)


def reached(thresholds: Sequence[int], used: Decimal, limit: Decimal) -> tuple[int, ...]:
    """The percentages of the limit that are used up. A limit of nothing has none: there is nothing to run out of."""
    if limit <= 0:
        return ()
    return tuple(threshold for threshold in thresholds if used * 100 >= limit * threshold)
