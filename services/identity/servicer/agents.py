"""AgentService."""

from __future__ import annotations

import grpc.aio
from hasp.envelope.v1.envelope_pb2 import PageMeta
from hasp.identity.v1 import agent_service_pb2 as pb
from hasp.identity.v1.agent_service_pb2_grpc import AgentServiceServicer as Contract

from services.chassis.access import answer_with, caller, meta
from services.identity.usecases.agents import Agents
from services.identity.wire import agents as wire
from services.identity.wire.values import plain


class AgentServicer(Contract):
    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    async def RegisterAgent(
        self, request: pb.RegisterAgentRequest, context: grpc.aio.ServicerContext
    ) -> pb.RegisterAgentResponse:
        agent = await self._agents.register(caller(), wire.wanted(request))
        answer_with(http_status=201)
        return pb.RegisterAgentResponse(success=True, data=wire.below_agent(agent), meta=meta())

    async def ListAgents(
        self, request: pb.ListAgentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAgentsResponse:
        page = await self._agents.page(caller(), wire.selection(request))
        return pb.ListAgentsResponse(
            success=True,
            data=[wire.summary(each) for each in page.agents],
            meta=PageMeta(request_id=meta().request_id, total=page.total, page=page.number, last_page=page.last),
        )

    async def GetAgent(self, request: pb.GetAgentRequest, context: grpc.aio.ServicerContext) -> pb.GetAgentResponse:
        agent = await self._agents.get(caller(), request.agent_id)
        return pb.GetAgentResponse(success=True, data=wire.below_agent(agent), meta=meta())

    async def UpdateAgent(
        self, request: pb.UpdateAgentRequest, context: grpc.aio.ServicerContext
    ) -> pb.UpdateAgentResponse:
        updated = await self._agents.update(caller(), request.agent_id, plain(request.patch))
        return pb.UpdateAgentResponse(
            success=True,
            data=wire.below_agent(updated.agent),
            meta=pb.UpdateAgentMeta(
                request_id=meta().request_id, credentials_outside_allowed_scope_types=updated.outside
            ),
        )

    async def ArchiveAgent(
        self, request: pb.ArchiveAgentRequest, context: grpc.aio.ServicerContext
    ) -> pb.ArchiveAgentResponse:
        archived = await self._agents.archive(caller(), request.agent_id)
        return pb.ArchiveAgentResponse(success=True, data=wire.archived(archived), meta=meta())

    async def ReactivateAgent(
        self, request: pb.ReactivateAgentRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReactivateAgentResponse:
        agent = await self._agents.reactivate(caller(), request.agent_id)
        return pb.ReactivateAgentResponse(success=True, data=wire.below_agent(agent), meta=meta())
