"""Organizations and users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.identity.domain.organizations import Organization, User
from services.identity.store.tables import organizations, users


async def add(tx: Tx, organization: Organization) -> bool:
    """False when the name is taken, by any organization."""
    statement = insert(organizations).values(asdict(organization)).on_conflict_do_nothing()
    return (await tx.execute(statement.returning(organizations.c.org_id))).first() is not None


async def all_of_them(tx: Tx) -> Sequence[Organization]:
    """Oldest first. Sees what the transaction may see: of a system transaction, all."""
    rows = await tx.execute(select(organizations).order_by(organizations.c.org_id))
    return [Organization(**row) for row in rows.mappings()]


async def find(tx: Tx, org_id: OrgId) -> Organization | None:
    rows = await tx.execute(select(organizations).where(organizations.c.org_id == org_id))
    row = rows.mappings().one_or_none()
    return None if row is None else Organization(**row)


async def exists(tx: Tx, org_id: OrgId) -> bool:
    statement = select(organizations.c.org_id).where(organizations.c.org_id == org_id)
    return (await tx.execute(statement)).first() is not None


async def add_user(tx: Tx, user: User) -> bool:
    """False when the organization has a user of this address."""
    statement = insert(users).values(asdict(user)).on_conflict_do_nothing()
    return (await tx.execute(statement.returning(users.c.id))).first() is not None


async def user_exists(tx: Tx, org_id: OrgId, user_id: str) -> bool:
    statement = select(users.c.id).where(users.c.org_id == org_id, users.c.id == user_id)
    return (await tx.execute(statement)).first() is not None
