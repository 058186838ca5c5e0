"""MeteringService: the calls on the path of every request."""

from __future__ import annotations

import grpc.aio
import structlog
from hasp.billing.v1 import metering_service_pb2 as pb
from hasp.billing.v1.metering_service_pb2_grpc import MeteringServiceServicer

from services.billing import wire
from services.billing.domain.metering import Settlement
from services.billing.usecases.metering import Metering
from services.chassis.access import OrgId

log = structlog.get_logger()


class MeteringServicer(MeteringServiceServicer):
    def __init__(self, metering: Metering) -> None:
        self._metering = metering

    async def Reserve(self, request: pb.ReserveRequest, context: grpc.aio.ServicerContext) -> pb.ReserveResponse:
        return wire.decision(await self._metering.reserve(wire.demand(request)))

    async def Renew(self, request: pb.RenewRequest, context: grpc.aio.ServicerContext) -> pb.RenewResponse:
        await self._metering.renew([wire.request_ref(ref) for ref in request.requests])
        return pb.RenewResponse()

    async def Settle(self, request: pb.SettleRequest, context: grpc.aio.ServicerContext) -> pb.SettleResponse:
        sound: list[tuple[int, Settlement]] = []
        for place, told in enumerate(request.settlements):
            # One that cannot be read stays with its sender and does not hold up the others.
            try:
                sound.append((place, wire.settlement(told)))
            except ValueError as error:
                log.error("settlement refused", org_id=told.org_id, request_id=told.request_id, exc_info=error)
        booked = await self._metering.settle([settlement for _, settlement in sound])
        return pb.SettleResponse(booked=[sound[place][0] for place in booked])

    async def Release(self, request: pb.ReleaseRequest, context: grpc.aio.ServicerContext) -> pb.ReleaseResponse:
        await self._metering.release([wire.request_ref(ref) for ref in request.requests])
        return pb.ReleaseResponse()

    async def GetEntitlements(
        self, request: pb.GetEntitlementsRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetEntitlementsResponse:
        found = await self._metering.entitlements(OrgId(request.org_id))
        return pb.GetEntitlementsResponse(opus_enabled=found.opus_enabled, plan=found.plan, seq=found.seq)
