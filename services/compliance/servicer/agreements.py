"""BaaService and BaaGateService."""

import grpc.aio
from google.api.httpbody_pb2 import HttpBody
from hasp.compliance.v1 import baa_gate_service_pb2 as gate_pb
from hasp.compliance.v1 import baa_service_pb2 as pb
from hasp.compliance.v1.baa_gate_service_pb2_grpc import BaaGateServiceServicer
from hasp.compliance.v1.baa_service_pb2_grpc import BaaServiceServicer
from hasp.envelope.v1.envelope_pb2 import CursorMeta

from services.chassis.access import OrgId, answer_header, answer_with, call, caller, meta
from services.chassis.paging import nullable
from services.compliance import wire
from services.compliance.domain.agreements import Signature
from services.compliance.servicer.parameters import before_id, cursor_of
from services.compliance.usecases.agreements import Agreements, Gates
from services.compliance.usecases.documents import Documents

_DEFAULT_LIMIT = 50


class BaaServicer(BaaServiceServicer):
    def __init__(self, agreements: Agreements, documents: Documents) -> None:
        self._agreements = agreements
        self._documents = documents

    async def GetBaa(self, request: pb.GetBaaRequest, context: grpc.aio.ServicerContext) -> pb.GetBaaResponse:
        standing = await self._agreements.get(caller())
        return pb.GetBaaResponse(success=True, data=wire.status(standing), meta=meta())

    async def AcceptBaa(self, request: pb.AcceptBaaRequest, context: grpc.aio.ServicerContext) -> pb.AcceptBaaResponse:
        signature = Signature(request.template_version, request.signer_name, request.signer_title, request.signer_email)
        signed = await self._agreements.accept(caller(), signature, ip_address=call().ip_address)
        answer_with(http_status=201)
        return pb.AcceptBaaResponse(success=True, data=wire.acceptance(signed), meta=meta())

    async def ListAcceptances(
        self, request: pb.ListAcceptancesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAcceptancesResponse:
        limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
        found = await self._agreements.list(caller(), before=before_id("acceptances", request.cursor), limit=limit + 1)
        page, more = found[:limit], len(found) > limit
        cursor = cursor_of("acceptances", page[-1].acceptance.id) if more else None
        return pb.ListAcceptancesResponse(
            success=True,
            data=[wire.acceptance(judged) for judged in page],
            meta=CursorMeta(request_id=call().request_id, next_cursor=nullable(cursor), has_more=more),
        )

    async def GetAcceptance(
        self, request: pb.GetAcceptanceRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetAcceptanceResponse:
        found = await self._agreements.get_acceptance(caller(), request.acceptance_id)
        return pb.GetAcceptanceResponse(success=True, data=wire.acceptance(found), meta=meta())

    async def DownloadAcceptance(
        self, request: pb.DownloadAcceptanceRequest, context: grpc.aio.ServicerContext
    ) -> HttpBody:
        download = await self._documents.download(caller(), request.acceptance_id)
        answer_header("content-disposition", f'attachment; filename="{download.filename}"')
        return HttpBody(content_type="application/pdf", data=download.pdf)


class BaaGateServicer(BaaGateServiceServicer):
    def __init__(self, gates: Gates) -> None:
        self._gates = gates

    async def GetGate(
        self, request: gate_pb.GetGateRequest, context: grpc.aio.ServicerContext
    ) -> gate_pb.GetGateResponse:
        return wire.gate(*await self._gates.get(OrgId(request.org_id)))
