"""AgentService over real gRPC: wire form, limits, refusals, repeated calls, and what null is."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value
from hasp.identity.v1 import agent_service_pb2 as pb
from hasp.identity.v1.agent_service_pb2_grpc import AgentServiceStub

from services.chassis.authentication import RemoteAuthenticator
from services.chassis.errors import InvalidApiKey
from services.chassis.ulids import new_ulid
from services.chassis.watching import Watch
from services.identity.usecases.credentials import IssuedCredential
from tests.identity.agents import TOOL, issue, may_delegate_to, principal_of
from tests.identity.conftest import Identity, Person, make_person
from tests.identity.serving import TIMEOUT, bearing, channel_of, refused

ROUTER: dict[str, Any] = {
    "name": "IntakeRouter",
    "capabilities": ["chart-review", "scheduling-handoff"],
    "default_expiry_hours": 8,
    "default_revocation_policy": "drain",
    "allowed_scope_types": ["hasp.data.read", "hasp.data.write", "external.tool.invoke"],
}
VALIDATION = ("422", "VALIDATION_FAILED")


class Caller:
    """Speaks JSON objects, as the edge translates them."""

    def __init__(self, channel: grpc.aio.Channel, person: Person) -> None:
        self._stub = AgentServiceStub(channel)
        self._person = person

    def call(self, rpc: str, request: Any, **headers: str) -> Any:
        return getattr(self._stub, rpc)(request, **bearing(self._person.token, **headers))

    def register(self, body: dict[str, Any], **headers: str) -> Any:
        return self.call("RegisterAgent", ParseDict(body, pb.RegisterAgentRequest()), **headers)

    def patch(self, agent_id: str, patch: dict[str, Any]) -> Any:
        request = ParseDict({"agent_id": agent_id, "patch": patch}, pb.UpdateAgentRequest())
        return self.call("UpdateAgent", request)

    def list(self, **query: Any) -> Any:
        return self.call("ListAgents", pb.ListAgentsRequest(**query))

    def get(self, agent_id: str) -> Any:
        return self.call("GetAgent", pb.GetAgentRequest(agent_id=agent_id))

    def archive(self, agent_id: str, **headers: str) -> Any:
        return self.call("ArchiveAgent", pb.ArchiveAgentRequest(agent_id=agent_id), **headers)

    def reactivate(self, agent_id: str, **headers: str) -> Any:
        return self.call("ReactivateAgent", pb.ReactivateAgentRequest(agent_id=agent_id), **headers)


@pytest.fixture
def agents(edge: grpc.aio.Channel, alice: Person) -> Caller:
    return Caller(edge, alice)


def printed(answer: Any) -> dict[str, Any]:
    """As the edge prints it: with fields of default value, without those that are unset."""
    return MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


async def issue_reader(identity: Identity, person: Person, agent_id: str) -> IssuedCredential:
    agent = await identity.agents.get(person.principal, agent_id)
    return await issue(identity, person.principal, agent, {"type": "hasp.data.read"})


async def test_a_registered_agent_is_answered_with_201_and_every_field(agents: Caller) -> None:
    call = agents.register(ROUTER)
    answer = printed(await call)
    assert ("x-http-status", "201") in [(key, value) for key, value in await call.initial_metadata()]
    agent = answer["data"]["agent"]
    assert agent == ROUTER | {
        "id": agent["id"],
        "description": None,
        "status": "active",
        "created_at": "2026-05-11T12:00:00+00:00",
    }
    assert len(agent["id"]) == 26
    assert answer["success"] is True
    assert set(answer["meta"]) == {"request_id"}
    assert answer["meta"]["request_id"].startswith("req_")
    assert printed(await agents.get(agent["id"]))["data"]["agent"] == agent


@pytest.mark.parametrize(
    ("body", "allowed"),
    [({}, None), ({"allowed_scope_types": None}, None), ({"allowed_scope_types": []}, [])],
)
async def test_no_list_and_null_permit_every_scope_type_and_an_empty_list_none(
    agents: Caller, body: dict[str, Any], allowed: Any
) -> None:
    required = {key: ROUTER[key] for key in ("name", "default_expiry_hours", "default_revocation_policy")}
    agent = printed(await agents.register(required | body))["data"]["agent"]
    assert (agent["allowed_scope_types"], agent["capabilities"], agent["description"]) == (allowed, [], None)


async def test_an_empty_description_is_not_none(agents: Caller) -> None:
    agent = printed(await agents.register(ROUTER | {"description": ""}))["data"]["agent"]
    assert agent["description"] == ""


@pytest.mark.parametrize(
    ("field", "value", "answer"),
    [
        ("name", "", (*VALIDATION, "name")),
        ("name", "n", (*VALIDATION, "name")),
        ("name", "n" * 65, (*VALIDATION, "name")),
        ("name", "   ", (*VALIDATION, "name")),
        ("name", "a\x00b", (*VALIDATION, "name")),
        ("name", None, (*VALIDATION, "name")),
        ("description", "d" * 2001, (*VALIDATION, "description")),
        ("description", "\x00", (*VALIDATION, "description")),
        ("capabilities", [str(number) for number in range(13)], (*VALIDATION, "capabilities")),
        ("capabilities", ["a", "c" * 33], (*VALIDATION, "capabilities[1]")),
        ("capabilities", [""], (*VALIDATION, "capabilities[0]")),
        ("capabilities", ["a", "b", "a"], (*VALIDATION, "capabilities[2]")),
        ("capabilities", ["a\x00"], (*VALIDATION, "capabilities[0]")),
        ("default_expiry_hours", 0, (*VALIDATION, "default_expiry_hours")),
        ("default_expiry_hours", 721, (*VALIDATION, "default_expiry_hours")),
        ("default_expiry_hours", -8, (*VALIDATION, "default_expiry_hours")),
        ("default_expiry_hours", None, (*VALIDATION, "default_expiry_hours")),
        ("default_revocation_policy", "stop", (*VALIDATION, "default_revocation_policy")),
        ("default_revocation_policy", "", (*VALIDATION, "default_revocation_policy")),
        ("default_revocation_policy", None, (*VALIDATION, "default_revocation_policy")),
        ("allowed_scope_types", "hasp.data.read", (*VALIDATION, "allowed_scope_types")),
        ("allowed_scope_types", {"hasp.data.read": True}, (*VALIDATION, "allowed_scope_types")),
        ("allowed_scope_types", False, (*VALIDATION, "allowed_scope_types")),
        ("allowed_scope_types", [5], (*VALIDATION, "allowed_scope_types[0]")),
        ("allowed_scope_types", ["hasp.data.read"] * 2, (*VALIDATION, "allowed_scope_types[1]")),
        ("allowed_scope_types", ["hasp.data.read", "x"], ("422", "INVALID_SCOPE_TYPE", "allowed_scope_types[1]")),
    ],
)
async def test_a_wrong_field_of_a_registration_is_named(
    agents: Caller, field: str, value: Any, answer: tuple[str, str, str]
) -> None:
    assert await refused(agents.register(ROUTER | {field: value})) == answer
    assert (await agents.list(status="all")).meta.total == 0


async def test_a_taken_name_is_refused_wherever_it_is_wanted(agents: Caller) -> None:
    taken = ("422", "AGENT_NAME_TAKEN", "name")
    await agents.register(ROUTER)
    assert await refused(agents.register(ROUTER | {"name": "INTAKEROUTER"})) == taken
    other = (await agents.register(ROUTER | {"name": "Other"})).data.agent.id
    assert await refused(agents.patch(other, {"name": "intakerouter"})) == taken
    await agents.archive(other)
    await agents.patch(other, {"name": "intakerouter"})
    assert await refused(agents.reactivate(other)) == taken


async def test_a_list_shows_summaries_and_numbered_pages(agents: Caller, identity: Identity, alice: Person) -> None:
    made = []
    for name in ("One", "Two", "Three"):
        identity.clock.advance(timedelta(seconds=1))
        made.append((await agents.register(ROUTER | {"name": name})).data.agent)
    await issue_reader(identity, alice, made[2].id)
    answer = printed(await agents.list(per_page=2))
    assert answer["data"][0] == {
        "id": made[2].id,
        "name": "Three",
        "capabilities": ["chart-review", "scheduling-handoff"],
        "status": "active",
        "active_credential_count": 1,
        "created_at": "2026-05-11T12:00:03+00:00",
    }
    assert [item["active_credential_count"] for item in answer["data"]] == [1, 0]
    assert {key: answer["meta"][key] for key in ("total", "page", "last_page")} == {
        "total": 3,
        "page": 1,
        "last_page": 2,
    }
    second = await agents.list(per_page=2, page=2)
    assert [item.name for item in second.data] == ["One"]
    behind = await agents.list(per_page=2, page=3)
    assert (list(behind.data), behind.meta.total, behind.meta.page, behind.meta.last_page) == ([], 3, 3, 2)


async def test_a_page_has_25_agents_unless_asked_otherwise(agents: Caller) -> None:
    for number in range(26):
        await agents.register(ROUTER | {"name": f"Agent {number}"})
    assert [len((await agents.list(**query)).data) for query in ({}, {"page": 2}, {"per_page": 100})] == [25, 1, 26]


async def test_a_list_is_chosen_by_status_and_search(agents: Caller) -> None:
    await agents.register(ROUTER)
    archived = (await agents.register(ROUTER | {"name": "Gone 100%"})).data.agent.id
    await agents.archive(archived)

    async def names(**query: Any) -> set[str]:
        return {item.name for item in (await agents.list(**query)).data}

    assert await names() == await names(status="active") == await names(search="router") == {"IntakeRouter"}
    assert await names(status="archived") == await names(status="all", search="%") == {"Gone 100%"}
    assert await names(status="all") == {"IntakeRouter", "Gone 100%"}
    assert await names(search="gone") == set()
    assert await names(status="all", search=archived[:26].lower()) == {"Gone 100%"}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"status": "foo"}, "status"),
        ({"status": ""}, "status"),
        ({"page": 0}, "page"),
        ({"page": -1}, "page"),
        ({"page": 1_000_001}, "page"),
        ({"per_page": 0}, "per_page"),
        ({"per_page": 101}, "per_page"),
        ({"search": "s" * 101}, "search"),
        ({"search": "a\x00"}, "search"),
    ],
)
async def test_a_wrong_parameter_of_a_list_is_named(agents: Caller, query: dict[str, Any], param: str) -> None:
    assert await refused(agents.list(**query)) == (*VALIDATION, param)


async def test_a_patch_tells_absent_null_and_empty_apart(agents: Caller) -> None:
    agent_id = (await agents.register(ROUTER | {"description": "Long form."})).data.agent.id

    async def patched(patch: dict[str, Any]) -> dict[str, Any]:
        answer = printed(await agents.patch(agent_id, patch))
        assert answer["success"] is True
        assert answer["meta"].pop("request_id").startswith("req_")
        assert answer["meta"] == {"credentials_outside_allowed_scope_types": []}
        assert answer["data"] == printed(await agents.get(agent_id))["data"]
        return answer["data"]["agent"]

    unchanged = await patched({})
    assert {key: unchanged[key] for key in ROUTER} == ROUTER
    for field, value in (
        ("description", ""),
        ("description", None),
        ("allowed_scope_types", None),
        ("allowed_scope_types", []),
        ("allowed_scope_types", ["human.escalate"]),
        ("capabilities", []),
        ("default_expiry_hours", 720),
        ("default_revocation_policy", "kill"),
        ("name", "Other"),
    ):
        expected = unchanged | {field: value}
        unchanged = await patched({field: value})
        assert unchanged == expected


@pytest.mark.parametrize(
    ("patch", "answer"),
    [
        ({"name": None}, (*VALIDATION, "name")),
        ({"capabilities": None}, (*VALIDATION, "capabilities")),
        ({"default_expiry_hours": None}, (*VALIDATION, "default_expiry_hours")),
        ({"default_expiry_hours": 8.5}, (*VALIDATION, "default_expiry_hours")),
        ({"default_expiry_hours": "8"}, (*VALIDATION, "default_expiry_hours")),
        ({"default_expiry_hours": True}, (*VALIDATION, "default_expiry_hours")),
        ({"default_expiry_hours": 721}, (*VALIDATION, "default_expiry_hours")),
        ({"default_revocation_policy": None}, (*VALIDATION, "default_revocation_policy")),
        ({"default_revocation_policy": "Kill"}, (*VALIDATION, "default_revocation_policy")),
        ({"name": "a\x00b"}, (*VALIDATION, "name")),
        ({"description": "\x00"}, (*VALIDATION, "description")),
        ({"description": 5}, (*VALIDATION, "description")),
        ({"capabilities": ["a"] * 2}, (*VALIDATION, "capabilities[1]")),
        ({"allowed_scope_types": "all"}, (*VALIDATION, "allowed_scope_types")),
        ({"allowed_scope_types": ["x"]}, ("422", "INVALID_SCOPE_TYPE", "allowed_scope_types[0]")),
        ({"status": "archived"}, (*VALIDATION, "status")),
        ({"mood": 1, "beard": 1}, (*VALIDATION, "beard")),
        ({"mo\x00od" + "d" * 200: 1}, (*VALIDATION, "mo\ufffdod" + "d" * 95)),
    ],
)
async def test_a_wrong_field_of_a_patch_is_named(
    agents: Caller, patch: dict[str, Any], answer: tuple[str, str, str]
) -> None:
    made = (await agents.register(ROUTER)).data.agent
    assert await refused(agents.patch(made.id, patch)) == answer
    assert (await agents.get(made.id)).data.agent == made


async def test_a_value_of_no_kind_counts_as_null(agents: Caller) -> None:
    request = ParseDict(ROUTER, pb.RegisterAgentRequest())
    request.allowed_scope_types.CopyFrom(Value())
    agent = printed(await agents.call("RegisterAgent", request))["data"]["agent"]
    assert agent["allowed_scope_types"] is None


async def test_a_patch_names_the_credentials_that_it_leaves_outside(
    agents: Caller, identity: Identity, alice: Person
) -> None:
    agent_id = (await agents.register(ROUTER)).data.agent.id
    credential_id = (await issue_reader(identity, alice, agent_id)).credential.id
    answer = await agents.patch(agent_id, {"allowed_scope_types": []})
    assert list(answer.meta.credentials_outside_allowed_scope_types) == [credential_id]


async def test_archiving_answers_with_what_it_revoked(agents: Caller, identity: Identity, alice: Person) -> None:
    agent_id = (await agents.register(ROUTER)).data.agent.id
    credential_id = (await issue_reader(identity, alice, agent_id)).credential.id
    answer = printed(await agents.archive(agent_id))
    assert answer["data"]["revoked_credential_ids"] == [credential_id]
    assert answer["data"]["agent"] == printed(await agents.get(agent_id))["data"]["agent"]
    assert answer["data"]["agent"]["status"] == "archived"
    again = printed(await agents.archive(agent_id))["data"]
    assert (again["agent"], again["revoked_credential_ids"]) == (answer["data"]["agent"], [])
    back = printed(await agents.reactivate(agent_id))["data"]["agent"]
    assert back == answer["data"]["agent"] | {"status": "active"}
    assert printed(await agents.reactivate(agent_id))["data"]["agent"] == back


async def test_what_does_not_exist_is_not_found_whoever_asks(
    agents: Caller, edge: grpc.aio.Channel, identity: Identity, mallory: Person
) -> None:
    agent_id = (await agents.register(ROUTER)).data.agent.id
    stranger = Caller(edge, mallory)
    nothing = ("404", "RESOURCE_NOT_FOUND", None)
    asked = [(agents, new_ulid(identity.clock)), (agents, "nonsense"), (agents, "a\x00"), (stranger, agent_id)]
    for who, which in asked:
        for call in (who.get(which), who.patch(which, {}), who.archive(which), who.reactivate(which)):
            assert await refused(call) == nothing
    assert (await stranger.list(status="all")).meta.total == 0
    assert (await stranger.list(status="all", search=agent_id)).meta.total == 0


async def test_reading_and_writing_need_their_scopes(
    edge: grpc.aio.Channel, identity: Identity, agents: Caller
) -> None:
    agent_id = (await agents.register(ROUTER)).data.agent.id
    reader = Caller(edge, await make_person(identity, "reading", ("control:read",)))
    writer = Caller(edge, await make_person(identity, "writing", ("control:write",)))
    for call in (reader.register(ROUTER), reader.patch(agent_id, {}), reader.archive(agent_id)):
        assert (await refused(call))[:2] == ("403", "MISSING_SCOPE")
    assert (await refused(reader.reactivate(agent_id)))[:2] == ("403", "MISSING_SCOPE")
    for call in (writer.list(), writer.get(agent_id)):
        assert (await refused(call))[:2] == ("403", "MISSING_SCOPE")
    await writer.register(ROUTER)
    await reader.list()


async def test_agents_manage_no_agents(
    edge: grpc.aio.Channel, identity: Identity, agents: Caller, alice: Person
) -> None:
    agent_id = (await agents.register(ROUTER)).data.agent.id
    issued = await issue_reader(identity, alice, agent_id)
    itself = Caller(edge, Person(await principal_of(identity, issued), issued.token))
    for call in (
        itself.register(ROUTER),
        itself.list(),
        itself.get(agent_id),
        itself.patch(agent_id, {}),
        itself.archive(agent_id),
        itself.reactivate(agent_id),
    ):
        assert (await refused(call))[:2] == ("403", "AGENT_NOT_PERMITTED")


async def test_without_a_token_nothing_is_told(edge: grpc.aio.Channel) -> None:
    call = AgentServiceStub(edge).GetAgent(pb.GetAgentRequest(agent_id="x"), timeout=TIMEOUT)
    assert (await refused(call))[:2] == ("401", "INVALID_API_KEY")


async def test_a_repeated_idempotency_key_has_one_effect(agents: Caller, identity: Identity, alice: Person) -> None:
    first = await agents.register(ROUTER, idempotency_key="register")
    again = agents.register(ROUTER, idempotency_key="register")
    assert await again == first
    assert ("idempotent-replayed", "true") in [(key, value) for key, value in await again.initial_metadata()]
    agent_id = first.data.agent.id
    credential_id = (await issue_reader(identity, alice, agent_id)).credential.id
    archived = [await agents.archive(agent_id, idempotency_key="archive") for _ in range(2)]
    assert archived[0] == archived[1]
    assert list(archived[1].data.revoked_credential_ids) == [credential_id]
    reactivated = [await agents.reactivate(agent_id, idempotency_key="reactivate") for _ in range(2)]
    assert reactivated[0] == reactivated[1]
    # The same key on another path is another key.
    await agents.archive(agent_id, idempotency_key="reactivate")
    for action, times in (("registered", 1), ("archived", 2), ("reactivated", 1)):
        assert len(await identity.audit(alice.principal.org_id, f"agent.{action}")) == times


async def test_a_refusal_is_replayed_too_and_another_body_is_refused(agents: Caller) -> None:
    made = (await agents.register(ROUTER)).data.agent
    taken = ("422", "AGENT_NAME_TAKEN", "name")
    assert await refused(agents.register(ROUTER, idempotency_key="one")) == taken
    await agents.archive(made.id)
    assert await refused(agents.register(ROUTER, idempotency_key="one")) == taken
    other = agents.register(ROUTER | {"name": "Other"}, idempotency_key="one")
    assert (await refused(other))[:2] == ("422", "IDEMPOTENCY_KEY_REUSED")


async def test_the_audit_log_learns_who_called_and_in_which_request(
    agents: Caller, identity: Identity, alice: Person
) -> None:
    answer = await agents.register(ROUTER)
    (event,) = await identity.audit(alice.principal.org_id, "agent.registered")
    assert (event.actor_type, event.actor_id, event.user_id) == (
        "api_key",
        alice.principal.id,
        alice.principal.user_id,
    )
    assert event.request_id == answer.meta.request_id


async def test_once_any_archiving_has_answered_no_service_accepts_a_credential(
    agents: Caller, address: str, tls_dir: Path, identity: Identity, alice: Person
) -> None:
    """Also the one that found the agent archived, while the first may still be waiting for the watchers."""
    async with channel_of("inference", address, tls_dir) as one, channel_of("billing", address, tls_dir) as other:
        watches = [Watch(channel, name="identity") for channel in (one, other)]
        running = [asyncio.create_task(watch.run()) for watch in watches]
        services = [
            RemoteAuthenticator(channel, watch, identity.clock)
            for channel, watch in zip((one, other), watches, strict=True)
        ]

        async def archive_and_look(agent_id: str, tokens: Sequence[str]) -> None:
            await agents.archive(agent_id)
            for service in services:
                for token in tokens:
                    with pytest.raises(InvalidApiKey):
                        await service.authenticate(token)

        try:
            async with asyncio.timeout(5):
                while not all(watch.live for watch in watches):  # noqa: ASYNC110 - a clock is read
                    await asyncio.sleep(0.01)
            for number in range(5):
                parent, child = [
                    (
                        await agents.register(ROUTER | {"name": f"{name} {number}", "allowed_scope_types": None})
                    ).data.agent
                    for name in ("Parent", "Child")
                ]
                holder = await identity.agents.get(alice.principal, parent.id)
                delegate = await identity.agents.get(alice.principal, child.id)
                issued = await issue(identity, alice.principal, holder, TOOL, may_delegate_to(delegate))
                delegated = await issue(identity, await principal_of(identity, issued), delegate, TOOL)
                tokens = [issued.token, delegated.token]
                for service in services:
                    for token in tokens:
                        await service.authenticate(token)
                await asyncio.gather(*(archive_and_look(parent.id, tokens) for _ in range(3)))
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
