"""How far each organization's audit log has been turned into deliveries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from sqlalchemy import select, update

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.domain.checkpoints import LOG_OF_LOGS
from services.compliance.domain.leaves import Entry, event_of
from services.compliance.domain.webhooks import Endpoint
from services.compliance.store import webhooks
from services.compliance.store.tables import audit_entries, audit_trees, webhook_positions

_position, _tree, _entry = webhook_positions.c, audit_trees.c, audit_entries.c


async def log_size(connection: psycopg.AsyncConnection) -> int:
    """Leaves of the log of logs: it grows with every tree, in the same commit."""
    cursor = await connection.execute("SELECT size FROM audit_trees WHERE org_id = %s", (LOG_OF_LOGS,))
    row = await cursor.fetchone()
    return 0 if row is None else row[0]


async def grown(connection: psycopg.AsyncConnection, first: int, end: int) -> list[OrgId]:
    """Organizations with a position whose trees made the log of logs grow from `first` to `end` leaves."""
    cursor = await connection.execute(_GROWN, (first, end))
    return [OrgId(org_id) for (org_id,) in await cursor.fetchall()]


async def behind(connection: psycopg.AsyncConnection, among: Collection[OrgId] | None = None) -> list[OrgId]:
    """Those that have entries nobody has looked at; `among` None: of all organizations."""
    if among is None:
        cursor = await connection.execute(_BEHIND)
    else:
        cursor = await connection.execute(_BEHIND_AMONG, (list(among),))
    return [OrgId(org_id) for (org_id,) in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What comes next of one organization: entries from `first` up to, but without, `end`, and who may want them."""

    first: int
    end: int
    size: int
    """Of the tree."""
    entries: Sequence[Entry]
    endpoints: Sequence[Endpoint]


async def next_stretch(tx: Tx, org_id: OrgId, *, entries: int, deliveries: int) -> Stretch | None:
    """At most so many entries, and so few that they make at most so many deliveries. None when everything was looked at.

    Where no endpoint takes any, it is all the rest, and nothing is read.
    """
    place = select(_position.seq, _tree.size).join(audit_trees, _tree.org_id == _position.org_id)
    row = (await tx.execute(place.where(_position.org_id == org_id))).one_or_none()
    if row is None or row.seq >= row.size:
        return None
    endpoints = await webhooks.active_endpoints(tx, org_id)
    if not endpoints:
        return Stretch(row.seq, row.size, row.size, [], [])
    end = min(row.size, row.seq + max(1, min(entries, deliveries // len(endpoints))))
    leaves = select(_entry.leaf, _entry.seq, _entry.leaf_hash).where(
        _entry.org_id == org_id, _entry.seq >= row.seq, _entry.seq < end
    )
    found = await tx.execute(leaves.order_by(_entry.seq))
    read = [Entry(event_of(leaf), seq, leaf_hash) for leaf, seq, leaf_hash in found]
    return Stretch(row.seq, end, row.size, read, endpoints)


async def take(tx: Tx, org_id: OrgId, first: int) -> bool:
    """The right to go on from `first`, until `tx` ends; False when another worker has it, or has gone on from there."""
    where = (_position.org_id == org_id, _position.seq == first)
    rows = await tx.execute(select(_position.seq).where(*where).with_for_update(skip_locked=True))
    return rows.one_or_none() is not None


async def advance(tx: Tx, org_id: OrgId, end: int) -> None:
    await tx.execute(update(webhook_positions).where(_position.org_id == org_id).values(seq=end))


_GROWN: LiteralString = """
SELECT DISTINCT org_id FROM audit_checkpoints JOIN webhook_positions USING (org_id) WHERE head_seq >= %s AND head_seq < %s
"""

_BEHIND: LiteralString = """
SELECT org_id FROM webhook_positions AS position JOIN audit_trees AS tree USING (org_id) WHERE position.seq < tree.size
"""

_BEHIND_AMONG: LiteralString = _BEHIND + " AND org_id = ANY(%s)"
