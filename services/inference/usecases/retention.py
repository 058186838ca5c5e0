"""`retention_days`: a record, and what was said in it, is deleted after so many days. What it cost is billing's, that it was is the audit's."""

import asyncio
from datetime import timedelta

import orjson
import structlog

from services.chassis import database
from services.chassis.access import OrgId
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.outbox import Relay
from services.chassis.sealing import SealBroken, Sealer
from services.chassis.timestamps import iso
from services.chassis.ulids import lowest_ulid
from services.inference.clients.metering import SETTLE_TOPIC
from services.inference.domain.phi import PlaceholderMap
from services.inference.domain.settings import Settings
from services.inference.store import conversations, retention
from services.inference.store import settings as settings_store
from services.inference.store.conversations import StoredConversation

log = structlog.get_logger()

_MOST = 2000
"""Records of one transaction, and so of one audit event."""


class Retention:
    """`every`: seconds between two passes. Any replica may run it at any time, and be killed at any moment: the next pass goes on."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        sealer: Sealer,
        trail: Trail,
        relay: Relay,
        *,
        every: float = 6 * 3600,
        most: int = _MOST,
    ) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._trail = trail
        self._relay = relay
        self._every = every
        self._most = most

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.expire()
                await retention.drop_empty_months(self._db)
            except database.UNAVAILABLE as error:
                log.warning("old records were not deleted", exc_info=error)
            await asyncio.sleep(self._every)

    async def expire(self) -> int:
        """One pass over all organizations; how many records were deleted."""
        total = 0
        for org_id in await retention.organizations(self._db):
            gone = self._most
            while gone == self._most:
                gone = await self._batch(org_id)
                total += gone
            await self._forget_values(org_id)
        return total

    async def _batch(self, org_id: OrgId) -> int:
        async with self._db.transaction(org_id) as tx:
            # The lock that a change of the settings takes: what holds when this begins is what is obeyed, and one replica
            # after the other is at work on an organization.
            stored = await settings_store.lock(tx, org_id)
            days = stored.retention_days if stored else Settings().retention_days
            horizon = self._clock.now() - timedelta(days=days)
            expired = await retention.expire(tx, org_id, lowest_ulid(horizon), self._most, settle_topic=SETTLE_TOPIC)
            if expired.records or expired.conversations:
                await self._trail.record(
                    tx,
                    org_id=org_id,
                    action="inference.expired",
                    entity_type="settings",
                    entity_id=org_id,
                    metadata={
                        "records": expired.records,
                        "turns": expired.turns,
                        "conversations": expired.conversations,
                        "retention_days": days,
                        "before": iso(horizon),
                    },
                )
        self._relay.wake()
        return expired.records

    async def _forget_values(self, org_id: OrgId) -> None:
        """A conversation that goes on keeps no value of the messages that it lost."""
        after = ""
        while ids := await retention.outlived(self._db, org_id, after, self._most):
            for conversation_id in ids:
                stored = await conversations.find(self._db, org_id, conversation_id)
                try:
                    if stored is not None and stored.turns:
                        await self._replace(org_id, conversation_id, stored)
                except SealBroken as error:  # nobody can read those values any more, and the others' must still go
                    log.warning("a conversation does not open", conversation_id=conversation_id, exc_info=error)
            after = ids[-1]

    async def _replace(self, org_id: OrgId, conversation_id: str, stored: StoredConversation) -> None:
        opened = await self._sealer.open(org_id, table="conversations", row=conversation_id, sealed=stored.placeholders)
        texts: list[str] = []
        for request_id, sealed in stored.turns:
            row = f"{conversation_id}/{request_id}"
            texts += orjson.loads(await self._sealer.open(org_id, table="conversation_turns", row=row, sealed=sealed))
        kept = PlaceholderMap.from_json(opened.decode()).said_in(texts)
        placeholders = await self._sealer.seal(
            org_id, table="conversations", row=conversation_id, plaintext=kept.to_json().encode()
        )
        async with self._db.transaction(org_id) as tx:
            await settings_store.lock(tx, org_id)
            await retention.replace_placeholders(
                tx,
                org_id,
                conversation_id,
                version=stored.version,
                turns=len(stored.turns),
                placeholders=placeholders,
            )
