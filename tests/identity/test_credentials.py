"""Issuing, listing and reading credentials."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.errors import InvalidApiKey, ResourceNotFound, ServiceError, ValidationFailed
from services.chassis.ulids import new_ulid
from services.identity.domain.agents import Agent
from services.identity.domain.credentials import expiry_of
from services.identity.domain.errors import AgentArchived, ExpiryInPast, InvalidScopeType
from services.identity.wire.values import plain
from tests.identity.agents import TOOL, issue, make_agent, may_delegate_to, principal_of
from tests.identity.conftest import Identity, Person


@pytest.fixture
async def agent(identity: Identity, alice: Person) -> Agent:
    return await make_agent(identity, alice)


async def refusal(call: Any) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value


async def test_what_is_left_out_comes_from_the_agent(identity: Identity, alice: Person, agent: Agent) -> None:
    issued = await issue(identity, alice.principal, agent)
    made, now = issued.credential, identity.clock.now()
    assert (made.agent_id, made.org_id) == (agent.id, alice.principal.org_id)
    assert made.expires_at == now + timedelta(hours=8)
    assert (made.revocation_policy, made.max_concurrent_invocations) == ("drain", 10)
    assert (made.delegating_user_id, made.parent_id, made.chain_depth) == (alice.principal.user_id, None, 0)
    assert made.delegation_path == [alice.principal.user_id, made.id]
    assert (made.granted_scopes, made.scope_types, made.tool_ids) == ([TOOL], [TOOL["type"]], [TOOL["tool_id"]])
    assert (made.prefix, made.last_four) == ("hasp_agent_", issued.token[-4:])
    assert len(issued.token) == len("hasp_agent_") + 43
    assert made.status(now) == "active"
    assert await identity.credentials.get(alice.principal, agent.id, made.id) == made


async def test_its_token_stands_for_the_agent(identity: Identity, alice: Person, agent: Agent) -> None:
    issued = await issue(identity, alice.principal, agent)
    principal = await principal_of(identity, issued)
    assert (principal.kind, principal.id, principal.agent_id) == ("agent", issued.credential.id, agent.id)
    assert (principal.user_id, principal.scopes) == (alice.principal.user_id, frozenset())
    assert principal.delegation_path == (alice.principal.user_id, issued.credential.id)
    assert principal.granted_tool_ids == {"calendar.find_slots"}
    assert principal.expires_at == issued.credential.expires_at
    assert not principal.test_mode
    assert (await identity.authentication.resolve(issued.token)).principal == principal


async def test_a_test_mode_token_says_so(identity: Identity, alice: Person, agent: Agent) -> None:
    issued = await issue(identity, alice.principal, agent, test_mode=True)
    assert issued.credential.prefix == "hasp_agent_test_"
    assert issued.token.startswith("hasp_agent_test_")
    assert len(issued.token) == len("hasp_agent_test_") + 43
    assert (await principal_of(identity, issued)).test_mode


async def test_it_ends_by_itself(identity: Identity, alice: Person, agent: Agent) -> None:
    expires_at = identity.clock.now() + timedelta(minutes=5)
    issued = await issue(identity, alice.principal, agent, expires_at=expires_at)
    identity.clock.advance(timedelta(minutes=5) - timedelta(milliseconds=1))
    assert (await principal_of(identity, issued)).expires_at == expires_at
    identity.clock.advance(timedelta(milliseconds=1))
    with pytest.raises(InvalidApiKey):
        await principal_of(identity, issued)
    kept = await identity.credentials.get(alice.principal, agent.id, issued.credential.id)
    assert kept.status(identity.clock.now()) == "expired"


def test_an_expiry_is_a_moment_within_thirty_days(identity: Identity) -> None:
    now = identity.clock.now()
    assert expiry_of(None, now) is None
    assert expiry_of((now + timedelta(days=30)).isoformat(), now) == now + timedelta(days=30)
    for at in (now, now - timedelta(seconds=1)):
        with pytest.raises(ExpiryInPast):
            expiry_of(at.isoformat(), now)
    for text in (
        "",
        "tomorrow",
        "2026-05-12",
        "2026-05-12T00:00:00",
        (now + timedelta(days=30, seconds=1)).isoformat(),
    ):
        with pytest.raises(ValidationFailed) as refused:
            expiry_of(text, now)
        assert refused.value.param == "expires_at"


async def test_an_archived_agent_gets_none(identity: Identity, alice: Person, agent: Agent) -> None:
    await identity.agents.archive(alice.principal, agent.id)
    assert isinstance(await refusal(issue(identity, alice.principal, agent)), AgentArchived)
    await identity.agents.reactivate(alice.principal, agent.id)
    await issue(identity, alice.principal, agent)


@pytest.mark.parametrize("allowed", [[], ["hasp.data.read"]], ids=["none", "another"])
async def test_a_type_that_the_agent_may_not_carry_is_refused(
    identity: Identity, alice: Person, allowed: list[str]
) -> None:
    agent = await make_agent(identity, alice, allowed_scope_types=allowed)
    refused = await refusal(issue(identity, alice.principal, agent, {"type": "hasp.data.read"}, TOOL))
    assert isinstance(refused, InvalidScopeType)
    assert refused.param == f"granted_scopes[{len(allowed)}].type"


async def test_an_unknown_type_or_field_is_refused_by_its_name(identity: Identity, alice: Person, agent: Agent) -> None:
    unknown = await refusal(issue(identity, alice.principal, agent, TOOL, {"type": "hasp.data.admin"}))
    assert (unknown.reason, unknown.param) == ("INVALID_SCOPE_TYPE", "granted_scopes[1].type")
    field = await refusal(issue(identity, alice.principal, agent, TOOL | {"anything": 1}))
    assert (field.reason, field.param) == ("VALIDATION_FAILED", "granted_scopes[0].anything")


async def test_an_unknown_agent_and_anothers_agent_are_one_answer(
    identity: Identity, alice: Person, mallory: Person, agent: Agent
) -> None:
    issued = await issue(identity, alice.principal, agent)
    calls = [
        issue(identity, mallory.principal, agent),
        identity.credentials.page(mallory.principal, agent.id, status="all", before_id=None, limit=10),
        identity.credentials.get(mallory.principal, agent.id, issued.credential.id),
        identity.credentials.revoke(mallory.principal, agent.id, issued.credential.id, None),
        identity.credentials.get(alice.principal, agent.id, new_ulid(identity.clock)),
        identity.credentials.get(alice.principal, agent.id, "\0"),
        identity.credentials.page(alice.principal, "no id", status="all", before_id=None, limit=10),
    ]
    for call in calls:
        assert isinstance(await refusal(call), ResourceNotFound)
    await principal_of(identity, issued)


async def test_a_credential_is_found_below_its_own_agent_only(identity: Identity, alice: Person, agent: Agent) -> None:
    issued, other = await issue(identity, alice.principal, agent), await make_agent(identity, alice)
    for call in (
        identity.credentials.get(alice.principal, other.id, issued.credential.id),
        identity.credentials.revoke(alice.principal, other.id, issued.credential.id, None),
    ):
        assert isinstance(await refusal(call), ResourceNotFound)


async def test_a_list_shows_one_status_newest_first(identity: Identity, alice: Person, agent: Agent) -> None:
    made = {}
    for name in ("expired", "revoked", "first", "second"):
        hours = 1 if name == "expired" else 10
        issued = await issue(identity, alice.principal, agent, expires_at=identity.clock.now() + timedelta(hours=hours))
        made[name] = issued.credential.id
        identity.clock.advance(timedelta(milliseconds=1))
    await identity.credentials.revoke(alice.principal, agent.id, made["revoked"], None)
    identity.clock.advance(timedelta(hours=2))

    async def listed(status: str, before_id: str | None = None, limit: int = 10) -> tuple[list[str], bool]:
        page = await identity.credentials.page(
            alice.principal, agent.id, status=status, before_id=before_id, limit=limit
        )
        return [credential.id for credential in page.credentials], page.has_more

    assert await listed("active") == ([made["second"], made["first"]], False)
    assert await listed("revoked") == ([made["revoked"]], False)
    assert await listed("expired") == ([made["expired"]], False)
    assert await listed("all", limit=3) == ([made["second"], made["first"], made["revoked"]], True)
    assert await listed("all", before_id=made["revoked"]) == ([made["expired"]], False)


async def test_its_last_use_is_known(identity: Identity, alice: Person, agent: Agent) -> None:
    issued = await issue(identity, alice.principal, agent)
    identity.clock.advance(timedelta(minutes=2))
    await principal_of(identity, issued)
    await identity.uses.flush()
    kept = await identity.credentials.get(alice.principal, agent.id, issued.credential.id)
    assert kept.last_used_at == identity.clock.now()


async def test_issuing_is_audited_without_what_somebody_typed(identity: Identity, alice: Person, agent: Agent) -> None:
    secret = "a name that nobody shall read"
    issued = await issue(identity, alice.principal, agent, name=secret, description=secret)
    (event,) = await identity.audit(alice.principal.org_id, "agent.credential_issued")
    assert (event.entity_type, event.entity_id) == ("credential", issued.credential.id)
    assert plain(event.metadata)["agent_id"] == agent.id
    assert plain(event.metadata)["delegation_path"] == [alice.principal.user_id, issued.credential.id]
    for hidden in (secret, issued.token, issued.token[-43:]):
        assert hidden.encode() not in event.SerializeToString()


async def test_its_token_is_stored_nowhere(identity: Identity, alice: Person, agent: Agent) -> None:
    issued = await issue(identity, alice.principal, agent)
    async with identity.db.hot.connection() as connection:
        for table in ("credentials", "tokens", "outbox", "idempotency_keys"):
            rows = await (await connection.execute(f"SELECT t::text FROM {table} t")).fetchall()
            assert not any(issued.token[-43:] in row[0] for row in rows)


async def test_archiving_and_issuing_at_once_leave_no_credential_behind(identity: Identity, alice: Person) -> None:
    for _ in range(10):
        agent = await make_agent(identity, alice)
        archiving = asyncio.create_task(identity.agents.archive(alice.principal, agent.id))
        issuing = [issue(identity, alice.principal, agent) for _ in range(6)]
        answers = await asyncio.gather(*issuing, return_exceptions=True)
        await archiving
        left = await identity.credentials.page(alice.principal, agent.id, status="active", before_id=None, limit=10)
        assert left.credentials == []
        for answer in answers:
            if isinstance(answer, BaseException):
                assert isinstance(answer, AgentArchived)
            else:
                with pytest.raises(InvalidApiKey):
                    await principal_of(identity, answer)


async def test_narrowing_an_agent_is_exact_about_what_is_issued_meanwhile(identity: Identity, alice: Person) -> None:
    for _ in range(5):
        agent = await make_agent(identity, alice)
        narrowing = asyncio.create_task(identity.agents.update(alice.principal, agent.id, {"allowed_scope_types": []}))
        issuing = [issue(identity, alice.principal, agent) for _ in range(5)]
        issued = await asyncio.gather(*issuing, return_exceptions=True)
        updated = await narrowing
        made = sorted(each.credential.id for each in issued if not isinstance(each, BaseException))
        assert sorted(updated.outside) == made


async def test_an_agent_delegates_only_what_it_was_told_it_may(identity: Identity, alice: Person, agent: Agent) -> None:
    child = await make_agent(identity, alice)
    parent = await issue(identity, alice.principal, agent, TOOL, may_delegate_to(child))
    delegated = await issue(identity, await principal_of(identity, parent), child)
    assert delegated.credential.parent_id == parent.credential.id
