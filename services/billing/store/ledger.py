"""Thresholds that were crossed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from services.billing.domain.accounts import Crossing
from services.billing.store.tables import threshold_crossings
from services.chassis.database import Tx


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
