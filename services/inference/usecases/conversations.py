"""Conversations of the native surface: what was said, and the placeholders that stay the same through all of it."""

import orjson

from services.chassis.access import OrgId, Principal
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound
from services.chassis.sealing import Sealer
from services.inference.domain import phi
from services.inference.domain.record import Conversation
from services.inference.store import conversations as store
from services.inference.store.records import ConversationStep


class Conversations:
    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    async def get(self, caller: Principal, conversation_id: str) -> Conversation:
        """Raises ResourceNotFound, for another organization's too. An agent goes on only with what its own credential began."""
        stored = await store.find(self._db, caller.org_id, conversation_id)
        if stored is None or (caller.kind == "agent" and stored.principal_id != caller.id):
            raise ResourceNotFound("No such conversation.", param="conversation_id")
        placeholders = await self._open(caller.org_id, "conversations", conversation_id, stored.placeholders)
        conversation = Conversation(conversation_id, stored.version, placeholders.decode())
        for request_id, sealed in stored.turns:
            turn = await self._open(caller.org_id, "conversation_turns", f"{conversation_id}/{request_id}", sealed)
            said, answered = orjson.loads(turn)
            conversation.turns.append((said, answered))
        return conversation

    async def step(
        self, org_id: OrgId, conversation_id: str, known: Conversation | None, placeholders: phi.PlaceholderMap
    ) -> ConversationStep:
        """The map after a turn, sealed for the dispatching commit."""
        sealed = await self._sealer.seal(
            org_id, table="conversations", row=conversation_id, plaintext=placeholders.to_json().encode()
        )
        return ConversationStep(conversation_id, sealed, known.version if known else None)

    async def _open(self, org_id: OrgId, table: str, row: str, sealed: bytes) -> bytes:
        return await self._sealer.open(org_id, table=table, row=row, sealed=sealed)
