"""Authorizing, completing, expiring, on a real database."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent
from psycopg import sql

from services.chassis.access import Principal
from services.chassis.errors import InvalidApiKey, ResourceNotFound, ServiceError
from services.chassis.ulids import new_ulid
from services.identity.domain.actions import Action, DelegateTo, EscalateTo, Invoke, Read, Write
from services.identity.domain.errors import ConcurrencyLimitReached, InvocationEnded, RateLimited, ToolNotInScope
from services.identity.domain.invocations import Status
from services.identity.usecases.invocations import Permitted
from services.identity.usecases.invocations.authorities import Authorities
from services.identity.usecases.invocations.sweeping import KEPT, Sweeper
from tests.identity.agents import TOOL, issue, make_agent, may_delegate_to, principal_of
from tests.identity.calls import IP_ADDRESS, calling
from tests.identity.conftest import Identity, Person

SLOTS = Invoke("calendar.find_slots")


async def credential(identity: Identity, person: Person, *grants: dict[str, Any], **more: Any) -> Principal:
    """Of a new agent."""
    issued = await issue(identity, person.principal, await make_agent(identity, person), *grants, **more)
    return await principal_of(identity, issued)


async def authorize(identity: Identity, principal: Principal, action: Action = SLOTS) -> Permitted:
    return await identity.invocations.authorize(principal, action)


async def complete(identity: Identity, principal: Principal, permitted: Permitted, outcome: str = "succeeded") -> str:
    ended = await identity.invocations.complete(principal, permitted.invocation.id, outcome)
    return f"{ended.invocation.status} {ended.invocation.outcome}"


async def stored(identity: Identity, table: str) -> list[tuple[Any, ...]]:
    async with identity.db.hot.connection() as connection:
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
        return await (await connection.execute(query)).fetchall()


def facts(event: AuditEvent) -> dict[str, Any]:
    return MessageToDict(event.metadata)


async def test_an_authorized_invocation_is_read_and_completed(identity: Identity, alice: Person) -> None:
    grant = TOOL | {"constraints": {"ward": ["3a", "3b"]}, "rate_limit": 5}
    principal = await credential(identity, alice, grant)
    made = await authorize(identity, principal, Invoke("calendar.find_slots", {"ward": "3a", "day": "monday"}))
    assert (made.invocation.status, made.invocation.outcome) == (Status.AUTHORIZED, None)
    assert made.invocation.expires_at == identity.clock.now() + timedelta(minutes=15)
    assert (made.matched_grant, made.filters) == (grant, None)
    assert await identity.invocations.get(principal, made.invocation.id) == made
    identity.clock.advance(timedelta(seconds=5))
    ended = await identity.invocations.complete(principal, made.invocation.id, "failed")
    assert (ended.invocation.status, ended.invocation.outcome) == (Status.COMPLETED, "failed")
    assert ended.invocation.ended_at == identity.clock.now()
    assert await identity.invocations.get(principal, made.invocation.id) == ended


@pytest.mark.parametrize(
    ("grant", "allowed", "refused"),
    [
        (
            {"type": "hasp.data.read", "app_id": "ehr", "entities": ["visit", "lab"]},
            Read("ehr", ("lab",)),
            Read("ehr", ("lab", "note")),
        ),
        (
            {"type": "hasp.data.write", "app_id": "ehr", "entities": ["visit"], "fields": ["room"]},
            Write("ehr", ("visit",), ("room",)),
            Write("ehr", ("visit",), ("room", "dose")),
        ),
        (
            TOOL | {"constraints": {"doctor": "{{delegating_user.email}}"}},
            Invoke("calendar.find_slots", {"doctor": "a@example.test"}),
            Invoke("calendar.find_slots", {"doctor": "b@example.test"}),
        ),
        ({"type": "human.escalate", "to_role": "nurse"}, EscalateTo("nurse"), EscalateTo("surgeon")),
    ],
)
async def test_each_type_of_action_meets_its_grant(
    identity: Identity, alice: Person, grant: dict[str, Any], allowed: Action, refused: Action
) -> None:
    principal = await credential(identity, alice, {"type": "external.tool.invoke", "tool_id": "another"}, grant)
    made = await authorize(identity, principal, allowed)
    assert (made.invocation.grant_no, made.matched_grant) == (1, grant)
    with pytest.raises(ToolNotInScope):
        await authorize(identity, principal, refused)


async def test_a_delegation_is_an_action_like_others(identity: Identity, alice: Person) -> None:
    other = await make_agent(identity, alice)
    principal = await credential(identity, alice, may_delegate_to(other, 1))
    made = await authorize(identity, principal, DelegateTo(other.id))
    assert made.matched_grant == may_delegate_to(other, 1)
    with pytest.raises(ToolNotInScope) as refusal:
        await authorize(identity, principal, DelegateTo(new_ulid(identity.clock)))
    assert refusal.value.details == {"type": "agent.delegate"}
    issued = await issue(identity, principal, other, may_delegate_to(other, 1))
    with pytest.raises(ToolNotInScope):
        await authorize(identity, await principal_of(identity, issued), DelegateTo(other.id))


async def test_the_answer_holds_the_filters_of_this_user(identity: Identity, alice: Person) -> None:
    grant = {
        "type": "hasp.data.read",
        "filters": {"owner": "{{delegating_user.id}}", "seen_by": ["{{delegating_user.role}}", "all"]},
    }
    principal = await credential(identity, alice, grant)
    made = await authorize(identity, principal, Read(filters={"owner": alice.principal.user_id}))
    assert made.matched_grant == grant
    assert made.filters == {"owner": alice.principal.user_id, "seen_by": ["owner", "all"]}
    assert (await identity.invocations.get(principal, made.invocation.id)).filters == made.filters


async def test_a_slot_is_taken_until_its_invocation_ends(identity: Identity, alice: Person) -> None:
    principal = await credential(identity, alice, max_concurrent_invocations=2)
    first, second = await authorize(identity, principal), await authorize(identity, principal)
    with pytest.raises(ConcurrencyLimitReached) as refusal:
        await authorize(identity, principal)
    assert refusal.value.details == {"max_concurrent_invocations": 2}
    await complete(identity, principal, first)
    identity.clock.advance(timedelta(minutes=5))
    await authorize(identity, principal)
    with pytest.raises(ConcurrencyLimitReached):
        await authorize(identity, principal)
    # The second one's time is over, the third one's is not.
    identity.clock.advance(timedelta(minutes=10))
    await authorize(identity, principal)
    with pytest.raises(ConcurrencyLimitReached):
        await authorize(identity, principal)
    with pytest.raises(InvocationEnded) as ended:
        await complete(identity, principal, second)
    assert ended.value.details == {"status": "expired"}


async def test_a_rate_holds_in_every_hour(identity: Identity, alice: Person) -> None:
    principal = await credential(identity, alice, TOOL | {"rate_limit": 3})
    identity.clock.advance(timedelta(seconds=40))

    async def use() -> int | None:
        """Seconds to wait, None when it was allowed."""
        try:
            made = await authorize(identity, principal)
        except RateLimited as refusal:
            return refusal.retry_after
        await complete(identity, principal, made)
        return None

    assert await use() is None
    identity.clock.advance(timedelta(minutes=20))
    assert [await use(), await use()] == [None, None]
    # The first one's minute began 20:40 ago and counts for 61 minutes.
    assert await use() == 61 * 60 - (20 * 60 + 40)
    identity.clock.advance(timedelta(seconds=61 * 60 - (20 * 60 + 40) - 1))
    assert await use() == 1
    identity.clock.advance(timedelta(seconds=1))
    assert await use() is None
    assert await use() is not None


async def test_a_refused_action_uses_no_rate(identity: Identity, alice: Person) -> None:
    grant = TOOL | {"rate_limit": 2, "constraints": {"ward": "3a"}}
    principal = await credential(identity, alice, grant, max_concurrent_invocations=1)
    made = await authorize(identity, principal, Invoke("calendar.find_slots", {"ward": "3a"}))
    for arguments in ({"ward": "3a"}, {"ward": "3b"}):
        for _ in range(5):
            with pytest.raises(ServiceError):
                await authorize(identity, principal, Invoke("calendar.find_slots", arguments))
    await complete(identity, principal, made)
    await authorize(identity, principal, Invoke("calendar.find_slots", {"ward": "3a"}))


async def test_a_chain_of_delegations_shares_the_rate_of_its_root(identity: Identity, alice: Person) -> None:
    agents = [await make_agent(identity, alice) for _ in range(3)]
    grants = [may_delegate_to(agent) for agent in agents]
    root = await credential(identity, alice, TOOL | {"rate_limit": 4}, *grants)
    middle_issued = await issue(identity, root, agents[0], *grants, TOOL | {"rate_limit": 4})
    middle = await principal_of(identity, middle_issued)
    leaf = await principal_of(identity, await issue(identity, middle, agents[1], TOOL | {"rate_limit": 2}))
    sibling = await principal_of(identity, await issue(identity, root, agents[2], TOOL | {"rate_limit": 4}))
    for principal in (leaf, middle, leaf):
        await authorize(identity, principal)
    with pytest.raises(RateLimited):
        await authorize(identity, leaf)
    await authorize(identity, sibling)
    for principal in (sibling, middle, root):
        with pytest.raises(RateLimited):
            await authorize(identity, principal)


async def test_of_many_credentials_the_latest_are_remembered(identity: Identity, alice: Person) -> None:
    authorities = Authorities(identity.db, remembered=2)
    refs = [(await credential(identity, alice)).id for _ in range(3)]
    org_id = alice.principal.org_id
    known = {id_: await authorities.of(org_id, id_) for id_ in refs}
    assert await authorities.of(org_id, refs[1]) is known[refs[1]]
    again = await authorities.of(org_id, refs[0])
    assert again == known[refs[0]]
    assert again is not known[refs[0]]
    assert len(authorities._known) == 2
    with pytest.raises(InvalidApiKey):
        await authorities.of(org_id, new_ulid(identity.clock))


async def test_a_credential_that_has_ended_authorizes_nothing(identity: Identity, alice: Person) -> None:
    agent = await make_agent(identity, alice)
    revoked, expired = [await issue(identity, alice.principal, agent) for _ in range(2)]
    principals = [await principal_of(identity, issued) for issued in (revoked, expired)]
    for principal in principals:
        await authorize(identity, principal)
    await identity.credentials.revoke(alice.principal, agent.id, revoked.credential.id, None)
    identity.clock.advance(timedelta(hours=8))
    for principal in principals:
        with pytest.raises(InvalidApiKey):
            await authorize(identity, principal)
    assert await identity.audit(alice.principal.org_id, "agent.tool_denied") == []


async def test_no_invocation_outlives_its_credential(identity: Identity, alice: Person) -> None:
    ends = identity.clock.now() + timedelta(minutes=7)
    principal = await credential(identity, alice, expires_at=ends)
    assert (await authorize(identity, principal)).invocation.expires_at == ends


async def test_only_the_credential_that_was_asked_with_may_read_and_complete(
    identity: Identity, alice: Person, mallory: Person
) -> None:
    agent = await make_agent(identity, alice)
    own, sibling = [await principal_of(identity, await issue(identity, alice.principal, agent)) for _ in range(2)]
    foreign = await credential(identity, mallory)
    made = await authorize(identity, own)
    for stranger in (sibling, foreign):
        with pytest.raises(ResourceNotFound):
            await identity.invocations.get(stranger, made.invocation.id)
        with pytest.raises(ResourceNotFound):
            await complete(identity, stranger, made)
        with pytest.raises(ResourceNotFound):
            await anext(identity.invocations.watch(stranger, made.invocation.id))
    for id_ in (new_ulid(identity.clock), "no id", "", made.invocation.id.lower()):
        with pytest.raises(ResourceNotFound):
            await identity.invocations.get(own, id_)
        with pytest.raises(ResourceNotFound):
            await identity.invocations.complete(own, id_, "failed")
    assert await complete(identity, own, made) == "completed succeeded"


async def test_the_same_outcome_is_told_once_and_another_is_refused(identity: Identity, alice: Person) -> None:
    principal = await credential(identity, alice)
    made = await authorize(identity, principal)
    assert await complete(identity, principal, made) == "completed succeeded"
    assert await complete(identity, principal, made) == "completed succeeded"
    with pytest.raises(InvocationEnded) as refusal:
        await complete(identity, principal, made, "failed")
    assert refusal.value.details == {"status": "completed"}
    assert refusal.value.answer.http_status == 409
    assert len(await identity.audit(alice.principal.org_id, "agent.invocation_completed")) == 1


async def test_of_contradicting_completions_at_once_one_holds(identity: Identity, alice: Person) -> None:
    principal = await credential(identity, alice)
    made = await authorize(identity, principal)
    outcomes = ["succeeded", "failed"] * 10
    told = await asyncio.gather(
        *(complete(identity, principal, made, outcome) for outcome in outcomes), return_exceptions=True
    )
    held = (await identity.invocations.get(principal, made.invocation.id)).invocation.outcome
    assert [f"completed {held}" if outcome == held else InvocationEnded for outcome in outcomes] == [
        each if isinstance(each, str) else type(each) for each in told
    ]
    assert len(await identity.audit(alice.principal.org_id, "agent.invocation_completed")) == 1


async def test_the_audit_names_agent_credential_path_and_call(identity: Identity, alice: Person) -> None:
    agent = await make_agent(identity, alice)
    root = await credential(identity, alice, TOOL, may_delegate_to(agent))
    principal = await principal_of(identity, await issue(identity, root, agent))
    with calling(principal) as call:
        made = await authorize(identity, principal, Invoke("calendar.find_slots", {"patient": "Ada Poe"}))
        await complete(identity, principal, made)
        with pytest.raises(ToolNotInScope):
            await authorize(identity, principal, Invoke("tell.Ada-Poe", {"patient": "Ada Poe"}))
    org_id = alice.principal.org_id
    (authorized,) = await identity.audit(org_id, "agent.tool_authorized")
    (completed,) = await identity.audit(org_id, "agent.invocation_completed")
    (denied,) = await identity.audit(org_id, "agent.tool_denied")
    for event in (authorized, completed, denied):
        assert (event.actor_type, event.actor_id) == ("agent", agent.id)
        assert event.credential_id == principal.id
        assert list(event.delegation_path) == [alice.principal.user_id, root.id, principal.id]
        assert event.user_id == alice.principal.user_id
        assert (event.ip_address, event.request_id) == (IP_ADDRESS, call.request_id)
        assert "Poe" not in str(event)
    assert (authorized.entity_type, authorized.entity_id) == ("invocation", made.invocation.id)
    assert facts(authorized) == {"type": "external.tool.invoke", "tool_id": "calendar.find_slots", "grant_no": 0}
    assert (completed.entity_type, completed.entity_id) == ("invocation", made.invocation.id)
    assert facts(completed) == {"outcome": "succeeded"}
    assert (denied.entity_type, denied.entity_id) == ("credential", principal.id)
    assert facts(denied) == {"type": "external.tool.invoke", "listed": False, "reason": "TOOL_NOT_IN_SCOPE"}
    assert "Poe" not in str(await stored(identity, "invocations"))


async def test_each_caller_of_a_batch_is_named_by_its_own_call(identity: Identity, alice: Person) -> None:
    principals = [await credential(identity, alice) for _ in range(5)]
    requests = {principal.id: f"req_{new_ulid(identity.clock)}" for principal in principals}

    async def call(principal: Principal) -> None:
        with calling(principal, requests[principal.id]):
            await authorize(identity, principal)

    await asyncio.gather(*(call(principal) for principal in principals))
    events = await identity.audit(alice.principal.org_id, "agent.tool_authorized")
    assert {event.credential_id: event.request_id for event in events} == requests
    assert {event.actor_id for event in events} == {principal.agent_id for principal in principals}


@pytest.mark.parametrize(
    ("settings", "grant", "reason"),
    [
        ({"max_concurrent_invocations": 1}, TOOL, "CONCURRENCY_LIMIT_REACHED"),
        ({}, TOOL | {"rate_limit": 1}, "RATE_LIMITED"),
    ],
)
async def test_a_limit_is_a_denial_that_names_the_tool_it_knows(
    identity: Identity, alice: Person, settings: dict[str, Any], grant: dict[str, Any], reason: str
) -> None:
    principal = await credential(identity, alice, grant, **settings)
    await authorize(identity, principal)
    with pytest.raises(ServiceError) as refusal:
        await authorize(identity, principal)
    assert (refusal.value.reason, refusal.value.answer.http_status, refusal.value.answer.retryable) == (
        reason,
        429,
        True,
    )
    assert refusal.value.retry_after is not None
    (denied,) = await identity.audit(alice.principal.org_id, "agent.tool_denied")
    assert facts(denied) == {"type": "external.tool.invoke", "tool_id": "calendar.find_slots", "reason": reason}


async def test_an_overdue_invocation_has_expired_and_is_swept_once(identity: Identity, alice: Person) -> None:
    principal = await credential(identity, alice)
    with calling(principal):
        overdue = await authorize(identity, principal)
        finished = await authorize(identity, principal)
        await complete(identity, principal, finished)
        identity.clock.advance(timedelta(minutes=1))
        running = await authorize(identity, principal)
    identity.clock.advance(timedelta(minutes=14))
    assert (await identity.invocations.get(principal, overdue.invocation.id)).invocation.status is Status.EXPIRED
    sweepers = [Sweeper(identity.db, identity.clock) for _ in range(2)]
    assert sorted(await asyncio.gather(*(sweeper.expire() for sweeper in sweepers))) == [0, 1]
    assert await sweepers[0].expire() == 0
    swept = (await identity.invocations.get(principal, overdue.invocation.id)).invocation
    assert (swept.status, swept.ended_at) == (Status.EXPIRED, overdue.invocation.expires_at)
    assert (await identity.invocations.get(principal, running.invocation.id)).invocation.is_running
    (event,) = await identity.audit(alice.principal.org_id, "agent.invocation_cancelled")
    assert (event.entity_id, facts(event)) == (overdue.invocation.id, {"reason": "expired"})
    assert (event.actor_type, event.credential_id, event.user_id) == ("system", principal.id, alice.principal.user_id)
    assert list(event.delegation_path) == [alice.principal.user_id, principal.id]
    with pytest.raises(InvocationEnded):
        await complete(identity, principal, overdue)


async def test_two_sweepers_end_each_of_many_once(identity: Identity, alice: Person) -> None:
    principals = [await credential(identity, alice, max_concurrent_invocations=1000) for _ in range(3)]
    await asyncio.gather(*(authorize(identity, principals[number % 3]) for number in range(1200)))
    identity.clock.advance(timedelta(minutes=15))
    sweepers = [Sweeper(identity.db, identity.clock) for _ in range(2)]

    async def sweep(sweeper: Sweeper) -> int:
        return sum([await sweeper.expire() for _ in range(4)])

    assert sum(await asyncio.gather(*(sweep(sweeper) for sweeper in sweepers))) == 1200
    events = await identity.audit(alice.principal.org_id, "agent.invocation_cancelled")
    assert len(events) == len({event.entity_id for event in events}) == 1200


async def test_what_ended_long_ago_is_forgotten(identity: Identity, alice: Person) -> None:
    principal = await credential(
        identity, alice, TOOL | {"rate_limit": 9}, expires_at=identity.clock.now() + timedelta(days=30)
    )
    sweeper = Sweeper(identity.db, identity.clock)
    old = await authorize(identity, principal)
    await complete(identity, principal, old)
    identity.clock.advance(timedelta(hours=3))
    young = await authorize(identity, principal)
    await complete(identity, principal, young)
    await sweeper.prune()
    assert len(await stored(identity, "grant_uses")) == 1
    identity.clock.advance(KEPT - timedelta(hours=1))
    await sweeper.prune()
    assert [row[1] for row in await stored(identity, "invocations")] == [young.invocation.id]
    assert await stored(identity, "grant_uses") == []
