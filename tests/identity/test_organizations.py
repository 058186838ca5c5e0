import pytest
from hasp.billing.v1.account_admin_service_pb2 import OpenAccountRequest

from services.chassis.access import OrgId
from services.chassis.clock import unix_ms
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.ulids import new_ulid
from tests.identity.conftest import Identity


async def test_a_new_organization_is_owed_its_account_and_its_audit_event(identity: Identity) -> None:
    acme = await identity.organizations.create("Acme Clinic", "growth")
    async with identity.db.hot.connection() as connection:
        cursor = await connection.execute("SELECT payload FROM outbox WHERE topic = 'billing.account'")
        (payload,) = await cursor.fetchone() or (b"",)
    assert OpenAccountRequest.FromString(payload) == OpenAccountRequest(
        org_id=acme.org_id, plan="growth", opened_at_ms=unix_ms(identity.clock.now())
    )
    (event,) = await identity.audit(acme.org_id, "organization.created")
    assert event.entity_id == acme.org_id
    assert "Acme" not in str(event)


async def test_a_name_is_taken_once_in_the_whole_deployment(identity: Identity) -> None:
    await identity.organizations.create("Acme", "growth")
    with pytest.raises(ValidationFailed) as refused:
        await identity.organizations.create("ACME", "growth")
    assert refused.value.param == "name"
    assert [each.name for each in await identity.organizations.all_of_them()] == ["Acme"]


async def test_a_user_is_unique_in_the_organization_by_address(identity: Identity) -> None:
    acme = (await identity.organizations.create("Acme", "growth")).org_id
    other = (await identity.organizations.create("Other", "growth")).org_id
    user = await identity.organizations.create_user(acme, email="jane@acme.test", name="Jane Doe", role="owner")
    await identity.organizations.create_user(other, email="jane@acme.test", name="Jane Doe", role="owner")
    with pytest.raises(ValidationFailed) as refused:
        await identity.organizations.create_user(acme, email="Jane@acme.test", name="J", role="member")
    assert refused.value.param == "email"
    (event,) = await identity.audit(acme, "user.created")
    assert event.entity_id == user.id
    assert "ane" not in str(event)


async def test_a_user_needs_an_organization(identity: Identity) -> None:
    with pytest.raises(ResourceNotFound):
        await identity.organizations.create_user(
            OrgId(new_ulid(identity.clock)), email="a@b.test", name="A", role="owner"
        )
