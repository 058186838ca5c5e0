"""AuthenticationService."""

from __future__ import annotations

import grpc.aio
from hasp.identity.v1 import authentication_service_pb2 as pb
from hasp.identity.v1.authentication_service_pb2_grpc import AuthenticationServiceServicer as Contract

from services.chassis.access import OrgId
from services.chassis.clock import from_unix_ms
from services.identity.usecases.authentication import Authentication, Uses
from services.identity.wire import principals as wire


class AuthenticationServicer(Contract):
    def __init__(self, authentication: Authentication, uses: Uses) -> None:
        self._authentication = authentication
        self._uses = uses

    async def Authenticate(
        self, request: pb.AuthenticateRequest, context: grpc.aio.ServicerContext
    ) -> pb.AuthenticateResponse:
        authenticated = await self._authentication.resolve(request.token)
        return pb.AuthenticateResponse(principal=wire.principal(authenticated.principal), seq=authenticated.seq)

    async def RecordUse(self, request: pb.RecordUseRequest, context: grpc.aio.ServicerContext) -> pb.RecordUseResponse:
        self._uses.note((OrgId(use.org_id), use.principal_id, from_unix_ms(use.used_at_ms)) for use in request.uses)
        return pb.RecordUseResponse()
