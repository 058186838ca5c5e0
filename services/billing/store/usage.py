"""Sums of settlements: of whole days from the sums by day, of the rest of a range from the settlements themselves."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from services.billing.domain.usage import Group, Grouping
from services.billing.store.tables import settlements, usage_days
from services.chassis.access import OrgId
from services.chassis.database import Tx

_DAY = timedelta(days=1)
_DIMENSIONS = ("day", "model", "principal_id", "agent_id")
_SUMS = ("requests", "input_tokens", "output_tokens", "credits")


async def of_cycle(tx: Tx, org_id: OrgId, cycle_start: datetime, grouping: Grouping) -> tuple[Group, ...]:
    """What was charged to a cycle. Days ascending, everything else most credits first."""
    days = _days().where(usage_days.c.org_id == org_id, usage_days.c.cycle_start == cycle_start)
    return await _grouped(tx, days.subquery(), grouping)


async def of_range(tx: Tx, org_id: OrgId, start: datetime, end: datetime, grouping: Grouping) -> tuple[Group, ...]:
    """Requests that ended from `start` to before `end`. Ordered as `of_cycle`."""
    last = _midnight(end)
    ended = settlements.c.occurred_at
    # Less than a day before `last` there is no whole day; and after the last day of the calendar no midnight.
    first = last if last - start < _DAY else _midnight(start + _DAY - timedelta(microseconds=1))
    if first >= last:
        return await _grouped(tx, _single(org_id, and_(ended >= start, ended < end)).subquery(), grouping)
    edges = or_(and_(ended >= start, ended < first), and_(ended >= last, ended < end))
    whole = _days().where(
        usage_days.c.org_id == org_id, usage_days.c.day >= first.date(), usage_days.c.day < last.date()
    )
    return await _grouped(tx, union_all(whole, _single(org_id, edges)).subquery(), grouping)


def _midnight(moment: datetime) -> datetime:
    """The beginning of its day, UTC."""
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)


def _days() -> Select:
    return select(*(usage_days.c[name] for name in (*_DIMENSIONS, *_SUMS)))


def _single(org_id: OrgId, which: ColumnElement[bool]) -> Select:
    s = settlements.c
    return select(
        cast(func.timezone("UTC", s.occurred_at), Date).label("day"),
        s.model,
        s.principal_id,
        s.agent_id,
        literal(1, BigInteger).label("requests"),
        (s.input_tokens + s.cache_read_tokens + s.cache_write_tokens).label("input_tokens"),
        s.output_tokens,
        s.credits,
    ).where(s.org_id == org_id, which)


async def _grouped(tx: Tx, rows: FromClause, grouping: Grouping) -> tuple[Group, ...]:
    key = _key(rows, grouping).label("key")
    counts = [cast(func.sum(rows.c[name]), BigInteger).label(name) for name in _SUMS if name != "credits"]
    spent = func.sum(rows.c.credits).label("credits")
    order = (key,) if grouping is Grouping.DAY else (spent.desc(), key)
    found = await tx.execute(select(key, *counts, spent).group_by(key).order_by(*order))
    return tuple(Group(**row) for row in found.mappings())


def _key(rows: FromClause, grouping: Grouping) -> ColumnElement:
    match grouping:
        case Grouping.DAY:
            return func.to_char(rows.c.day, "YYYY-MM-DD")
        case Grouping.MODEL:
            return rows.c.model
        # What agents used is one group without a key, and the reverse.
        case Grouping.API_KEY:
            return case((rows.c.agent_id == "", rows.c.principal_id), else_=null())
        case Grouping.AGENT:
            return func.nullif(rows.c.agent_id, "")
