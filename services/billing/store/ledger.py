"""The journal against the balances, and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from services.billing.domain.accounts import Crossing
from services.billing.store.tables import accounts, threshold_crossings
from services.chassis.access import OrgId
from services.chassis.database import Tx

# One snapshot: settlements that commit meanwhile are in all of the sums or in none.
_DIFFERENCES = text(
    """
    WITH journal AS (
        SELECT org_id, cycle_start, -sum(source) AS given, sum(allotment) AS allotment, sum(overage) AS overage,
               sum(reserved) AS reserved, sum(used) AS used
        FROM entries WHERE :org_id IN ('', org_id) GROUP BY org_id, cycle_start
    ), held AS (
        SELECT org_id, cycle_start, sum(bound) AS reserved FROM reservations WHERE :org_id IN ('', org_id)
        GROUP BY org_id, cycle_start
    ), settled AS (
        SELECT org_id, cycle_start, sum(credits) AS used, count(*) AS requests FROM settlements WHERE :org_id IN ('', org_id)
        GROUP BY org_id, cycle_start
    ), shown AS (
        SELECT org_id, cycle_start, sum(credits) AS used, sum(requests) AS requests FROM usage_days
        WHERE :org_id IN ('', org_id) GROUP BY org_id, cycle_start
    ), booked AS (
        SELECT org_id, cycle_start, cycle_end, allotment + overage AS given, used FROM cycles WHERE :org_id IN ('', org_id)
    ), differences AS (
        SELECT org_id, cycle_start, v.what, v.balance, v.journal
        FROM booked FULL JOIN journal j USING (org_id, cycle_start) FULL JOIN held h USING (org_id, cycle_start)
             FULL JOIN settled s USING (org_id, cycle_start) FULL JOIN shown d USING (org_id, cycle_start),
             LATERAL (VALUES
                 ('given', coalesce(booked.given, 0), coalesce(j.given, 0)),
                 ('used', coalesce(booked.used, 0), coalesce(j.used, 0)),
                 ('settled', coalesce(s.used, 0), coalesce(j.used, 0)),
                 ('by day', coalesce(d.used, 0), coalesce(s.used, 0)),
                 ('requests by day', coalesce(d.requests, 0), coalesce(s.requests, 0)),
                 ('held', coalesce(h.reserved, 0), coalesce(j.reserved, 0)),
                 ('legs', 0, coalesce(j.allotment + j.overage + j.reserved + j.used - j.given, 0))
             ) AS v (what, balance, journal)
        UNION ALL
        SELECT a.org_id, NULL, 'reserved', a.reserved,
               coalesce((SELECT sum(j.reserved) FROM journal j WHERE j.org_id = a.org_id), 0)
        FROM accounts a WHERE :org_id IN ('', a.org_id)
        UNION ALL
        SELECT c.org_id, c.cycle_start, 'gap', 0, 1
        FROM cycles c JOIN accounts a USING (org_id)
        WHERE :org_id IN ('', c.org_id) AND c.cycle_start <> a.cycle_start
          AND NOT EXISTS (SELECT FROM cycles n WHERE n.org_id = c.org_id AND n.cycle_start = c.cycle_end)
    )
    SELECT org_id, cycle_start, what, balance, journal FROM differences WHERE balance <> journal
    ORDER BY org_id, cycle_start, what LIMIT 1000
    """
)


async def differences(tx: Tx, org_id: OrgId | None) -> tuple[int, list[str]]:
    """How many accounts there are, and a line for each balance that is not what the journal says. None: all organizations."""
    wanted = select(func.count()).select_from(accounts)
    if org_id is not None:
        wanted = wanted.where(accounts.c.org_id == org_id)
    checked = (await tx.execute(wanted)).scalar_one()
    rows = await tx.execute(_DIFFERENCES, {"org_id": org_id or ""})
    lines = [
        f"{row.org_id} {row.cycle_start.isoformat() if row.cycle_start else '-'} {row.what}:"
        f" balance {row.balance.normalize():f}, journal {row.journal.normalize():f}"
        for row in rows
    ]
    return checked, lines


async def add_crossings(tx: Tx, crossings: Sequence[Crossing]) -> None:
    """Once a cycle and threshold: later ones of the same are left out."""
    for crossing in crossings:
        await tx.execute(
            insert(threshold_crossings)
            .values(
                org_id=crossing.org_id,
                cycle_start=crossing.cycle_start,
                threshold=crossing.threshold,
                used=crossing.used,
                limit=crossing.limit,
                crossed_at=crossing.crossed_at,
            )
            .on_conflict_do_nothing()
        )


async def take_new_crossings(tx: Tx, at: datetime, limit: int) -> list[Crossing]:
    """Mark as announced what is not yet, in the order it was crossed; no two replicas take the same."""
    t = threshold_crossings
    new = (
        select(t.c.org_id, t.c.cycle_start, t.c.threshold)
        .where(t.c.announced_at.is_(None))
        .order_by(t.c.crossed_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .subquery()
    )
    taken = await tx.execute(
        update(t)
        .values(announced_at=at)
        .where(t.c.org_id == new.c.org_id, t.c.cycle_start == new.c.cycle_start, t.c.threshold == new.c.threshold)
        .returning(*t.c)
    )
    crossings = [Crossing(**row) for row in taken.mappings()]
    return sorted(crossings, key=lambda crossing: (crossing.crossed_at, crossing.threshold))
