"""The audit log's entries. Read here; only the sequencer writes them."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy import DateTime, LargeBinary, cast, literal, null, select, union_all
from sqlalchemy.types import BigInteger

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.domain.leaves import Entry, event_of
from services.compliance.store.tables import audit_entries, audit_intake, audit_times


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
    if chosen.since is not None or chosen.until is not None:
        front, behind = await _span(tx, org_id, chosen)
        if front is not None:
            query = query.where(columns.seq > front)
        if behind is not None:
            before = behind if before is None else min(before, behind)
    if before is not None:
        query = query.where(columns.seq < before)
    rows = await tx.execute(query.order_by(columns.seq.desc()).limit(limit))
    return [Entry(event_of(leaf), seq, leaf_hash) for leaf, seq, leaf_hash in rows]


async def _span(tx: Tx, org_id: OrgId, chosen: Filter) -> tuple[int | None, int | None]:
    """A place in front of everything that happened from `since` on, and one behind everything that happened before `until`.

    Without them a page of last year is found by walking through all of this year. Migration 0007 says why they are exact; they are
    read first because PostgreSQL takes no index for them as a part of the query, and none of its guesses.
    """
    disorder = select(audit_times.c.disorder).where(audit_times.c.org_id == org_id).scalar_subquery()
    times = audit_entries.c.created_at
    places = select(audit_entries.c.seq).where(audit_entries.c.org_id == org_id).limit(1)
    before, behind = null(), null()
    if chosen.since is not None:
        earlier = cast(chosen.since, DateTime(timezone=True)) - disorder
        before = places.where(times < earlier).order_by(times.desc()).scalar_subquery()
    if chosen.until is not None:
        later = cast(chosen.until, DateTime(timezone=True)) + disorder
        behind = places.where(times >= later).order_by(times).scalar_subquery()
    found = (await tx.execute(select(before, behind))).one()
    return found[0], found[1]


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


async def find_leaf(
    connection: psycopg.AsyncConnection, org_id: OrgId, entry_id: str
) -> tuple[int, bytes, bytes] | None:
    """Place, leaf and leaf hash of an entry that has its place."""
    statement = "SELECT seq, leaf, leaf_hash FROM audit_entries WHERE org_id = %s AND id = %s"
    cursor = await connection.execute(statement, (org_id, entry_id), binary=True)
    return await cursor.fetchone()


async def leaves(connection: psycopg.AsyncConnection, org_id: OrgId, first: int, end: int) -> list[bytes]:
    """From `first` up to, but without, `end`."""
    statement = "SELECT leaf FROM audit_entries WHERE org_id = %s AND seq >= %s AND seq < %s ORDER BY seq"
    cursor = await connection.execute(statement, (org_id, first, end), binary=True)
    return [leaf for (leaf,) in await cursor.fetchall()]


async def places(
    connection: psycopg.AsyncConnection, org_id: OrgId, since: datetime | None, until: datetime | None
) -> tuple[int, int]:
    """The first place, and the one behind the last, of what happened in this time; twice 0 where nothing did."""
    statement = """
        SELECT coalesce(min(seq), 0), coalesce(max(seq) + 1, 0) FROM audit_entries
        WHERE org_id = %s AND created_at >= coalesce(%s, '-infinity'::timestamptz) AND created_at < coalesce(%s, 'infinity'::timestamptz)
    """
    cursor = await connection.execute(statement, (org_id, since, until))
    row = await cursor.fetchone()
    if row is None:
        raise AssertionError("an aggregate has a row")
    return row[0], row[1]
