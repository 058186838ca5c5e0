"""Domain ↔ protobuf: agents."""

from __future__ import annotations

from typing import Any

from google.protobuf.struct_pb2 import ListValue, Value
from hasp.identity.v1 import agent_service_pb2 as pb

from services.chassis.paging import nullable
from services.identity.domain.agents import Agent, Counted, Selection, Status, WantedAgent
from services.identity.usecases.agents import Archived
from services.identity.wire.values import plain_value, second


def wanted(request: pb.RegisterAgentRequest) -> WantedAgent:
    """Raises ValidationFailed or InvalidScopeType for what the contract's limits cannot say."""
    settings: dict[str, Any] = {
        "name": request.name,
        "description": request.description if request.HasField("description") else None,
        "capabilities": list(request.capabilities),
        "default_expiry_hours": request.default_expiry_hours,
        "default_revocation_policy": request.default_revocation_policy,
        "allowed_scope_types": plain_value(request.allowed_scope_types),
    }
    return WantedAgent.of(settings)


def selection(request: pb.ListAgentsRequest) -> Selection:
    chosen: dict[str, Any] = {name: getattr(request, name) for name in ("page", "per_page") if request.HasField(name)}
    if request.HasField("status"):
        chosen["status"] = None if request.status == "all" else Status(request.status)
    return Selection(search=request.search, **chosen)


def agent(agent: Agent) -> pb.Agent:
    return pb.Agent(
        id=agent.id,
        name=agent.name,
        capabilities=agent.capabilities,
        default_expiry_hours=agent.default_expiry_hours,
        default_revocation_policy=agent.default_revocation_policy,
        allowed_scope_types=_list_or_null(agent.allowed_scope_types),
        description=nullable(agent.description),
        status=agent.status,
        created_at=second(agent.created_at),
    )


def below_agent(of: Agent) -> pb.AgentData:
    return pb.AgentData(agent=agent(of))


def archived(archived: Archived) -> pb.ArchivedAgent:
    return pb.ArchivedAgent(agent=agent(archived.agent), revoked_credential_ids=archived.revoked_credential_ids)


def summary(counted: Counted) -> pb.AgentSummary:
    agent = counted.agent
    return pb.AgentSummary(
        id=agent.id,
        name=agent.name,
        capabilities=agent.capabilities,
        status=agent.status,
        active_credential_count=counted.active_credentials,
        created_at=second(agent.created_at),
    )


def _list_or_null(items: Any) -> Value:
    if items is None:
        return nullable(None)
    return Value(list_value=ListValue(values=[nullable(item) for item in items]))
