"""Budgets: the spend cap, its thresholds, and the opt-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.billing.domain.accounts import credits_of, crossings_of
from services.billing.domain.budgets import Budget, changed
from services.billing.domain.usage import shown
from services.billing.store import accounts as store
from services.billing.store import ledger
from services.billing.usecases.accounts import Accounts
from services.chassis.access import Principal
from services.chassis.audit import Actor, Trail
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.timestamps import iso
from services.chassis.watch import ChangeLog

_SYSTEM = Actor(type="system", id="billing")


@dataclass(frozen=True, slots=True)
class BudgetOfPlan:
    budget: Budget
    allotment: Decimal


class Budgets:
    def __init__(self, db: Database, clock: Clock, accounts: Accounts, trail: Trail, changes: ChangeLog) -> None:
        self._db = db
        self._clock = clock
        self._accounts = accounts
        self._trail = trail
        self._changes = changes

    async def get(self, caller: Principal) -> BudgetOfPlan:
        """Raises AccountNotOpen."""
        async with self._db.transaction(caller.org_id) as tx:
            account, cycle = await self._accounts.get(tx, caller.org_id)
        return BudgetOfPlan(account.budget, credits_of(account, cycle).granted)

    async def update(self, caller: Principal, change: Mapping[str, Any]) -> BudgetOfPlan:
        """Apply a partial change. When it has returned, no process still acts on an opt-in that was taken back.

        Raises ValidationFailed that names the field, AccountNotOpen.
        """
        seq: int | None = None
        async with self._db.transaction(caller.org_id) as tx:
            account, cycle = await self._accounts.get(tx, caller.org_id, lock=True)
            before, after = account.budget, changed(account.budget, change)
            if after != before:
                await store.set_budget(tx, caller.org_id, after)
                await ledger.add_crossings(tx, crossings_of(account, cycle, after, self._clock.now()))
                await self._trail.record(
                    tx,
                    org_id=caller.org_id,
                    action="budget.updated",
                    entity_type="budget",
                    entity_id=caller.org_id,
                    metadata=_difference(before, after),
                )
                if after.opus_enabled != before.opus_enabled:
                    seq = await self._changes.publish(tx, org_id=caller.org_id)
        if seq is not None:
            await self._changes.await_watchers(seq)
        return BudgetOfPlan(after, credits_of(account, cycle).granted)


class Thresholds:
    """Announces crossed thresholds: settlement notes them in its own statement, the audit event follows from here, once."""

    def __init__(self, db: Database, clock: Clock, trail: Trail) -> None:
        self._db = db
        self._clock = clock
        self._trail = trail

    async def announce(self, limit: int = 100) -> int:
        """Record `budget.threshold_reached` for what was crossed since; how many."""
        async with self._db.system_transaction() as tx:
            crossings = await ledger.take_new_crossings(tx, self._clock.now(), limit)
            for crossing in crossings:
                await self._trail.record(
                    tx,
                    org_id=crossing.org_id,
                    action="budget.threshold_reached",
                    entity_type="budget",
                    entity_id=crossing.org_id,
                    metadata={
                        "threshold": crossing.threshold,
                        "used": shown(crossing.used),
                        "limit": shown(crossing.limit),
                        "cycle_start": iso(crossing.cycle_start),
                    },
                    actor=_SYSTEM,
                )
        return len(crossings)

    async def run(self) -> None:
        """Announce for ever, within half a second."""
        while True:
            while await self.announce():
                pass
            await asyncio.sleep(0.5)


def _difference(before: Budget, after: Budget) -> dict[str, object]:
    """Old and new value of each field that changed."""
    pairs = {
        "spend_cap": (before.spend_cap, after.spend_cap),
        "alert_thresholds": (list(before.alert_thresholds), list(after.alert_thresholds)),
        "opus_enabled": (before.opus_enabled, after.opus_enabled),
    }
    return {name: {"old": old, "new": new} for name, (old, new) in pairs.items() if old != new}
