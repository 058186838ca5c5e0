"""Accounts and their cycles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.billing.domain.accounts import Account, CycleBalances
from services.billing.domain.adjustments import Posting, Reason
from services.billing.domain.budgets import Budget
from services.billing.domain.cycles import Cycle
from services.billing.store.tables import accounts, cycles, entries, plans
from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.chassis.ulids import lowest_ulid


async def find(tx: Tx, org_id: OrgId) -> Account | None:
    row = (await tx.execute(select(accounts).where(accounts.c.org_id == org_id))).mappings().first()
    return Account(**row) if row else None


async def lock(tx: Tx, org_id: OrgId) -> Account | None:
    """The row that every reservation and settlement of the organization takes: keep the transaction short."""
    row = (await tx.execute(select(accounts).where(accounts.c.org_id == org_id).with_for_update())).mappings().first()
    return Account(**row) if row else None


async def open_account(tx: Tx, org_id: OrgId, *, plan: str, anchor: datetime, first: Cycle) -> bool:
    """Whether the account was new."""
    opened = await tx.execute(
        upsert(accounts)
        .values(org_id=org_id, plan=plan, anchor=anchor, cycle_start=first.start, cycle_end=first.end)
        .on_conflict_do_nothing()
        .returning(accounts.c.org_id)
    )
    return opened.first() is not None


async def enter_cycle(tx: Tx, org_id: OrgId, cycle: Cycle, *, plan: str, at: datetime) -> None:
    """Begin a cycle: its balances, the plan's allotment in the journal, and the account points to it."""
    allotment = (await tx.execute(select(plans.c.credits_per_cycle).where(plans.c.id == plan))).scalar_one()
    await tx.execute(
        insert(cycles).values(
            org_id=org_id,
            cycle_start=cycle.start,
            cycle_end=cycle.end,
            plan=plan,
            allotment=allotment,
            adjustments=0,
            overage=0,
            used=0,
        )
    )
    await tx.execute(
        insert(entries).values(
            org_id=org_id,
            # One a cycle: the journal's key refuses a second.
            entry_id=lowest_ulid(cycle.start),
            kind="allotment",
            cycle_start=cycle.start,
            source=-allotment,
            allotment=allotment,
            booked_at=at,
        )
    )
    await tx.execute(
        update(accounts)
        .where(accounts.c.org_id == org_id)
        .values(cycle_start=cycle.start, cycle_end=cycle.end, plan=plan, next_plan=None)
    )


async def get_cycle(tx: Tx, account: Account) -> CycleBalances:
    """The account's current cycle."""
    found = await tx.execute(
        select(cycles).where(cycles.c.org_id == account.org_id, cycles.c.cycle_start == account.cycle_start)
    )
    return CycleBalances(**found.mappings().one())


async def set_budget(tx: Tx, org_id: OrgId, budget: Budget) -> None:
    await tx.execute(
        update(accounts)
        .where(accounts.c.org_id == org_id)
        .values(
            spend_cap=budget.spend_cap,
            alert_thresholds=list(budget.alert_thresholds),
            opus_enabled=budget.opus_enabled,
        )
    )


async def set_next_plan(tx: Tx, org_id: OrgId, plan: str | None) -> None:
    await tx.execute(update(accounts).where(accounts.c.org_id == org_id).values(next_plan=plan))


async def find_posting(
    tx: Tx, org_id: OrgId, entry_id: str, *, kind: Literal["overage", "adjustment"]
) -> Posting | None:
    """What was booked under this id, in whichever cycle."""
    e = entries.c
    found = await tx.execute(
        select(-(e.source + e.adjustment), e.reason).where(e.org_id == org_id, e.entry_id == entry_id, e.kind == kind)
    )
    row = found.first()
    return Posting(row[0], Reason(row[1]) if row[1] else None) if row else None


async def add_overage(tx: Tx, account: Account, *, credits_: Decimal, pack_id: str, at: datetime) -> None:
    """Book the pack in the account's current cycle."""
    await tx.execute(
        insert(entries).values(
            org_id=account.org_id,
            entry_id=pack_id,
            kind="overage",
            cycle_start=account.cycle_start,
            source=-credits_,
            overage=credits_,
            booked_at=at,
        )
    )
    await _add_to_cycle(tx, account, overage=cycles.c.overage + credits_)


async def adjust(tx: Tx, account: Account, *, posting: Posting, adjustment_id: str, at: datetime) -> None:
    """Book the adjustment in the account's current cycle: what it gives is free to use as the plan's credits are."""
    await tx.execute(
        insert(entries).values(
            org_id=account.org_id,
            entry_id=adjustment_id,
            kind="adjustment",
            cycle_start=account.cycle_start,
            adjustment=-posting.credits,
            allotment=posting.credits,
            reason=posting.reason,
            booked_at=at,
        )
    )
    c = cycles.c
    await _add_to_cycle(
        tx, account, allotment=c.allotment + posting.credits, adjustments=c.adjustments + posting.credits
    )


async def _add_to_cycle(tx: Tx, account: Account, **balances: ColumnElement[Decimal]) -> None:
    await tx.execute(
        update(cycles)
        .where(cycles.c.org_id == account.org_id, cycles.c.cycle_start == account.cycle_start)
        .values(**balances)
    )


async def plan_exists(tx: Tx, plan: str) -> bool:
    return (await tx.execute(select(func.count()).select_from(plans).where(plans.c.id == plan))).scalar_one() == 1


async def overdue(tx: Tx, at: datetime, limit: int) -> Sequence[OrgId]:
    """Accounts whose cycle is over."""
    found = await tx.execute(
        select(accounts.c.org_id).where(accounts.c.cycle_end <= at).order_by(accounts.c.cycle_end).limit(limit)
    )
    return [OrgId(org_id) for org_id in found.scalars()]
