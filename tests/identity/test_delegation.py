"""Credentials that come from credentials: never more than their parent, never longer, never deeper than told."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.access import Principal
from services.chassis.errors import InvalidApiKey, ServiceError
from services.identity.domain.agents import Agent
from services.identity.domain.credentials import WantedCredential
from services.identity.usecases.credentials import IssuedCredential
from services.identity.wire.values import plain
from tests.identity.agents import TOOL, issue, make_agent, may_delegate_to, principal_of
from tests.identity.conftest import Identity, Person

READ = {"type": "hasp.data.read", "entities": ["patients", "visits"]}


@pytest.fixture
async def child(identity: Identity, alice: Person) -> Agent:
    return await make_agent(identity, alice)


async def parent_of(identity: Identity, person: Person, child: Agent, *grants: Any, **more: Any) -> Principal:
    """The principal of a credential that may delegate to the child."""
    agent = await make_agent(identity, person)
    granted = grants or (TOOL, READ, may_delegate_to(child))
    return await principal_of(identity, await issue(identity, person.principal, agent, *granted, **more))


async def refused(call: Any) -> tuple[str, str | None]:
    with pytest.raises(ServiceError) as refusal:
        await call
    return refusal.value.reason, refusal.value.param


async def chain(identity: Identity, alice: Person, length: int) -> list[IssuedCredential]:
    """A root and `length` delegations below it, each to another agent."""
    agents = [await make_agent(identity, alice) for _ in range(length + 1)]
    grants = [TOOL, *(may_delegate_to(agent) for agent in agents)]
    made = [await issue(identity, alice.principal, agents[0], *grants)]
    for agent in agents[1:]:
        made.append(await issue(identity, await principal_of(identity, made[-1]), agent, *grants))
    return made


async def test_the_path_to_the_human_is_on_the_credential_and_on_its_event(
    identity: Identity, alice: Person, child: Agent
) -> None:
    parent = await parent_of(identity, alice, child)
    made = (await issue(identity, parent, child)).credential
    path = [alice.principal.user_id, parent.id, made.id]
    assert (made.delegation_path, made.parent_id, made.chain_depth) == (path, parent.id, 1)
    assert made.delegating_user_id == alice.principal.user_id
    (event,) = await identity.audit(alice.principal.org_id, "agent.credential_delegated")
    assert event.entity_id == made.id
    assert plain(event.metadata)["delegation_path"] == path
    assert event.metadata["parent_credential_id"] == parent.id


async def test_without_a_grant_to_that_very_agent_nothing_is_delegated(
    identity: Identity, alice: Person, child: Agent
) -> None:
    other = await make_agent(identity, alice)
    parent = await parent_of(identity, alice, child)
    assert (await refused(issue(identity, parent, other)))[0] == "DELEGATION_NOT_PERMITTED"
    star = await parent_of(identity, alice, child, TOOL, may_delegate_to(child) | {"to_agent_id": "*"})
    assert (await refused(issue(identity, star, child)))[0] == "DELEGATION_NOT_PERMITTED"
    unknown = await refused(identity.credentials.issue(parent, "no such agent", wanted()))
    assert unknown[0] == "DELEGATION_NOT_PERMITTED"


async def test_a_grant_beyond_the_parents_is_refused_by_its_place(
    identity: Identity, alice: Person, child: Agent
) -> None:
    parent = await parent_of(identity, alice, child)
    narrower = READ | {"entities": ["visits"]}
    assert (await issue(identity, parent, child, TOOL, narrower)).credential.covered_by == [0, 1]
    for beyond in (READ | {"entities": ["bills"]}, {"type": "hasp.data.read"}, {"type": "hasp.data.write"}):
        assert await refused(issue(identity, parent, child, TOOL, beyond)) == (
            "SCOPE_EXCEEDS_PARENT",
            "granted_scopes[1]",
        )


async def test_it_ends_no_later_than_its_parent(identity: Identity, alice: Person, child: Agent) -> None:
    ends = identity.clock.now() + timedelta(hours=2)
    parent = await parent_of(identity, alice, child, expires_at=ends)
    assert (await issue(identity, parent, child)).credential.expires_at == ends
    assert (await issue(identity, parent, child, expires_at=ends)).credential.expires_at == ends
    late = ends + timedelta(milliseconds=1)
    assert await refused(issue(identity, parent, child, expires_at=late)) == ("EXPIRY_EXCEEDS_PARENT", "expires_at")


async def test_the_chain_ends_where_the_grant_says(identity: Identity, alice: Person, child: Agent) -> None:
    last = await make_agent(identity, alice)
    once = (TOOL, may_delegate_to(child, 1), may_delegate_to(last, 1))
    parent = await parent_of(identity, alice, child, *once)
    first = await principal_of(identity, await issue(identity, parent, child, *once))
    assert (await refused(issue(identity, first, last)))[0] == "CHAIN_DEPTH_EXCEEDED"


async def test_no_chain_is_longer_than_three(identity: Identity, alice: Person, child: Agent) -> None:
    made = await chain(identity, alice, 3)
    assert [each.credential.chain_depth for each in made] == [0, 1, 2, 3]
    deepest = await principal_of(identity, made[-1])
    own = made[-1].credential.agent_id
    again = [agent for agent in made[0].credential.granted_scopes if agent.get("to_agent_id") == own]
    assert len(again) == 1
    with pytest.raises(ServiceError) as refusal:
        await identity.credentials.issue(deepest, own, wanted())
    assert refusal.value.reason == "CHAIN_DEPTH_EXCEEDED"
    assert refusal.value.details == {"max_chain_depth": 3}


async def test_a_child_may_not_delegate_deeper_than_its_parent(identity: Identity, alice: Person, child: Agent) -> None:
    last = await make_agent(identity, alice)
    parent = await parent_of(identity, alice, child, may_delegate_to(child, 2), may_delegate_to(last, 2))
    deeper = issue(identity, parent, child, may_delegate_to(last, 3))
    assert await refused(deeper) == ("SCOPE_EXCEEDS_PARENT", "granted_scopes[0]")


async def test_the_childs_agent_bounds_it_too(identity: Identity, alice: Person) -> None:
    child = await make_agent(identity, alice, allowed_scope_types=["hasp.data.read"])
    parent = await parent_of(identity, alice, child)
    assert await refused(issue(identity, parent, child, READ, TOOL)) == ("INVALID_SCOPE_TYPE", "granted_scopes[1].type")
    await identity.agents.archive(alice.principal, child.id)
    assert (await refused(issue(identity, parent, child, READ)))[0] == "AGENT_ARCHIVED"


async def test_a_child_runs_no_more_at_a_time_than_its_parent(identity: Identity, alice: Person, child: Agent) -> None:
    parent = await parent_of(identity, alice, child, max_concurrent_invocations=3)
    assert (await issue(identity, parent, child)).credential.max_concurrent_invocations == 3
    more = issue(identity, parent, child, max_concurrent_invocations=4)
    assert await refused(more) == ("SCOPE_EXCEEDS_PARENT", "max_concurrent_invocations")


async def test_below_a_test_mode_parent_all_is_test_mode(identity: Identity, alice: Person, child: Agent) -> None:
    parent = await parent_of(identity, alice, child, test_mode=True)
    assert (await issue(identity, parent, child)).credential.test_mode
    assert await refused(issue(identity, parent, child, test_mode=False)) == ("SCOPE_EXCEEDS_PARENT", "test_mode")
    live = await parent_of(identity, alice, child)
    assert not (await issue(identity, live, child)).credential.test_mode
    assert (await issue(identity, live, child, test_mode=True)).credential.test_mode


async def test_nothing_escapes_a_revocation_by_being_delegated_meanwhile(
    identity: Identity, alice: Person, child: Agent
) -> None:
    grants = (TOOL, may_delegate_to(child))
    for _ in range(12):
        agent = await make_agent(identity, alice)
        root = await issue(identity, alice.principal, agent, *grants)
        principal = await principal_of(identity, root)
        first = await principal_of(identity, await issue(identity, principal, child, *grants))
        delegating = [issue(identity, by, child, *grants) for by in (principal, first) for _ in range(4)]
        revoking = asyncio.create_task(identity.credentials.revoke(alice.principal, agent.id, root.credential.id, None))
        delegated = await asyncio.gather(*delegating, return_exceptions=True)
        _, cascade = await revoking
        made = [each for each in delegated if not isinstance(each, BaseException)]
        assert {type(each) for each in delegated if isinstance(each, BaseException)} <= {InvalidApiKey}
        assert {each.credential.id for each in made} | {first.id} == set(cascade)
        for each in made:
            with pytest.raises(InvalidApiKey):
                await principal_of(identity, each)


def wanted() -> Any:
    return WantedCredential("a credential", None, [TOOL], None, None, None, None)
