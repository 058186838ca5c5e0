"""Records and conversations that are older than their organization keeps them."""

from dataclasses import dataclass
from typing import LiteralString

import sqlalchemy as sa

from services.chassis import audit
from services.chassis.access import OrgId
from services.chassis.database import Database, Tx


@dataclass(frozen=True, slots=True)
class Expired:
    """How many were deleted."""

    records: int
    turns: int
    conversations: int


async def organizations(db: Database) -> list[OrgId]:
    """Those that have records or conversations."""
    async with db.hot.connection() as connection:
        found = await connection.execute(_ORGANIZATIONS)
        return [OrgId(org_id) for (org_id,) in await found.fetchall()]


async def expire(tx: Tx, org_id: OrgId, before: str, limit: int, *, settle_topic: str) -> Expired:
    """Delete at most `limit` records whose id is below the ULID `before`, the oldest first, with what was said in them.

    A record that has not ended stays, and one whose settlement or audit event has not been delivered.
    """
    values = {
        "org_id": org_id,
        "before": before,
        "limit": limit,
        "settle_topic": settle_topic,
        "audit_topic": audit.TOPIC,
    }
    records, turns = (await tx.execute(_EXPIRE, values)).one()
    # Locked first and judged by the next statement's snapshot: a turn that is being dispatched has been committed by then, or finds
    # its conversation gone.
    locked = (await tx.execute(_SILENT, values)).scalars().all()
    dropped = await tx.execute(_DROP_SILENT, values | {"conversation_ids": locked}) if locked else None
    return Expired(records, turns, dropped.rowcount if dropped else 0)


async def outlived(db: Database, org_id: OrgId, after: str, limit: int) -> list[str]:
    """Conversations that lost a part, by id, from the one behind `after`."""
    async with db.hot.connection() as connection:
        found = await connection.execute(_OUTLIVED, (org_id, after, limit))
        return [conversation_id for (conversation_id,) in await found.fetchall()]


async def replace_placeholders(
    tx: Tx, org_id: OrgId, conversation_id: str, *, version: int, turns: int, placeholders: bytes
) -> None:
    """Only where the conversation still is at `version` and has as many `turns`: what went on meanwhile is looked at again."""
    await tx.execute(
        _REPLACE,
        {
            "org_id": org_id,
            "conversation_id": conversation_id,
            "version": version,
            "turns": turns,
            "placeholders": placeholders,
        },
    )


async def drop_empty_months(db: Database) -> int:
    """Partitions of months that ended two months ago or more, and hold nothing any more; how many."""
    async with db.hot.connection() as connection:
        found = await connection.execute("SELECT drop_empty_record_partitions(now() - interval '2 months')")
        row = await found.fetchone()
        return row[0] if row else 0


# From one organization to the next in the primary key: as many probes as organizations, not as many rows as records.
_ORGANIZATIONS: LiteralString = """
WITH RECURSIVE seen AS (
    (SELECT org_id FROM records ORDER BY org_id LIMIT 1)
    UNION ALL
    SELECT (SELECT next.org_id FROM records AS next WHERE next.org_id > seen.org_id ORDER BY next.org_id LIMIT 1)
      FROM seen WHERE seen.org_id IS NOT NULL
)
SELECT org_id FROM seen WHERE org_id IS NOT NULL
UNION SELECT org_id FROM conversations WHERE outlived
"""

_EXPIRE = sa.text(
    """
    WITH due AS MATERIALIZED (
        SELECT request_id FROM records
         WHERE org_id = :org_id AND request_id < :before AND status <> 'dispatched'
           AND NOT EXISTS (SELECT FROM outbox
                            WHERE outbox.org_id = :org_id AND outbox.topic = :settle_topic AND outbox.id = records.request_id)
           AND NOT EXISTS (SELECT FROM outbox
                            WHERE outbox.org_id = :org_id AND outbox.topic = :audit_topic AND outbox.id = ANY (records.audit_ids))
         ORDER BY request_id LIMIT :limit FOR UPDATE
    ), gone AS (
        DELETE FROM records USING due
         WHERE records.org_id = :org_id AND records.request_id = due.request_id AND records.request_id < :before
        RETURNING records.request_id, records.conversation_id
    ), turns AS (
        DELETE FROM conversation_turns AS turn USING gone
         WHERE turn.org_id = :org_id AND turn.conversation_id = gone.conversation_id AND turn.request_id = gone.request_id
        RETURNING turn.request_id
    ), outlived AS (
        UPDATE conversations SET outlived = true
         WHERE org_id = :org_id AND conversation_id IN (SELECT conversation_id FROM gone)
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM turns)
    """
)

_NOBODY_SPEAKS: LiteralString = """
    AND NOT EXISTS (SELECT FROM conversation_turns AS turn
                     WHERE turn.org_id = conversations.org_id AND turn.conversation_id = conversations.conversation_id)
    AND NOT EXISTS (SELECT FROM records
                     WHERE records.org_id = conversations.org_id AND records.conversation_id = conversations.conversation_id
                       AND records.status = 'dispatched')
"""

_SILENT = sa.text(
    "SELECT conversation_id FROM conversations WHERE org_id = :org_id AND outlived"  # noqa: S608
    f"{_NOBODY_SPEAKS} ORDER BY conversation_id LIMIT :limit FOR UPDATE"
)

_DROP_SILENT = sa.text(
    "DELETE FROM conversations WHERE org_id = :org_id AND conversation_id = ANY (:conversation_ids)"  # noqa: S608
    f"{_NOBODY_SPEAKS}"
)

_OUTLIVED: LiteralString = """
SELECT conversation_id FROM conversations WHERE org_id = %s AND outlived AND conversation_id > %s ORDER BY conversation_id LIMIT %s
"""

_REPLACE = sa.text(
    """
    UPDATE conversations SET placeholders = :placeholders, version = version + 1, outlived = false
     WHERE org_id = :org_id AND conversation_id = :conversation_id AND version = :version
       AND :turns = (SELECT count(*) FROM conversation_turns AS turn
                      WHERE turn.org_id = conversations.org_id AND turn.conversation_id = conversations.conversation_id)
    """
)
