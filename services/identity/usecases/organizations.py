"""Organizations and users: what the operator makes before any key exists."""

from __future__ import annotations

from collections.abc import Sequence

from hasp.billing.v1.account_admin_service_pb2 import OpenAccountRequest

from services.chassis import outbox
from services.chassis.access import OrgId
from services.chassis.audit import Trail
from services.chassis.clock import Clock, unix_ms
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.ulids import new_ulid
from services.identity.domain.organizations import Organization, User
from services.identity.store import organizations as store

ACCOUNT_TOPIC = "billing.account"


class Organizations:
    def __init__(self, db: Database, clock: Clock, audit: Trail) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit

    async def create(self, name: str, plan: str) -> Organization:
        """The organization; its billing account follows through the outbox. Raises ValidationFailed when the name is taken."""
        organization = Organization(OrgId(new_ulid(self._clock)), name, plan, self._clock.now())
        org_id = organization.org_id
        async with self._db.transaction(org_id) as tx:
            if not await store.add(tx, organization):
                raise ValidationFailed("An organization has this name.", param="name")
            await outbox.enqueue(
                tx,
                message_id=org_id,
                org_id=org_id,
                topic=ACCOUNT_TOPIC,
                message=OpenAccountRequest(org_id=org_id, plan=plan, opened_at_ms=unix_ms(organization.created_at)),
            )
            await self._audit.record(
                tx,
                org_id=org_id,
                action="organization.created",
                entity_type="organization",
                entity_id=org_id,
                metadata={"plan": plan},
            )
        return organization

    async def all_of_them(self) -> Sequence[Organization]:
        """Oldest first."""
        async with self._db.system_transaction() as tx:
            return await store.all_of_them(tx)

    async def get(self, org_id: OrgId) -> Organization:
        """Raises ResourceNotFound."""
        async with self._db.transaction(org_id) as tx:
            found = await store.find(tx, org_id)
        if found is None:
            raise ResourceNotFound("There is no such organization.", param="org_id")
        return found

    async def create_user(self, org_id: OrgId, *, email: str, name: str, role: str) -> User:
        """Raises ResourceNotFound without the organization, ValidationFailed when it has a user of this address."""
        user = User(org_id, new_ulid(self._clock), email, name, role, self._clock.now())
        async with self._db.transaction(org_id) as tx:
            if not await store.exists(tx, org_id):
                raise ResourceNotFound("There is no such organization.")
            if not await store.add_user(tx, user):
                raise ValidationFailed("The organization has a user of this address.", param="email")
            await self._audit.record(
                tx,
                org_id=org_id,
                action="user.created",
                entity_type="user",
                entity_id=user.id,
                metadata={"role": role},
            )
        return user
