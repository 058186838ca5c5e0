import asyncio
from datetime import timedelta

import pytest

from services.chassis.access import Principal
from services.chassis.errors import InvalidApiKey
from services.identity.domain.api_keys import WantedKey
from services.identity.domain.tokens import Format, Peppers, Token
from services.identity.usecases.authentication import Authentication
from tests.identity.conftest import Identity, Person

AGENT_TOKEN = "hasp_agent_" + "A" * 43


@pytest.mark.parametrize(
    "token", ["", "wa_live_", "wa_live_" + "g" * 32, "wa_live_" + "A" * 32, "sk-ant-123", "wa_live_" + "0" * 33, "\0"]
)
async def test_a_malformed_token_is_refused_without_any_work(identity: Identity, token: str) -> None:
    await identity.db.close()
    with pytest.raises(InvalidApiKey):
        await identity.authentication.authenticate(token)


@pytest.mark.parametrize(
    "token",
    [Token.new(Format.WA_LIVE).plaintext, Token.new(Format.HASP_KEY_LIVE).plaintext, AGENT_TOKEN],
    ids=["wa_live", "hasp_key_live", "hasp_agent"],  # the tokens differ from worker to worker
)
async def test_an_unknown_token_is_refused(identity: Identity, alice: Person, token: str) -> None:
    with pytest.raises(InvalidApiKey):
        await identity.authentication.authenticate(token)


async def test_an_expired_key_is_refused(identity: Identity, alice: Person) -> None:
    expires_at = identity.clock.now() + timedelta(minutes=1)
    wanted = WantedKey(name="short", scopes=["control:read"], expires_at=expires_at)
    issued = await identity.keys.create(alice.principal, wanted)
    assert (await identity.authentication.authenticate(issued.plaintext)).expires_at == expires_at
    identity.clock.advance(timedelta(minutes=1))
    with pytest.raises(InvalidApiKey):
        await identity.authentication.authenticate(issued.plaintext)


async def test_a_token_of_an_earlier_pepper_is_still_known(identity: Identity, alice: Person) -> None:
    old = identity.authentication._peppers._keys[1]
    both = Authentication(identity.db, identity.clock, Peppers({1: old, 2: b"2" * 32}), identity.uses)
    assert (await both.authenticate(alice.token)).id == alice.principal.id
    without = Authentication(identity.db, identity.clock, Peppers({2: b"2" * 32}), identity.uses)
    with pytest.raises(InvalidApiKey):
        await without.authenticate(alice.token)


async def test_a_use_is_written_at_most_once_a_minute(identity: Identity, alice: Person) -> None:
    async def last_used() -> object:
        await identity.uses.flush()
        return (await identity.keys.page(alice.principal, before_id=None, limit=1)).keys[0].last_used_at

    first = identity.clock.now()
    assert await last_used() == first
    identity.clock.advance(timedelta(seconds=59))
    await identity.authentication.authenticate(alice.token)
    assert await last_used() == first
    identity.clock.advance(timedelta(seconds=1))
    await identity.authentication.authenticate(alice.token)
    assert await last_used() == identity.clock.now()


async def test_an_earlier_use_that_is_told_late_changes_nothing(identity: Identity, alice: Person) -> None:
    principal = alice.principal
    await identity.uses.flush()
    for minutes in (30, 5, -5):
        identity.uses.note([(principal.org_id, principal.id, identity.clock.now() + timedelta(minutes=minutes))])
        await identity.uses.flush()
    key = (await identity.keys.page(principal, before_id=None, limit=1)).keys[0]
    assert key.last_used_at == identity.clock.now() + timedelta(minutes=30)


async def test_many_at_once_each_get_their_own_answer(identity: Identity, alice: Person, mallory: Person) -> None:
    old = identity.authentication._peppers._keys[1]
    both = Authentication(identity.db, identity.clock, Peppers({1: old, 2: b"2" * 32}), identity.uses)
    unknown = Token.new(Format.WA_LIVE).plaintext
    tokens = [alice.token, unknown, mallory.token, AGENT_TOKEN] * 60
    answers = await asyncio.gather(*(both.authenticate(token) for token in tokens), return_exceptions=True)
    ids = [each.id if isinstance(each, Principal) else type(each) for each in answers]
    assert ids == [alice.principal.id, InvalidApiKey, mallory.principal.id, InvalidApiKey] * 60


async def test_nobody_who_comes_after_a_revocation_is_let_in_by_a_lookup_that_began_before(
    identity: Identity, alice: Person
) -> None:
    for _ in range(20):
        issued = await identity.keys.create(alice.principal, WantedKey(name="short", scopes=["control:read"]))
        earlier = [asyncio.create_task(identity.authentication.authenticate(issued.plaintext)) for _ in range(30)]
        await asyncio.sleep(0)
        await identity.keys.revoke(alice.principal, issued.key.id)
        later = [identity.authentication.authenticate(issued.plaintext) for _ in range(30)]
        answers = await asyncio.gather(*later, return_exceptions=True)
        assert {type(each) for each in answers} == {InvalidApiKey}
        await asyncio.gather(*earlier, return_exceptions=True)


async def test_a_restarted_database_costs_nobody_an_answer(identity: Identity, alice: Person) -> None:
    connection = await identity.db.connect()
    # What a restart leaves of the pool.
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    )
    await connection.close()
    answers = await asyncio.gather(*(identity.authentication.authenticate(alice.token) for _ in range(50)))
    assert {answer.id for answer in answers} == {alice.principal.id}
