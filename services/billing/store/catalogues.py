"""The catalogues this deployment has seen, and the plans of the newest."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from services.billing.domain.catalogue import Plan
from services.billing.store.tables import catalogues, plans
from services.chassis.database import Tx


async def find(tx: Tx, version: str) -> bytes | None:
    """The document."""
    return (await tx.execute(select(catalogues.c.document).where(catalogues.c.version == version))).scalar_one_or_none()


async def add(tx: Tx, version: str, document: bytes, at: datetime) -> None:
    await tx.execute(insert(catalogues).values(version=version, document=document, seen_at=at).on_conflict_do_nothing())


async def set_plans(tx: Tx, version: str, offered: Iterable[Plan]) -> None:
    """Only forward: a process that still holds an older catalogue does not bring back its limits."""
    for plan in sorted(offered, key=lambda plan: plan.id):
        statement = insert(plans).values(
            id=plan.id,
            catalogue_version=version,
            credits_per_cycle=plan.credits_per_cycle,
            requests_per_minute=plan.limits.requests_per_minute,
            requests_per_day=plan.limits.requests_per_day,
            tokens_per_minute=plan.limits.tokens_per_minute,
        )
        new = {column.name: statement.excluded[column.name] for column in plans.c if not column.primary_key}
        await tx.execute(
            statement.on_conflict_do_update(
                index_elements=["id"], set_=new, where=plans.c.catalogue_version <= statement.excluded.catalogue_version
            )
        )
