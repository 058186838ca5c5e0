"""Agents on a real database: each verb, its refusals, its trace in the audit log, and what several callers at once may not break."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from services.chassis.errors import ResourceNotFound, ServiceError, ValidationFailed
from services.chassis.ulids import new_ulid
from services.identity.domain.agents import Agent, Selection, Status, WantedAgent
from services.identity.domain.errors import AgentArchived, AgentNameTaken, InvalidScopeType
from services.identity.usecases.agents import Updated
from services.identity.usecases.credentials import IssuedCredential
from tests.identity.agents import issue, may_delegate_to, principal_of
from tests.identity.conftest import Identity, Person

SETTINGS: dict[str, Any] = {
    "name": "IntakeRouter",
    "description": None,
    "capabilities": ["chart-review", "scheduling-handoff"],
    "default_expiry_hours": 8,
    "default_revocation_policy": "drain",
    "allowed_scope_types": None,
}
READ = {"type": "hasp.data.read"}
WRITE = {"type": "hasp.data.write"}
GARBAGE = ("", "nonsense", "a\x00", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01arz3ndektsv4rrffq69g5fav", "%", "x" * 1000)


async def register(identity: Identity, person: Person, **settings: Any) -> Agent:
    """Each a moment after the one before."""
    identity.clock.advance(timedelta(seconds=1))
    return await identity.agents.register(person.principal, WantedAgent.of(SETTINGS | settings))


async def events(identity: Identity, person: Person, action: str) -> list[tuple[str, dict[str, Any]]]:
    """(agent's id, metadata) of each audit event."""
    found = await identity.audit(person.principal.org_id, action)
    assert all(event.entity_type == "agent" for event in found)
    return [(event.entity_id, MessageToDict(event.metadata)) for event in found]


async def names(identity: Identity, person: Person, **selection: Any) -> list[str]:
    page = await identity.agents.page(person.principal, Selection(**selection))
    return [each.agent.name for each in page.agents]


# Registering


async def test_a_registered_agent_is_what_was_wanted(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice, description="Sorts\nreferrals.", allowed_scope_types=["hasp.data.read"])
    assert await identity.agents.get(alice.principal, agent.id) == agent
    assert (agent.name, agent.description, agent.capabilities) == (
        "IntakeRouter",
        "Sorts\nreferrals.",
        ["chart-review", "scheduling-handoff"],
    )
    assert (agent.default_expiry_hours, agent.default_revocation_policy) == (8, "drain")
    assert (agent.allowed_scope_types, agent.status) == (["hasp.data.read"], Status.ACTIVE)
    assert agent.created_at == identity.clock.now()


@pytest.mark.parametrize("allowed", [None, []])
async def test_all_scope_types_and_none_of_them_are_kept_apart(
    identity: Identity, alice: Person, allowed: list[str] | None
) -> None:
    agent = await register(identity, alice, allowed_scope_types=allowed)
    assert (await identity.agents.get(alice.principal, agent.id)).allowed_scope_types == allowed


async def test_registering_is_audited_without_what_a_person_typed(identity: Identity, alice: Person) -> None:
    typed = {"name": "Jane Doe's agent", "description": "For Jane Doe.", "capabilities": ["jane", "doe"]}
    agent = await register(identity, alice, **typed, allowed_scope_types=["hasp.data.read"])
    ((entity_id, metadata),) = await events(identity, alice, "agent.registered")
    assert entity_id == agent.id
    assert metadata == {
        "default_expiry_hours": 8,
        "default_revocation_policy": "drain",
        "allowed_scope_types": ["hasp.data.read"],
        "capabilities": 2,
    }


@pytest.mark.parametrize("name", ["IntakeRouter", "intakerouter", "INTAKEROUTER"])
async def test_a_name_that_an_active_agent_has_is_taken(identity: Identity, alice: Person, name: str) -> None:
    await register(identity, alice)
    with pytest.raises(AgentNameTaken) as refusal:
        await register(identity, alice, name=name)
    assert refusal.value.param == "name"
    assert await names(identity, alice) == ["IntakeRouter"]
    assert len(await events(identity, alice, "agent.registered")) == 1


async def test_letters_beyond_ascii_have_cases_too(identity: Identity, alice: Person) -> None:
    await register(identity, alice, name="Überweisung")
    with pytest.raises(AgentNameTaken):
        await register(identity, alice, name="ÜBERWEISUNG")


async def test_the_name_of_an_archived_agent_and_another_organizations_is_free(
    identity: Identity, alice: Person, mallory: Person
) -> None:
    await register(identity, mallory)
    agent = await register(identity, alice)
    await identity.agents.archive(alice.principal, agent.id)
    again = await register(identity, alice)
    assert again.id != agent.id
    await identity.agents.archive(alice.principal, again.id)
    assert await names(identity, alice, status=Status.ARCHIVED) == ["IntakeRouter", "IntakeRouter"]


async def test_of_twenty_registrations_of_one_name_one_succeeds(identity: Identity, alice: Person) -> None:
    wanted = [WantedAgent.of(SETTINGS | {"name": name}) for name in ("Router", "ROUTER") * 10]
    answers = await asyncio.gather(
        *(identity.agents.register(alice.principal, each) for each in wanted), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(Agent) == 1
    assert [type(answer) for answer in answers].count(AgentNameTaken) == 19
    assert len(await names(identity, alice, status=None)) == 1
    assert len(await events(identity, alice, "agent.registered")) == 1


# Listing and reading


async def test_agents_are_listed_newest_first_in_numbered_pages(identity: Identity, alice: Person) -> None:
    for number in range(5):
        await register(identity, alice, name=f"Agent {number}")
    pages = [
        await identity.agents.page(alice.principal, Selection(page=number, per_page=2)) for number in (1, 2, 3, 4, 9999)
    ]
    assert [[each.agent.name for each in page.agents] for page in pages] == [
        ["Agent 4", "Agent 3"],
        ["Agent 2", "Agent 1"],
        ["Agent 0"],
        [],
        [],
    ]
    assert {(page.total, page.last) for page in pages} == {(5, 3)}
    assert [page.number for page in pages] == [1, 2, 3, 4, 9999]


async def test_a_list_of_nothing_has_one_page(identity: Identity, alice: Person) -> None:
    page = await identity.agents.page(alice.principal, Selection())
    assert (list(page.agents), page.total, page.number, page.last) == ([], 0, 1, 1)


@pytest.mark.parametrize(("per_page", "last"), [(1, 4), (2, 2), (3, 2), (4, 1), (100, 1)])
async def test_the_last_page_holds_the_rest(identity: Identity, alice: Person, per_page: int, last: int) -> None:
    for number in range(4):
        await register(identity, alice, name=f"Agent {number}")
    page = await identity.agents.page(alice.principal, Selection(page=last, per_page=per_page))
    assert page.last == last
    assert len(page.agents) == 4 - (last - 1) * per_page


async def test_a_list_shows_active_agents_archived_ones_or_both(identity: Identity, alice: Person) -> None:
    await register(identity, alice, name="Active")
    archived = await register(identity, alice, name="Archived")
    await identity.agents.archive(alice.principal, archived.id)
    assert await names(identity, alice) == ["Active"]
    assert await names(identity, alice, status=Status.ARCHIVED) == ["Archived"]
    assert await names(identity, alice, status=None) == ["Archived", "Active"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["100% sure", "a_b", "a\\b", "Überweisung", "aXb", "Intake Router"]),
        ("intake", ["Intake Router"]),
        ("TAKE R", ["Intake Router"]),
        ("router ", []),
        ("%", ["100% sure"]),
        ("0%", ["100% sure"]),
        ("1%s", []),
        ("_", ["a_b"]),
        ("a_b", ["a_b"]),
        ("\\", ["a\\b"]),
        ("A\\B", ["a\\b"]),
        ("/", []),
        ("überW", ["Überweisung"]),
        ("ÜBER", ["Überweisung"]),
        ("'; DROP TABLE agents; --", []),
    ],
)
async def test_a_search_finds_part_of_a_name_and_takes_every_character_literally(
    identity: Identity, alice: Person, search: str, found: list[str]
) -> None:
    for name in ("Intake Router", "aXb", "Überweisung", "a\\b", "a_b", "100% sure"):
        await register(identity, alice, name=name)
    assert await names(identity, alice, search=search) == found
    page = await identity.agents.page(alice.principal, Selection(search=search, per_page=1))
    assert page.total == len(found)


async def test_a_search_finds_the_beginning_of_an_id_in_any_case(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    identity.clock.advance(timedelta(days=1))
    await register(identity, alice, name="Other")
    for search in (agent.id, agent.id[:12], agent.id.lower(), agent.id[:20].lower()):
        assert await names(identity, alice, search=search) == ["IntakeRouter"]
    assert await names(identity, alice, search=agent.id[1:]) == []
    assert await names(identity, alice, search=agent.id[:3]) == ["Other", "IntakeRouter"]


async def test_a_list_counts_the_credentials_in_force(identity: Identity, alice: Person) -> None:
    agent, other = await register(identity, alice), await register(identity, alice, name="Other")

    async def counts() -> list[int]:
        page = await identity.agents.page(alice.principal, Selection(status=None))
        return [each.active_credentials for each in page.agents]

    assert await counts() == [0, 0]
    soon = await issue(identity, alice.principal, agent, READ, expires_at=identity.clock.now() + timedelta(hours=1))
    revoked = await issue(identity, alice.principal, agent, READ)
    await issue(identity, alice.principal, agent, READ)
    await issue(identity, alice.principal, other, READ)
    assert await counts() == [1, 3]
    await identity.credentials.revoke(alice.principal, agent.id, revoked.credential.id, None)
    assert await counts() == [1, 2]
    identity.clock.advance(soon.credential.expires_at - identity.clock.now())
    assert await counts() == [1, 1]
    await identity.agents.archive(alice.principal, agent.id)
    assert await counts() == [1, 0]


@pytest.mark.parametrize("agent_id", GARBAGE)
async def test_what_is_no_id_is_not_found(identity: Identity, alice: Person, agent_id: str) -> None:
    await register(identity, alice)
    for call in (
        identity.agents.get(alice.principal, agent_id),
        identity.agents.update(alice.principal, agent_id, {"name": "Mine"}),
        identity.agents.archive(alice.principal, agent_id),
        identity.agents.reactivate(alice.principal, agent_id),
    ):
        with pytest.raises(ResourceNotFound):
            await call


async def test_an_unknown_agent_and_another_organizations_are_not_found(
    identity: Identity, alice: Person, mallory: Person
) -> None:
    agent = await register(identity, alice)
    for person, agent_id in ((mallory, agent.id), (alice, new_ulid(identity.clock))):
        for call in (
            identity.agents.get(person.principal, agent_id),
            identity.agents.update(person.principal, agent_id, {"name": "Mine"}),
            identity.agents.update(person.principal, agent_id, {}),
            identity.agents.archive(person.principal, agent_id),
            identity.agents.reactivate(person.principal, agent_id),
        ):
            with pytest.raises(ResourceNotFound):
                await call
    assert await names(identity, mallory, status=None) == []
    assert await names(identity, mallory, status=None, search=agent.id) == []
    assert await identity.agents.get(alice.principal, agent.id) == agent


# Updating


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Other"),
        ("name", "INTAKEROUTER"),
        ("description", "Long\nform."),
        ("description", ""),
        ("capabilities", []),
        ("capabilities", ["scheduling-handoff", "chart-review"]),
        ("default_expiry_hours", 720),
        ("default_revocation_policy", "kill"),
        ("allowed_scope_types", []),
        ("allowed_scope_types", ["hasp.data.read"]),
    ],
)
async def test_a_patch_changes_what_it_names_and_nothing_else(
    identity: Identity, alice: Person, field: str, value: Any
) -> None:
    before = await register(identity, alice)
    updated = await identity.agents.update(alice.principal, before.id, {field: value})
    assert getattr(updated.agent, field) == value
    assert updated.agent.changed_fields(before) == [field]
    assert await identity.agents.get(alice.principal, before.id) == updated.agent
    assert [entity_id for entity_id, _ in await events(identity, alice, "agent.metadata_updated")] == [before.id]


async def test_null_clears_what_may_be_nothing(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice, description="Long form.", allowed_scope_types=[])
    updated = await identity.agents.update(
        alice.principal, agent.id, {"description": None, "allowed_scope_types": None}
    )
    assert (updated.agent.description, updated.agent.allowed_scope_types) == (None, None)
    assert await identity.agents.get(alice.principal, agent.id) == updated.agent


@pytest.mark.parametrize("field", ["name", "capabilities", "default_expiry_hours", "default_revocation_policy"])
async def test_null_is_refused_where_there_is_always_something(identity: Identity, alice: Person, field: str) -> None:
    agent = await register(identity, alice)
    with pytest.raises(ValidationFailed) as refusal:
        await identity.agents.update(alice.principal, agent.id, {field: None})
    assert refusal.value.param == field
    assert await identity.agents.get(alice.principal, agent.id) == agent


async def test_one_wrong_field_refuses_the_whole_patch(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    for patch, refused in (
        ({"name": "Other", "mood": "cheerful"}, ValidationFailed),
        ({"name": "Other", "default_expiry_hours": 0}, ValidationFailed),
        ({"name": "Other", "allowed_scope_types": ["hasp.data.delete"]}, InvalidScopeType),
    ):
        with pytest.raises(refused):
            await identity.agents.update(alice.principal, agent.id, patch)
    assert await identity.agents.get(alice.principal, agent.id) == agent
    assert await events(identity, alice, "agent.metadata_updated") == []


async def test_a_patch_that_changes_nothing_leaves_no_trace(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice, description="Same.", allowed_scope_types=["hasp.data.read"])
    same = {field: getattr(agent, field) for field in SETTINGS}
    for patch in ({}, same, {"default_expiry_hours": 8.0}, *({field: value} for field, value in same.items())):
        assert (await identity.agents.update(alice.principal, agent.id, patch)).agent == agent
    assert await events(identity, alice, "agent.metadata_updated") == []


async def test_an_update_is_audited_with_the_values_of_settings_and_the_names_of_texts(
    identity: Identity, alice: Person
) -> None:
    agent = await register(identity, alice, allowed_scope_types=["hasp.data.read"])
    patch = {
        "name": "Jane Doe",
        "description": "Jane Doe's.",
        "capabilities": ["jane"],
        "default_expiry_hours": 24,
        "default_revocation_policy": "drain",
        "allowed_scope_types": None,
    }
    await identity.agents.update(alice.principal, agent.id, patch)
    ((_, metadata),) = await events(identity, alice, "agent.metadata_updated")
    assert metadata == {
        "changed": ["name", "description", "capabilities", "default_expiry_hours", "allowed_scope_types"],
        "old": {"default_expiry_hours": 8, "allowed_scope_types": ["hasp.data.read"]},
        "new": {"default_expiry_hours": 24, "allowed_scope_types": None},
    }


async def test_an_agent_is_not_renamed_to_a_name_that_is_taken(identity: Identity, alice: Person) -> None:
    await register(identity, alice)
    other = await register(identity, alice, name="Other")
    with pytest.raises(AgentNameTaken):
        await identity.agents.update(
            alice.principal, other.id, {"name": "intakeROUTER", "default_revocation_policy": "kill"}
        )
    assert await identity.agents.get(alice.principal, other.id) == other
    assert await events(identity, alice, "agent.metadata_updated") == []


async def test_of_many_renames_to_one_name_one_succeeds(identity: Identity, alice: Person) -> None:
    agents = [await register(identity, alice, name=f"Agent {number}") for number in range(8)]
    answers = await asyncio.gather(
        *(identity.agents.update(alice.principal, agent.id, {"name": "Wanted"}) for agent in agents),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, AgentNameTaken) for answer in answers) == 7
    assert await names(identity, alice, search="wanted") == ["Wanted"]


async def test_an_archived_agent_may_be_changed_and_its_name_concerns_nobody(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice, name="Old")
    await identity.agents.archive(alice.principal, agent.id)
    await register(identity, alice)
    updated = await identity.agents.update(alice.principal, agent.id, {"name": "IntakeRouter"})
    assert (updated.agent.name, updated.agent.status) == ("IntakeRouter", Status.ARCHIVED)


async def test_patches_of_different_fields_at_once_lose_nothing(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    patches: Sequence[dict[str, Any]] = [
        {"name": "Other"},
        {"description": "Long form."},
        {"capabilities": ["one"]},
        {"default_expiry_hours": 1},
        {"default_revocation_policy": "kill"},
        {"allowed_scope_types": []},
    ]
    await asyncio.gather(*(identity.agents.update(alice.principal, agent.id, patch) for patch in patches))
    after = await identity.agents.get(alice.principal, agent.id)
    for patch in patches:
        assert {field: getattr(after, field) for field in patch} == patch
    assert len(await events(identity, alice, "agent.metadata_updated")) == 6


async def test_patches_of_one_field_at_once_follow_one_another(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    hours = range(100, 110)
    await asyncio.gather(
        *(identity.agents.update(alice.principal, agent.id, {"default_expiry_hours": each}) for each in hours)
    )
    trace = [metadata for _, metadata in await events(identity, alice, "agent.metadata_updated")]
    steps = {each["old"]["default_expiry_hours"]: each["new"]["default_expiry_hours"] for each in trace}
    # Each change is a change of what the one before left: they form one chain from the first value to the last.
    at, seen = 8.0, 0
    while at in steps:
        at, seen = steps[at], seen + 1
    assert seen == len(hours)
    assert at == (await identity.agents.get(alice.principal, agent.id)).default_expiry_hours


async def test_what_a_narrowed_list_leaves_outside_is_named_and_stays_valid(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    reader = await issue(identity, alice.principal, agent, READ)
    identity.clock.advance(timedelta(seconds=1))
    writer = await issue(identity, alice.principal, agent, READ, WRITE)
    identity.clock.advance(timedelta(seconds=1))
    both = [reader.credential.id, writer.credential.id]

    async def outside(**patch: Any) -> list[str]:
        return list((await identity.agents.update(alice.principal, agent.id, patch)).outside)

    assert await outside(default_expiry_hours=9) == []
    assert await outside(allowed_scope_types=["hasp.data.read"]) == both[1:]
    assert await outside() == both[1:]
    assert await outside(allowed_scope_types=[]) == both
    assert await outside(allowed_scope_types=["human.escalate"]) == both
    for issued in (reader, writer):
        assert (await identity.authentication.authenticate(issued.token)).id == issued.credential.id
    with pytest.raises(InvalidScopeType):
        await issue(identity, alice.principal, agent, READ)
    await identity.credentials.revoke(alice.principal, agent.id, reader.credential.id, None)
    assert await outside() == both[1:]
    identity.clock.advance(timedelta(hours=8))
    assert await outside() == []
    assert await outside(allowed_scope_types=None) == []


# Archiving and reactivating


async def test_archiving_ends_what_the_agent_holds_and_what_was_delegated_from_it(
    identity: Identity, alice: Person
) -> None:
    agent = await register(identity, alice)
    child = await register(identity, alice, name="Child")
    drained = await issue(identity, alice.principal, agent, READ, may_delegate_to(child), revocation_policy="drain")
    identity.clock.advance(timedelta(seconds=1))
    killed = await issue(identity, alice.principal, agent, READ, revocation_policy="kill")
    delegated = await issue(identity, await principal_of(identity, drained), child, READ)
    own = await issue(identity, alice.principal, child, READ)
    archived = await identity.agents.archive(alice.principal, agent.id)
    ended = sorted(issued.credential.id for issued in (drained, killed, delegated))
    assert list(archived.revoked_credential_ids) == ended
    assert (archived.agent.status, archived.agent.archived_at) == (Status.ARCHIVED, identity.clock.now())
    assert await events(identity, alice, "agent.archived") == [(agent.id, {"revoked_credential_ids": ended})]
    for issued in (drained, killed, delegated):
        with pytest.raises(ServiceError):
            await identity.authentication.authenticate(issued.token)
        credential = issued.credential
        after = await identity.credentials.get(alice.principal, credential.agent_id, credential.id)
        assert (after.revoked_at, after.revoked_with) == (identity.clock.now(), "kill")
    assert (await identity.authentication.authenticate(own.token)).id == own.credential.id
    assert (await identity.agents.get(alice.principal, child.id)).status is Status.ACTIVE


async def test_an_archived_agent_gets_no_credential(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    await identity.agents.archive(alice.principal, agent.id)
    with pytest.raises(AgentArchived):
        await issue(identity, alice.principal, agent, READ)


async def test_archiving_an_archived_agent_changes_nothing(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    await issue(identity, alice.principal, agent, READ)
    first = await identity.agents.archive(alice.principal, agent.id)
    identity.clock.advance(timedelta(hours=1))
    again = await identity.agents.archive(alice.principal, agent.id)
    assert (again.agent, list(again.revoked_credential_ids)) == (first.agent, [])
    assert len(await events(identity, alice, "agent.archived")) == 1


async def test_a_reactivated_agent_gets_credentials_and_none_of_the_old_ones_back(
    identity: Identity, alice: Person
) -> None:
    agent = await register(identity, alice)
    issued = await issue(identity, alice.principal, agent, READ)
    await identity.agents.archive(alice.principal, agent.id)
    assert await identity.agents.reactivate(alice.principal, agent.id) == agent
    assert await identity.agents.get(alice.principal, agent.id) == agent
    with pytest.raises(ServiceError):
        await identity.authentication.authenticate(issued.token)
    (listed,) = (await identity.agents.page(alice.principal, Selection())).agents
    assert listed.active_credentials == 0
    assert await events(identity, alice, "agent.reactivated") == [(agent.id, {})]
    fresh = await issue(identity, alice.principal, agent, READ)
    assert (await identity.authentication.authenticate(fresh.token)).id == fresh.credential.id


async def test_reactivating_an_active_agent_changes_nothing(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    issued = await issue(identity, alice.principal, agent, READ)
    assert await identity.agents.reactivate(alice.principal, agent.id) == agent
    assert (await identity.authentication.authenticate(issued.token)).id == issued.credential.id
    assert await events(identity, alice, "agent.reactivated") == []


async def test_an_agent_is_not_reactivated_when_its_name_was_taken_meanwhile(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    await identity.agents.archive(alice.principal, agent.id)
    other = await register(identity, alice, name="INTAKErouter")
    with pytest.raises(AgentNameTaken):
        await identity.agents.reactivate(alice.principal, agent.id)
    assert (await identity.agents.get(alice.principal, agent.id)).status is Status.ARCHIVED
    assert await events(identity, alice, "agent.reactivated") == []
    await identity.agents.archive(alice.principal, other.id)
    assert (await identity.agents.reactivate(alice.principal, agent.id)).status is Status.ACTIVE


async def test_of_agents_of_one_name_one_is_reactivated_whoever_races(identity: Identity, alice: Person) -> None:
    archived = []
    for _ in range(5):
        agent = await register(identity, alice)
        await identity.agents.archive(alice.principal, agent.id)
        archived.append(agent)
    calls = [identity.agents.reactivate(alice.principal, agent.id) for agent in archived]
    calls += [identity.agents.register(alice.principal, WantedAgent.of(SETTINGS)) for _ in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, AgentNameTaken) for answer in answers) == 9
    assert await names(identity, alice) == ["IntakeRouter"]


async def test_of_many_archivings_at_once_one_ends_the_credentials(identity: Identity, alice: Person) -> None:
    agent = await register(identity, alice)
    issued = await issue(identity, alice.principal, agent, READ)
    answers = await asyncio.gather(*(identity.agents.archive(alice.principal, agent.id) for _ in range(6)))
    assert sorted(list(answer.revoked_credential_ids) for answer in answers) == [[]] * 5 + [[issued.credential.id]]
    assert len(await events(identity, alice, "agent.archived")) == 1


async def test_a_credential_issued_while_the_agent_is_archived_is_refused_or_ended(
    identity: Identity, alice: Person
) -> None:
    for number in range(5):
        agent = await register(identity, alice, name=f"Agent {number}")
        *issuing, archived = await asyncio.gather(
            *(issue(identity, alice.principal, agent, READ) for _ in range(4)),
            identity.agents.archive(alice.principal, agent.id),
            return_exceptions=True,
        )
        assert not isinstance(archived, BaseException | IssuedCredential)
        issued = [each for each in issuing if isinstance(each, IssuedCredential)]
        assert all(isinstance(each, AgentArchived | IssuedCredential) for each in issuing)
        assert sorted(each.credential.id for each in issued) == list(archived.revoked_credential_ids)
        for each in issued:
            with pytest.raises(ServiceError):
                await identity.authentication.authenticate(each.token)


async def test_a_credential_issued_while_the_list_is_narrowed_is_refused_or_named(
    identity: Identity, alice: Person
) -> None:
    for number in range(5):
        agent = await register(identity, alice, name=f"Agent {number}")
        *issuing, updated = await asyncio.gather(
            *(issue(identity, alice.principal, agent, READ) for _ in range(4)),
            identity.agents.update(alice.principal, agent.id, {"allowed_scope_types": ["hasp.data.write"]}),
            return_exceptions=True,
        )
        assert isinstance(updated, Updated)
        assert all(isinstance(each, InvalidScopeType | IssuedCredential) for each in issuing)
        issued = [each.credential.id for each in issuing if isinstance(each, IssuedCredential)]
        assert sorted(issued) == list(updated.outside)
