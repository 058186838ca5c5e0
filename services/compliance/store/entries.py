"""The audit log's entries. Read here; only the sequencer writes them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import LargeBinary, cast, literal, null, select, union_all
from sqlalchemy.types import BigInteger

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.domain.leaves import Entry, event_of
from services.compliance.store.tables import audit_entries, audit_intake


@dataclass(frozen=True, slots=True)
class Filter:
    """Each one that is set must hold."""

    action: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    actor_id: str | None = None
    since: datetime | None = None
    """Inclusive."""
    until: datetime | None = None
    """Exclusive."""


async def list_entries(tx: Tx, org_id: OrgId, chosen: Filter, *, before: int | None, limit: int) -> list[Entry]:
    """By seq, descending, from the one before `before`."""
    columns = audit_entries.c
    query = select(columns.leaf, columns.seq, columns.leaf_hash).where(columns.org_id == org_id)
    for column, value in (
        (columns.action, chosen.action),
        (columns.entity_type, chosen.entity_type),
        (columns.entity_id, chosen.entity_id),
        (columns.actor_id, chosen.actor_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if chosen.since is not None:
        query = query.where(columns.created_at >= chosen.since)
    if chosen.until is not None:
        query = query.where(columns.created_at < chosen.until)
    if before is not None:
        query = query.where(columns.seq < before)
    rows = await tx.execute(query.order_by(columns.seq.desc()).limit(limit))
    return [Entry(event_of(leaf), seq, leaf_hash) for leaf, seq, leaf_hash in rows]


async def find_entry(tx: Tx, org_id: OrgId, entry_id: str) -> Entry | None:
    """An entry, or an event that waits for its place. One statement: the event moves between two statements' snapshots."""
    entry, waits = audit_entries.c, audit_intake.c
    placed = select(entry.leaf, entry.seq, entry.leaf_hash, literal(0).label("rank"))
    waiting = select(
        waits.head.concat(waits.tail), cast(null(), BigInteger), cast(null(), LargeBinary), literal(1).label("rank")
    )
    rows = await tx.execute(
        union_all(
            placed.where(entry.org_id == org_id, entry.id == entry_id),
            waiting.where(waits.org_id == org_id, waits.id == entry_id),
        ).order_by("rank")
    )
    row = rows.first()
    return None if row is None else Entry(event_of(row[0]), row[1], row[2])
