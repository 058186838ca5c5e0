"""PhiService: declared and not built yet, every method answers NOT_IMPLEMENTED."""

from collections.abc import AsyncIterator

import grpc.aio
from hasp.inference.v1.phi_service_pb2 import (
    RedactRequest,
    RedactResponse,
    RestoreRequest,
    RestoreResponse,
    ScanRequest,
    ScanResponse,
    ScanStreamRequest,
    ScanStreamResponse,
)
from hasp.inference.v1.phi_service_pb2_grpc import PhiServiceServicer

from services.chassis.errors import NotImplementedYet


class PhiServicer(PhiServiceServicer):
    async def Scan(self, request: ScanRequest, context: grpc.aio.ServicerContext) -> ScanResponse:
        raise NotImplementedYet

    async def Redact(self, request: RedactRequest, context: grpc.aio.ServicerContext) -> RedactResponse:
        raise NotImplementedYet

    async def Restore(self, request: RestoreRequest, context: grpc.aio.ServicerContext) -> RestoreResponse:
        raise NotImplementedYet

    async def ScanStream(
        self, request_iterator: AsyncIterator[ScanStreamRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ScanStreamResponse]:
        raise NotImplementedYet
        yield  # makes this a stream
