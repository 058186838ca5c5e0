"""Sums of settlements."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, case, cast, func, null, select

from services.billing.domain.usage import Group, Grouping
from services.billing.store.tables import settlements
from services.chassis.access import OrgId
from services.chassis.database import Tx

_KEYS: dict[Grouping, ColumnElement] = {
    Grouping.DAY: func.to_char(func.timezone("UTC", settlements.c.occurred_at), "YYYY-MM-DD"),
    Grouping.MODEL: settlements.c.model,
    # What agents used is one group of no key, and the reverse.
    Grouping.API_KEY: case((settlements.c.agent_id == "", settlements.c.principal_id), else_=null()),
    Grouping.AGENT: func.nullif(settlements.c.agent_id, ""),
}


async def grouped(tx: Tx, org_id: OrgId, start: datetime, end: datetime, grouping: Grouping) -> tuple[Group, ...]:
    """Settlements of requests that ended from `start` to before `end`. Days ascending, everything else most credits first."""
    key = _KEYS[grouping].label("key")
    spent = func.sum(settlements.c.credits).label("credits")
    read = settlements.c.input_tokens + settlements.c.cache_read_tokens + settlements.c.cache_write_tokens
    found = await tx.execute(
        select(
            key,
            func.count().label("requests"),
            cast(func.sum(read), BigInteger).label("input_tokens"),
            cast(func.sum(settlements.c.output_tokens), BigInteger).label("output_tokens"),
            spent,
        )
        .where(settlements.c.org_id == org_id, settlements.c.occurred_at >= start, settlements.c.occurred_at < end)
        .group_by(key)
        .order_by(*((key,) if grouping is Grouping.DAY else (spent.desc(), key)))
    )
    return tuple(Group(**row) for row in found.mappings())
