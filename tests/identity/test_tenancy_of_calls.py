"""Every RPC that names something, with the id of another organization's: generated from the contract, so that none is forgotten."""

from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hasp.access.v1 import access_pb2
from sqlalchemy import text

from services.chassis.contract import Method, methods_of
from services.identity import servicer
from services.identity.domain.actions import parse_action
from tests.identity.agents import TOOL, issue, make_agent, may_delegate_to, principal_of
from tests.identity.conftest import Identity, Person
from tests.identity.serving import bearing, refused

PUBLIC = [
    each for each in methods_of(servicer.SERVICES).values() if each.access is not None and not each.access.callers
]
NAMING = [each for each in PUBLIC if any(field.name.endswith("_id") for field in each.request.DESCRIPTOR.fields)]
BESIDES: dict[str, dict[str, Any]] = {
    "UpdateAgent": {"patch": {"name": "Mine"}},
    "IssueCredential": {"name": "mine", "granted_scopes": [TOOL]},
    "CompleteInvocation": {"outcome": "succeeded"},
}
"""What a request needs beside ids to be within its limits."""


@dataclass(frozen=True)
class Holdings:
    """What somebody owns, and two tokens: a key's and an agent's."""

    ids: dict[str, str]
    key: str
    agent: str


async def holdings_of(identity: Identity, person: Person, *grants: dict[str, Any]) -> Holdings:
    agent = await make_agent(identity, person)
    issued = await issue(identity, person.principal, agent, TOOL, *grants)
    action = parse_action({"type": TOOL["type"], "tool_id": TOOL["tool_id"]})
    permitted = await identity.invocations.authorize(await principal_of(identity, issued), action)
    ids = {
        "key_id": person.principal.id,
        "agent_id": agent.id,
        "credential_id": issued.credential.id,
        "invocation_id": permitted.invocation.id,
    }
    return Holdings(ids, person.token, issued.token)


async def rows_of(identity: Identity, person: Person) -> dict[str, list[str]]:
    """Everything the organization has, as text."""
    found: dict[str, list[str]] = {}
    async with identity.db.transaction(person.principal.org_id) as tx:
        for table in ("api_keys", "agents", "credentials", "invocations", "grant_uses", "outbox"):
            found[table] = sorted((await tx.execute(text(f"SELECT {table}::text FROM {table}"))).scalars())
    return found


def request_for(method: Method, ids: dict[str, str]) -> Message:
    named = {field.name: ids[field.name] for field in method.request.DESCRIPTOR.fields if field.name.endswith("_id")}
    return ParseDict(BESIDES.get(method.name.rpartition("/")[2], {}) | named, method.request())


async def answer_to(channel: grpc.aio.Channel, method: Method, request: Message, token: str) -> Message:
    """The answer, or the first one of a stream."""
    coders: dict[str, Any] = {
        "request_serializer": method.request.SerializeToString,
        "response_deserializer": method.response.FromString,
    }
    if method.name.rpartition("/")[2].startswith("Watch"):
        call = channel.unary_stream(method.name, **coders)(request, **bearing(token))
        first = await call.read()
        call.cancel()
        assert isinstance(first, Message)
        return first
    return await channel.unary_unary(method.name, **coders)(request, **bearing(token))


def tokens_for(method: Method, holdings: Holdings) -> list[str]:
    assert method.access is not None
    match method.access.agents:
        case access_pb2.AGENTS_ONLY:
            return [holdings.agent]
        case access_pb2.AGENTS_UNSPECIFIED:
            return [holdings.key]
        case _:
            return [holdings.key, holdings.agent]


def test_the_contract_names_things_in_many_calls() -> None:
    assert len(NAMING) >= 12


@pytest.mark.parametrize("method", NAMING, ids=lambda method: method.name.rpartition("/")[2])
async def test_what_another_organization_has_is_not_found_and_not_touched(
    edge: grpc.aio.Channel, identity: Identity, alice: Person, mallory: Person, method: Method
) -> None:
    hers = await holdings_of(identity, alice)
    agent = await identity.agents.get(alice.principal, hers.ids["agent_id"])
    # A delegation to her agent is permitted by a grant, so that the tenant's border alone is left to refuse it.
    theirs = await holdings_of(identity, mallory, may_delegate_to(agent))
    request = request_for(method, hers.ids)
    before = await rows_of(identity, alice)
    for token in tokens_for(method, theirs):
        assert await refused(answer_to(edge, method, request, token)) == ("404", "RESOURCE_NOT_FOUND", None)
    # One's own agent or credential in front does not open the way to another's.
    for name in hers.ids.keys() & {field.name for field in method.request.DESCRIPTOR.fields}:
        mixed = request_for(method, theirs.ids | {name: hers.ids[name]})
        for token in tokens_for(method, theirs):
            assert await refused(answer_to(edge, method, mixed, token)) == ("404", "RESOURCE_NOT_FOUND", None)
    assert await rows_of(identity, alice) == before
    (token, *_) = tokens_for(method, hers)
    await answer_to(edge, method, request, token)
