"""InvocationService."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
from hasp.identity.v1 import invocation_service_pb2 as pb
from hasp.identity.v1.invocation_service_pb2_grpc import InvocationServiceServicer as Contract

from services.chassis.access import answer_with, caller, meta
from services.identity.domain.actions import parse_action
from services.identity.usecases.invocations import Invocations, Permitted
from services.identity.wire import invocations as wire
from services.identity.wire.values import plain


class InvocationServicer(Contract):
    def __init__(self, invocations: Invocations) -> None:
        self._invocations = invocations

    def end_streams(self) -> None:
        self._invocations.end_streams()

    async def AuthorizeInvocation(
        self, request: pb.AuthorizeInvocationRequest, context: grpc.aio.ServicerContext
    ) -> pb.AuthorizeInvocationResponse:
        permitted = await self._invocations.authorize(caller(), parse_action(plain(request.action)))
        answer_with(http_status=201)
        return pb.AuthorizeInvocationResponse(success=True, data=_data(permitted), meta=meta())

    async def GetInvocation(
        self, request: pb.GetInvocationRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetInvocationResponse:
        permitted = await self._invocations.get(caller(), request.invocation_id)
        return pb.GetInvocationResponse(success=True, data=_data(permitted), meta=meta())

    async def CompleteInvocation(
        self, request: pb.CompleteInvocationRequest, context: grpc.aio.ServicerContext
    ) -> pb.CompleteInvocationResponse:
        permitted = await self._invocations.complete(caller(), request.invocation_id, request.outcome)
        return pb.CompleteInvocationResponse(success=True, data=_data(permitted), meta=meta())

    async def WatchInvocation(
        self, request: pb.WatchInvocationRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchInvocationResponse]:
        async for permitted in self._invocations.watch(caller(), request.invocation_id):
            yield pb.WatchInvocationResponse(invocation=wire.invocation(permitted))


def _data(permitted: Permitted) -> pb.InvocationData:
    return pb.InvocationData(invocation=wire.invocation(permitted))
