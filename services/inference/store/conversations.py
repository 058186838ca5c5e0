"""Conversations of the native surface. Turns and placeholder maps are sealed."""

from dataclasses import dataclass

from services.chassis.access import OrgId
from services.chassis.database import Database


@dataclass(frozen=True, slots=True)
class StoredConversation:
    principal_id: str
    version: int
    placeholders: bytes
    turns: list[tuple[str, bytes]]
    """(request id, sealed turn), oldest first."""


async def find(db: Database, org_id: OrgId, conversation_id: str) -> StoredConversation | None:
    async with db.hot.connection() as connection, connection.transaction():
        found = await connection.execute(
            "SELECT principal_id, version, placeholders FROM conversations WHERE org_id = %s AND conversation_id = %s",
            (org_id, conversation_id),
        )
        row = await found.fetchone()
        if row is None:
            return None
        turns = await connection.execute(
            "SELECT request_id, turn FROM conversation_turns WHERE org_id = %s AND conversation_id = %s ORDER BY request_id",
            (org_id, conversation_id),
        )
        return StoredConversation(row[0], row[1], bytes(row[2]), [(r[0], bytes(r[1])) for r in await turns.fetchall()])
