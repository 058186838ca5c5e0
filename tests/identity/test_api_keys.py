import asyncio
import time
from datetime import timedelta

import pytest

from services.chassis.errors import InvalidApiKey, ResourceNotFound
from services.chassis.ulids import new_ulid
from services.identity.domain.api_keys import WantedKey
from services.identity.domain.errors import ScopeEscalation
from services.identity.domain.tokens import Format
from tests.identity.conftest import Identity, Person

READER = WantedKey(name="reader", scopes=["control:read"])


async def test_a_created_key_authenticates_as_its_makers_user(identity: Identity, alice: Person) -> None:
    issued = await identity.keys.create(alice.principal, READER)
    principal = await identity.authentication.authenticate(issued.plaintext)
    assert (principal.org_id, principal.user_id) == (alice.principal.org_id, alice.principal.user_id)
    assert (principal.id, principal.scopes) == (issued.key.id, {"control:read"})


async def test_both_forms_authenticate(identity: Identity, alice: Person) -> None:
    for form in Format:
        issued = await identity.keys.create(alice.principal, WantedKey(name="k", scopes=["control:read"], form=form))
        assert issued.plaintext.startswith(f"{form}_")
        assert (await identity.authentication.authenticate(issued.plaintext)).id == issued.key.id


async def test_creating_is_audited_without_the_name(identity: Identity, alice: Person) -> None:
    wanted = WantedKey(name="Jane Doe's laptop", scopes=["control:read"])
    key = (await identity.keys.create(alice.principal, wanted)).key
    events = await identity.audit(alice.principal.org_id, "api_key.created")
    (event,) = [event for event in events if event.entity_id == key.id]
    assert event.entity_type == "api_key"
    assert dict(event.metadata)["user_id"] == alice.principal.user_id
    assert "Jane" not in str(event)


async def test_a_scope_that_the_maker_lacks_is_refused(identity: Identity, alice: Person) -> None:
    with pytest.raises(ScopeEscalation):
        await identity.keys.create(alice.principal, WantedKey(name="k", scopes=["control:read", "ai:chat"]))


async def test_only_the_hash_of_a_token_is_stored(identity: Identity, alice: Person) -> None:
    body = alice.token.removeprefix("wa_live_")
    async with identity.db.hot.connection() as connection:
        for table in ("tokens", "api_keys", "outbox"):
            cursor = await connection.execute(f"SELECT {table}::text FROM {table}")
            assert body not in str(await cursor.fetchall())


async def test_keys_are_listed_newest_first_in_pages(identity: Identity, alice: Person) -> None:
    made = []
    for _ in range(4):
        identity.clock.advance(timedelta(seconds=1))
        made.append((await identity.keys.create(alice.principal, READER)).key.id)
    everything = [*reversed(made), alice.principal.id]
    first = await identity.keys.page(alice.principal, before_id=None, limit=3)
    assert ([key.id for key in first.keys], first.has_more) == (everything[:3], True)
    second = await identity.keys.page(alice.principal, before_id=first.keys[-1].id, limit=3)
    assert ([key.id for key in second.keys], second.has_more) == (everything[3:], False)


async def test_a_revoked_key_is_not_listed_and_does_not_authenticate(identity: Identity, alice: Person) -> None:
    issued = await identity.keys.create(alice.principal, READER)
    revoked = await identity.keys.revoke(alice.principal, issued.key.id)
    assert revoked.revoked_at == identity.clock.now()
    assert [key.id for key in (await identity.keys.page(alice.principal, before_id=None, limit=9)).keys] == [
        alice.principal.id
    ]
    with pytest.raises(InvalidApiKey):
        await identity.authentication.authenticate(issued.plaintext)
    assert [event.entity_id for event in await identity.audit(alice.principal.org_id, "api_key.revoked")] == [
        issued.key.id
    ]


async def test_a_key_may_revoke_itself(identity: Identity, alice: Person) -> None:
    await identity.keys.revoke(alice.principal, alice.principal.id)
    with pytest.raises(InvalidApiKey):
        await identity.authentication.authenticate(alice.token)


async def test_revoking_publishes_a_change_that_cancels(identity: Identity, alice: Person) -> None:
    issued = await identity.keys.create(alice.principal, READER)
    before = (await identity.authentication.resolve(issued.plaintext)).seq
    await identity.keys.revoke(alice.principal, issued.key.id)
    async with identity.db.hot.connection() as connection:
        rows = await (await connection.execute("SELECT seq, subject_id, cancel FROM watch_changes")).fetchall()
    assert rows == [(before + 1, issued.key.id, True)]


async def test_what_cannot_be_revoked_is_not_found(identity: Identity, alice: Person, mallory: Person) -> None:
    issued = await identity.keys.create(alice.principal, READER)
    with pytest.raises(ResourceNotFound):
        await identity.keys.revoke(mallory.principal, issued.key.id)
    assert (await identity.authentication.authenticate(issued.plaintext)).id == issued.key.id
    await identity.keys.revoke(alice.principal, issued.key.id)
    for key_id in (issued.key.id, new_ulid(identity.clock), "nonsense", ""):
        with pytest.raises(ResourceNotFound):
            await identity.keys.revoke(alice.principal, key_id)


async def test_another_organization_does_not_see_them(identity: Identity, alice: Person, mallory: Person) -> None:
    await identity.keys.create(alice.principal, READER)
    page = await identity.keys.page(mallory.principal, before_id=None, limit=9)
    assert [key.id for key in page.keys] == [mallory.principal.id]


async def test_the_operator_issues_only_to_a_user_of_the_organization(
    identity: Identity, alice: Person, mallory: Person
) -> None:
    with pytest.raises(ResourceNotFound):
        await identity.keys.issue(alice.principal.org_id, mallory.principal.user_id, READER)


async def test_a_repeated_revocation_waits_for_whom_the_first_would_have_waited(
    identity: Identity, alice: Person
) -> None:
    """The first has broken off after its commit: that there is no such key any more must be true everywhere."""
    key = (await identity.keys.create(alice.principal, READER)).key
    async with identity.db.hot.connection() as connection:
        silent = "INSERT INTO watchers VALUES (%s, 'billing', clock_timestamp() + interval '0.8 s', 0)"
        await connection.execute(silent, (new_ulid(identity.clock),))
        began = time.monotonic()
        first = asyncio.create_task(identity.keys.revoke(alice.principal, key.id))
        page = await identity.keys.page(alice.principal, before_id=None, limit=9)
        while key.id in [each.id for each in page.keys]:
            page = await identity.keys.page(alice.principal, before_id=None, limit=9)
        first.cancel()
        with pytest.raises(ResourceNotFound):
            await identity.keys.revoke(alice.principal, key.id)
        assert time.monotonic() - began > 0.6
