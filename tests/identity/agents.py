"""Agents and credentials, quickly made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.chassis.access import Principal
from services.chassis.ulids import new_ulid
from services.identity.domain.agents import Agent, WantedAgent
from services.identity.domain.credentials import WantedCredential
from services.identity.usecases.credentials import IssuedCredential
from tests.identity.conftest import Identity, Person

TOOL = {"type": "external.tool.invoke", "tool_id": "calendar.find_slots"}


def may_delegate_to(agent: Agent, depth: int = 3) -> dict[str, Any]:
    return {"type": "agent.delegate", "to_agent_id": agent.id, "max_chain_depth": depth}


async def make_agent(identity: Identity, person: Person, **settings: Any) -> Agent:
    """Of a name of its own; credentials live for 8 hours and drain."""
    standard = {
        "name": f"agent {new_ulid(identity.clock)}",
        "description": None,
        "capabilities": [],
        "default_expiry_hours": 8,
        "default_revocation_policy": "drain",
        "allowed_scope_types": None,
    }
    return await identity.agents.register(person.principal, WantedAgent(**(standard | settings)))


async def issue(
    identity: Identity, by: Principal, agent: Agent, *grants: Mapping[str, Any], **more: Any
) -> IssuedCredential:
    """A credential with the grants (by default one tool), by a person's key or by delegation."""
    standard = {
        "name": "a credential",
        "description": None,
        "granted_scopes": list(grants or (TOOL,)),
        "expires_at": None,
        "revocation_policy": None,
        "max_concurrent_invocations": None,
        "test_mode": None,
    }
    return await identity.credentials.issue(by, agent.id, WantedCredential(**(standard | more)))


async def principal_of(identity: Identity, issued: IssuedCredential) -> Principal:
    return await identity.authentication.authenticate(issued.token)
