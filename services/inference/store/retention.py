"""Contents that are older than their organization keeps them. Records stay, without what was said."""

from typing import LiteralString

from services.chassis.database import Database
from services.chassis.ulids import ulid_time
from services.inference.domain.settings import Settings


async def horizons(db: Database) -> list[tuple[str, str]]:
    """(organization, the ULID before which its contents go), for every organization that may have any."""
    async with db.hot.connection() as connection:
        found = await connection.execute(_HORIZONS, {"default_days": Settings().retention_days})
        return [(org_id, ulid) for org_id, ulid in await found.fetchall()]


async def forget(db: Database, org_id: str, before: str, limit: int) -> int:
    """At most `limit` records lose their contents; how many. Conversations lose their turns, and end with the last one."""
    async with db.hot.connection() as connection, connection.transaction():
        values = {"org_id": org_id, "before": before, "at": ulid_time(before), "limit": limit}
        emptied = await connection.execute(_EMPTY_RECORDS, values)
        await connection.execute(_DROP_TURNS, values)
        await connection.execute(_DROP_CONVERSATIONS, values)
        return emptied.rowcount


_HORIZONS: LiteralString = """
SELECT data_keys.org_id, lowest_ulid(now() - make_interval(days => coalesce(settings.retention_days, %(default_days)s)))
  FROM (SELECT DISTINCT org_id FROM data_keys) AS data_keys LEFT JOIN settings USING (org_id)
"""
# Who has contents has a data key.

_EMPTY_RECORDS: LiteralString = """
UPDATE records SET request = NULL, answer = NULL
 WHERE org_id = %(org_id)s AND request_id IN (
    SELECT request_id FROM records
     WHERE org_id = %(org_id)s AND request_id < %(before)s AND (request IS NOT NULL OR answer IS NOT NULL) AND status <> 'dispatched'
     ORDER BY request_id LIMIT %(limit)s)
"""

_DROP_TURNS: LiteralString = """
DELETE FROM conversation_turns WHERE org_id = %(org_id)s AND request_id < %(before)s
"""

_DROP_CONVERSATIONS: LiteralString = """
DELETE FROM conversations
 WHERE org_id = %(org_id)s AND created_at < %(at)s
   AND NOT EXISTS (SELECT FROM conversation_turns AS turn
                    WHERE turn.org_id = conversations.org_id AND turn.conversation_id = conversations.conversation_id)
"""
