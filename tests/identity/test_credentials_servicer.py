"""Credentials over real gRPC: the wire form, who is admitted, and what the other services know of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from hasp.identity.v1 import authentication_service_pb2 as authentication_pb
from hasp.identity.v1 import credential_service_pb2 as pb
from hasp.identity.v1.agent_service_pb2 import ListAgentsRequest
from hasp.identity.v1.agent_service_pb2_grpc import AgentServiceStub
from hasp.identity.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from hasp.identity.v1.credential_service_pb2_grpc import CredentialServiceStub

from services.chassis.authentication import RemoteAuthenticator
from services.chassis.errors import InvalidApiKey
from services.chassis.paging import nullable
from services.chassis.timestamps import iso
from services.chassis.watching import Watch
from services.identity.domain.actions import parse_action
from services.identity.domain.agents import Agent
from services.identity.domain.api_keys import WantedKey
from services.identity.wire.values import plain, struct
from tests.identity.agents import TOOL, issue, make_agent, may_delegate_to
from tests.identity.conftest import Identity, Person
from tests.identity.serving import TIMEOUT, bearing, channel_of, refused


@pytest.fixture
async def agent(identity: Identity, alice: Person) -> Agent:
    return await make_agent(identity, alice)


def wanted(agent: Agent, **more: Any) -> pb.IssueCredentialRequest:
    standard = {"agent_id": agent.id, "name": "nightly", "granted_scopes": [struct(TOOL)]}
    return pb.IssueCredentialRequest(**(standard | more))


async def test_it_is_issued_read_listed_and_revoked(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent
) -> None:
    stub = CredentialServiceStub(edge)
    grant = {"type": "hasp.data.read", "entities": ["visits"], "filters": {"day": 3, "of": "{{delegating_user.id}}"}}
    call = stub.IssueCredential(wanted(agent, granted_scopes=[struct(grant)]), **bearing(alice.token))
    issued = await call
    assert ("x-http-status", "201") in [(key, value) for key, value in await call.initial_metadata()]
    made = issued.data.credential
    assert issued.data.token.startswith(made.prefix)
    assert issued.data.token.endswith(made.last_four)
    assert [plain(each) for each in made.granted_scopes] == [grant]
    for absent in (made.description, made.parent_credential_id, made.revoked_at, made.last_used_at):
        assert absent == nullable(None)
    assert (made.status, made.created_at) == ("active", iso(identity.clock.now()))

    one = pb.GetCredentialRequest(agent_id=agent.id, credential_id=made.id)
    assert (await stub.GetCredential(one, **bearing(alice.token))).data.credential == made
    listed = await stub.ListCredentials(pb.ListCredentialsRequest(agent_id=agent.id), **bearing(alice.token))
    assert (list(listed.data), listed.meta.has_more, listed.meta.next_cursor) == ([made], False, nullable(None))

    end = pb.RevokeCredentialRequest(agent_id=agent.id, credential_id=made.id, reason="moved\nhouse")
    revoked = (await stub.RevokeCredential(end, **bearing(alice.token))).data
    assert (revoked.credential.status, list(revoked.cascade_revoked_credential_ids)) == ("revoked", [])
    assert revoked.credential.revoked_at == nullable(iso(identity.clock.now()))
    assert revoked.credential.revocation_reason == nullable("moved\nhouse")
    for answer in (issued, listed, revoked):
        assert answer is issued or issued.data.token not in str(answer)


async def test_a_list_goes_on_where_its_page_ended(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent
) -> None:
    stub, made = CredentialServiceStub(edge), []
    for _ in range(5):
        made.append((await issue(identity, alice.principal, agent)).credential.id)
        identity.clock.advance(timedelta(milliseconds=1))
    shown, cursor = [], ""
    while True:
        request = pb.ListCredentialsRequest(agent_id=agent.id, limit=2, cursor=cursor)
        page = await stub.ListCredentials(request, **bearing(alice.token))
        shown += [credential.id for credential in page.data]
        if not page.meta.has_more:
            break
        cursor = page.meta.next_cursor.string_value
    assert shown == made[::-1]
    junk = pb.ListCredentialsRequest(agent_id=agent.id, cursor="\u00fc")
    assert await refused(stub.ListCredentials(junk, **bearing(alice.token))) == ("422", "VALIDATION_FAILED", "cursor")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "x"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"description": "x" * 2001}, "description"),
        ({"description": "\0"}, "description"),
        ({"granted_scopes": []}, "granted_scopes"),
        ({"granted_scopes": [struct(TOOL)] * 21}, "granted_scopes"),
        ({"granted_scopes": [struct(TOOL), struct({})]}, "granted_scopes[1].type"),
        ({"granted_scopes": [struct(TOOL | {"tool_id": None})]}, "granted_scopes[0].tool_id"),
        ({"granted_scopes": [struct(TOOL | {"rate_limit": 0})]}, "granted_scopes[0].rate_limit"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": "2027-01-01T00:00:00+00:00"}, "expires_at"),
        ({"revocation_policy": "pause"}, "revocation_policy"),
        ({"max_concurrent_invocations": 0}, "max_concurrent_invocations"),
        ({"max_concurrent_invocations": 1001}, "max_concurrent_invocations"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_what_breaks_a_limit_is_named(
    edge: grpc.aio.Channel, alice: Person, agent: Agent, fields: dict[str, Any], param: str
) -> None:
    call = CredentialServiceStub(edge).IssueCredential(wanted(agent, **fields), **bearing(alice.token))
    assert await refused(call) == ("422", "VALIDATION_FAILED", param)


async def test_the_limits_themselves_are_permitted(edge: grpc.aio.Channel, alice: Person, agent: Agent) -> None:
    stub = CredentialServiceStub(edge)
    for fields in (
        {"name": "xy", "granted_scopes": [struct(TOOL)] * 20, "max_concurrent_invocations": 1},
        {"name": "x" * 255, "description": "x" * 2000, "max_concurrent_invocations": 1000},
    ):
        await stub.IssueCredential(wanted(agent, **fields), **bearing(alice.token))


async def test_an_expiry_that_has_passed_has_a_reason_of_its_own(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent
) -> None:
    request = wanted(agent, expires_at=iso(identity.clock.now()))
    call = CredentialServiceStub(edge).IssueCredential(request, **bearing(alice.token))
    assert await refused(call) == ("422", "EXPIRY_IN_PAST", "expires_at")


async def test_an_agent_delegates_with_its_token_and_sees_no_control_plane(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent
) -> None:
    child, stub = await make_agent(identity, alice), CredentialServiceStub(edge)
    parent = await issue(identity, alice.principal, agent, TOOL, may_delegate_to(child))
    delegated = await stub.IssueCredential(wanted(child), **bearing(parent.token))
    made = delegated.data.credential
    assert made.parent_credential_id == nullable(parent.credential.id)
    assert list(made.delegation_path) == [alice.principal.user_id, parent.credential.id, made.id]
    one = {"agent_id": child.id, "credential_id": made.id}
    for call in (
        stub.GetCredential(pb.GetCredentialRequest(**one), **bearing(parent.token)),
        stub.ListCredentials(pb.ListCredentialsRequest(agent_id=child.id), **bearing(parent.token)),
        stub.RevokeCredential(pb.RevokeCredentialRequest(**one), **bearing(parent.token)),
        AgentServiceStub(edge).ListAgents(ListAgentsRequest(), **bearing(parent.token)),
    ):
        assert (await refused(call))[:2] == ("403", "AGENT_NOT_PERMITTED")
    not_permitted = stub.IssueCredential(wanted(agent), **bearing(parent.token))
    assert (await refused(not_permitted))[:2] == ("403", "DELEGATION_NOT_PERMITTED")


async def test_a_key_without_the_scope_issues_nothing(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent
) -> None:
    reader = await identity.keys.create(alice.principal, WantedKey(name="r", scopes=["control:read"]))
    call = CredentialServiceStub(edge).IssueCredential(wanted(agent), **bearing(reader.plaintext))
    assert (await refused(call))[:2] == ("403", "MISSING_SCOPE")


async def test_a_repeated_call_issues_one_credential_and_shows_its_token_again(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent
) -> None:
    stub = CredentialServiceStub(edge)
    answers = [
        await stub.IssueCredential(wanted(agent), **bearing(alice.token, idempotency_key="once")) for _ in range(2)
    ]
    assert answers[0] == answers[1]
    page = await identity.credentials.page(alice.principal, agent.id, status="all", before_id=None, limit=10)
    assert [each.id for each in page.credentials] == [answers[0].data.credential.id]


@asynccontextmanager
async def sibling(workload: str, address: str, tls_dir: Path, identity: Identity) -> AsyncIterator[RemoteAuthenticator]:
    """Another service's memory of whom tokens stand for, under a lease."""
    async with channel_of(workload, address, tls_dir) as channel:
        watch = Watch(channel, name="identity")
        running = asyncio.create_task(watch.run())
        try:
            async with asyncio.timeout(5):
                while not watch.live:  # noqa: ASYNC110 - a clock is read
                    await asyncio.sleep(0.01)
            yield RemoteAuthenticator(channel, watch, identity.clock)
        finally:
            running.cancel()
            await asyncio.wait([running])


@pytest.mark.parametrize("policy", ["drain", "kill"])
async def test_once_a_revocation_has_answered_no_service_accepts_it_or_its_descendants(
    address: str, tls_dir: Path, edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent, policy: str
) -> None:
    child = await make_agent(identity, alice)
    async with (
        sibling("inference", address, tls_dir, identity) as one,
        sibling("billing", address, tls_dir, identity) as other,
    ):
        for _ in range(5):
            root = await issue(identity, alice.principal, agent, TOOL, may_delegate_to(child), revocation_policy=policy)
            by = await identity.authentication.authenticate(root.token)
            below = await issue(identity, by, child)
            for service in (one, other):
                for each in (root, below):
                    principal = await service.authenticate(each.token)
                    assert (principal.kind, principal.id) == ("agent", each.credential.id)
                    assert principal.granted_tool_ids == {TOOL["tool_id"]}
            end = pb.RevokeCredentialRequest(agent_id=agent.id, credential_id=root.credential.id)
            await CredentialServiceStub(edge).RevokeCredential(end, **bearing(alice.token))
            for service in (one, other):
                for each in (root, below):
                    with pytest.raises(InvalidApiKey):
                        await service.authenticate(each.token)


async def test_the_other_services_never_hear_of_what_drains(
    address: str, tls_dir: Path, identity: Identity, alice: Person, agent: Agent
) -> None:
    issued = await issue(identity, alice.principal, agent, revocation_policy="drain")
    principal = await identity.authentication.authenticate(issued.token)
    await identity.invocations.authorize(principal, parse_action({"type": TOOL["type"], "tool_id": TOOL["tool_id"]}))
    await identity.credentials.revoke(alice.principal, agent.id, issued.credential.id, None)
    assert (await identity.authentication.authenticate(issued.token)).draining
    async with channel_of("inference", address, tls_dir) as channel:
        call = AuthenticationServiceStub(channel).Authenticate(
            authentication_pb.AuthenticateRequest(token=issued.token), timeout=TIMEOUT
        )
        assert (await refused(call))[:2] == ("401", "INVALID_API_KEY")


async def test_moments_are_shown_to_the_second_and_never_too_late(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, agent: Agent
) -> None:
    at = identity.clock.now()
    identity.clock.advance(timedelta(milliseconds=999))
    made = (await CredentialServiceStub(edge).IssueCredential(wanted(agent), **bearing(alice.token))).data.credential
    assert (made.created_at, made.expires_at) == (iso(at), iso(at + timedelta(hours=8)))
