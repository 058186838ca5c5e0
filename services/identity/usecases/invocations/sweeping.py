"""Sweeping: what happens to invocations although nobody calls. Any replica may sweep at any time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import structlog

from services.chassis import audit
from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database
from services.chassis.outbox import Owed
from services.identity.domain.invocations import Status
from services.identity.store import invocations as store
from services.identity.store.invocations import Overdue
from services.identity.store.transactions import Connection, in_one_transaction

KEPT = timedelta(days=30)
_USES_KEPT = timedelta(hours=2)
_SWEEP_EVERY = 5.0
_SWEEPS_A_PRUNING = 120
_MOST = 500

log = structlog.get_logger()


class Sweeper:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def expire(self) -> int:
        """End invocations that nobody completed in time, at most 500; how many."""
        return await in_one_transaction(
            self._db, lambda connection: store.overdue(connection, now=self._clock.now(), limit=_MOST), self._expire
        )

    async def prune(self) -> None:
        """Forget invocations that ended 30 days ago, and uses that no rate counts any more."""
        now = self._clock.now()
        async with self._db.hot.connection() as connection:
            while await store.prune(connection, ended_before=now - KEPT, limit=_MOST) == _MOST:
                pass
            await store.prune_uses(connection, before=now - _USES_KEPT)

    async def run(self) -> None:
        """Sweep every five seconds and prune every ten minutes, until cancelled. A database that is away is waited for."""
        while True:
            for sweep in range(_SWEEPS_A_PRUNING):
                try:
                    while await self.expire() == _MOST:
                        pass
                    if sweep == 0:
                        await self.prune()
                except UNAVAILABLE as failure:
                    log.warning("invocations were not swept", exc_info=failure)
                await asyncio.sleep(_SWEEP_EVERY)

    async def _expire(self, connection: Connection, overdue: list[Overdue]) -> int:
        ended = [
            replace(each.invocation, status=Status.EXPIRED, ended_at=each.invocation.expires_at) for each in overdue
        ]
        await store.end(connection, ended, [self._told(each) for each in overdue])
        return len(overdue)

    def _told(self, overdue: Overdue) -> Owed:
        invocation = overdue.invocation
        event = audit.build(
            self._clock,
            org_id=invocation.org_id,
            action="agent.invocation_cancelled",
            entity_type="invocation",
            entity_id=invocation.id,
            metadata={"reason": "expired"},
            # Nobody did it, but it is still said for whom the credential acted.
            actor=audit.Actor(
                type="system",
                id="system",
                user_id=overdue.user_id,
                credential_id=invocation.credential_id,
                delegation_path=overdue.delegation_path,
            ),
        )
        return Owed(event.id, invocation.org_id, audit.TOPIC, event.SerializeToString())
