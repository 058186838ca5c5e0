"""Accounts: opened for new organizations, rolled from cycle to cycle, steered by the operator."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from services.billing.domain.accounts import Account, CycleBalances, crossings_of
from services.billing.domain.adjustments import Posting, Reason, check_adjustment, check_pack, check_repeat
from services.billing.domain.cycles import cycle_at, cycles_from
from services.billing.domain.errors import AccountNotOpen
from services.billing.domain.usage import exact
from services.billing.store import accounts as store
from services.billing.store import ledger, reconciliation
from services.chassis.access import OrgId
from services.chassis.audit import Actor, Trail
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.timestamps import iso

_SYSTEM = Actor(type="system", id="billing")


class Accounts:
    def __init__(self, db: Database, clock: Clock, trail: Trail) -> None:
        self._db = db
        self._clock = clock
        self._trail = trail

    async def open(self, org_id: OrgId, *, plan: str, opened_at: datetime) -> None:
        """Open the account with the cycles since `opened_at`; nothing happens when it is open. Raises ValidationFailed for an unknown plan."""
        anchor = opened_at.astimezone(UTC)
        async with self._db.transaction(org_id) as tx:
            await _check_plan(tx, plan)
            first = cycle_at(anchor, anchor)
            if await store.open_account(tx, org_id, plan=plan, anchor=anchor, first=first):
                now = self._clock.now()
                await store.enter_cycle(tx, org_id, first, plan=plan, at=now)
                await self._trail.record(
                    tx,
                    org_id=org_id,
                    action="account.opened",
                    entity_type="account",
                    entity_id=org_id,
                    metadata={"plan": plan, "cycle_start": iso(first.start), "cycle_end": iso(first.end)},
                )
                await self._roll_if_over(tx, org_id)

    async def roll(self, org_id: OrgId) -> None:
        """Enter every cycle that has begun since, one after the other. Nothing happens while the current one runs."""
        async with self._db.transaction(org_id) as tx:
            await self._roll_if_over(tx, org_id)

    async def roll_overdue(self, limit: int = 100) -> int:
        """Roll accounts that nobody has used since their cycle ended; how many."""
        async with self._db.system_transaction() as tx:
            overdue = await store.overdue(tx, self._clock.now(), limit)
        for org_id in overdue:
            await self.roll(org_id)
        return len(overdue)

    async def get(self, tx: Tx, org_id: OrgId, *, lock: bool = False) -> tuple[Account, CycleBalances]:
        """The account and its current cycle, rolled where that was due. Raises AccountNotOpen."""
        account = await (store.lock if lock else store.find)(tx, org_id)
        if account is not None and self._clock.now() >= account.cycle_end:
            account = await self._roll_if_over(tx, org_id)
        if account is None:
            raise AccountNotOpen
        return account, await store.get_cycle(tx, account)

    async def change_plan(self, org_id: OrgId, plan: str) -> None:
        """From the next cycle on. Raises ValidationFailed for an unknown plan, ResourceNotFound."""
        async with self._db.transaction(org_id) as tx:
            await _check_plan(tx, plan)
            account, _ = await self._known(tx, org_id)
            chosen = account.next_plan or account.plan
            if plan == chosen:
                return
            await store.set_next_plan(tx, org_id, None if plan == account.plan else plan)
            await self._trail.record(
                tx,
                org_id=org_id,
                action="account.plan_changed",
                entity_type="account",
                entity_id=org_id,
                metadata={"plan": {"old": chosen, "new": plan}, "effective_at": iso(account.cycle_end)},
            )

    async def show(self, org_id: OrgId) -> tuple[Account, CycleBalances]:
        """The account and its current cycle. Raises ResourceNotFound."""
        async with self._db.transaction(org_id) as tx:
            return await self._known(tx, org_id)

    async def add_overage(self, org_id: OrgId, *, credits_: int, pack_id: str) -> None:
        """Add a pack to the current cycle, with which it ends; once by its id.

        Raises ResourceNotFound, ValidationFailed for an id that was used for other credits.
        """
        pack = Posting(Decimal(credits_))
        async with self._db.transaction(org_id) as tx:
            account, cycle = await self._known(tx, org_id)
            posted = await store.find_posting(tx, org_id, pack_id, kind="overage")
            if posted is not None:
                check_repeat(posted, pack, param="pack_id")
                return
            check_pack(cycle, pack.credits)
            await store.add_overage(tx, account, credits_=pack.credits, pack_id=pack_id, at=self._clock.now())
            await self._trail.record(
                tx,
                org_id=org_id,
                action="account.overage_added",
                entity_type="overage_pack",
                entity_id=pack_id,
                metadata={"credits": credits_, "cycle_start": iso(account.cycle_start)},
            )

    async def adjust(self, org_id: OrgId, *, credits_: Decimal, reason: Reason, adjustment_id: str) -> None:
        """Give credits to the current cycle or take some back; once by its id.

        Where more is taken than is left, the limit is below what was used and nothing is admitted until the next cycle.
        Raises ResourceNotFound, ValidationFailed for an id that was used otherwise.
        """
        posting = Posting(credits_, reason)
        async with self._db.transaction(org_id) as tx:
            account, cycle = await self._known(tx, org_id)
            posted = await store.find_posting(tx, org_id, adjustment_id, kind="adjustment")
            if posted is not None:
                check_repeat(posted, posting, param="adjustment_id")
                return
            check_adjustment(cycle, credits_)
            now = self._clock.now()
            await store.adjust(tx, account, posting=posting, adjustment_id=adjustment_id, at=now)
            adjusted = replace(cycle, allotment=cycle.allotment + credits_, adjustments=cycle.adjustments + credits_)
            await ledger.add_crossings(tx, crossings_of(account, adjusted, account.budget, now))
            await self._trail.record(
                tx,
                org_id=org_id,
                action="account.credits_adjusted",
                entity_type="credit_adjustment",
                entity_id=adjustment_id,
                metadata={"credits": exact(credits_), "reason": reason, "cycle_start": iso(account.cycle_start)},
            )

    async def reconcile(self, org_id: OrgId | None) -> tuple[int, list[str]]:
        """Check balances against the journal, and settlements against their catalogue, of all organizations for None.

        Accounts checked, and a line for each difference.
        """
        async with self._db.system_transaction() as tx:
            checked, differences = await reconciliation.differences(tx, org_id)
        return checked, [difference.line for difference in differences]

    async def _known(self, tx: Tx, org_id: OrgId) -> tuple[Account, CycleBalances]:
        try:
            return await self.get(tx, org_id, lock=True)
        except AccountNotOpen:
            raise ResourceNotFound("This organization has no account.", param="org_id") from None

    async def _roll_if_over(self, tx: Tx, org_id: OrgId) -> Account | None:
        now = self._clock.now()
        account = await store.lock(tx, org_id)
        if account is None or now < account.cycle_end:
            return account
        # A plan that was chosen holds from the first cycle after its choice.
        plan = account.next_plan or account.plan
        for cycle in cycles_from(account.anchor, account.cycle_end, now):
            await store.enter_cycle(tx, org_id, cycle, plan=plan, at=now)
            await self._trail.record(
                tx,
                org_id=org_id,
                action="account.cycle_started",
                entity_type="account",
                entity_id=org_id,
                metadata={"plan": plan, "cycle_start": iso(cycle.start), "cycle_end": iso(cycle.end)},
                # Whoever's call came first after the month's end did not begin the month.
                actor=_SYSTEM,
            )
        return await store.find(tx, org_id)


async def _check_plan(tx: Tx, plan: str) -> None:
    if not await store.plan_exists(tx, plan):
        raise ValidationFailed("There is no such plan in the catalogue.", param="plan")
