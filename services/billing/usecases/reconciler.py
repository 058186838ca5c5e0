"""The reconciler: every hour the books of recent cycles against each other. Any replica may run it at any time; one does."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import structlog

from services.billing.domain.reconciliation import INTERVAL, RECENT, Report
from services.billing.store import reconciliation as store
from services.chassis.audit import Actor, Trail
from services.chassis.clock import Clock
from services.chassis.database import Database

_SYSTEM = Actor(type="system", id="billing")

log = structlog.get_logger()


class Reconciler:
    """`pause`: how often it looks whether a report is due."""

    def __init__(self, db: Database, clock: Clock, trail: Trail, *, pause: timedelta = timedelta(minutes=1)) -> None:
        self._db = db
        self._clock = clock
        self._trail = trail
        self._pause = pause.total_seconds()

    async def report(self) -> Report | None:
        """Reconcile, keep and log the report, and record what differs now and did not before. None: it is not due, or another replica is at it."""
        now = self._clock.now()
        async with self._db.system_transaction() as tx:
            if not await store.take_turn(tx):
                return None
            last = await store.find_last(tx)
            if last is not None and now - last.reconciled_at < INTERVAL:
                return None
            since = now - RECENT
            checked, differences = await store.differences(tx, None, since=since)
            report = Report(now, since, checked, tuple(difference.key for difference in differences))
            await store.add(tx, report)
            known = set(last.found if last else ())
            new = Counter(difference.org_id for difference in differences if difference.key not in known)
            for org_id, count in new.items():
                await self._trail.record(
                    tx,
                    org_id=org_id,
                    action="account.difference_found",
                    entity_type="account",
                    entity_id=org_id,
                    metadata={"differences": count},
                    actor=_SYSTEM,
                )
        for found in differences:
            log.error("the books differ", org_id=found.org_id, name=found.what, request_id=found.request_id)
        log.info("books reconciled", checked=checked, differences=len(differences))
        return report

    async def run(self) -> None:
        """Report for ever."""
        while True:
            # First, so that a report which cannot be made is not tried again at once.
            await asyncio.sleep(self._pause)
            await self.report()
