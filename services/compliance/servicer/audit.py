"""AuditService and AuditIntakeService."""

from collections.abc import AsyncIterator

import grpc.aio
from google.api.httpbody_pb2 import HttpBody
from hasp.compliance.v1 import audit_intake_service_pb2 as intake_pb
from hasp.compliance.v1 import audit_service_pb2 as pb
from hasp.compliance.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceServicer
from hasp.compliance.v1.audit_service_pb2_grpc import AuditServiceServicer
from hasp.envelope.v1.envelope_pb2 import CursorMeta

from services.chassis.access import answer_header, call, caller, meta
from services.chassis.errors import ValidationFailed
from services.chassis.paging import nullable
from services.compliance import wire
from services.compliance.servicer.parameters import cursor_of, moment, not_of_this_list, position_of
from services.compliance.store.entries import Filter
from services.compliance.usecases.audit_log import AuditIntake, AuditLog
from services.compliance.usecases.exporting import Asked, Exports
from services.compliance.usecases.proofs import Proofs

_DEFAULT_LIMIT = 50
_MAX_DIGITS = 15


class AuditServicer(AuditServiceServicer):
    def __init__(self, log: AuditLog, proofs: Proofs, exports: Exports) -> None:
        self._log = log
        self._proofs = proofs
        self._exports = exports

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAuditEntriesResponse:
        chosen = Filter(
            action=_text(request.action, "action"),
            entity_type=_text(request.entity_type, "entity_type"),
            entity_id=_text(request.entity_id, "entity_id"),
            actor_id=_text(request.actor_id, "actor_id"),
            since=moment(request.since, "since"),
            until=moment(request.until, "until"),
        )
        limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
        found = await self._log.list(caller(), chosen, before=_position("entries", request.cursor), limit=limit + 1)
        page, more = found[:limit], len(found) > limit
        cursor = cursor_of("entries", str(page[-1].seq)) if more else None
        return pb.ListAuditEntriesResponse(
            success=True,
            data=[wire.entry(entry) for entry in page],
            meta=CursorMeta(request_id=call().request_id, next_cursor=nullable(cursor), has_more=more),
        )

    async def GetAuditEntry(
        self, request: pb.GetAuditEntryRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetAuditEntryResponse:
        entry = await self._log.get(caller(), request.entry_id)
        return pb.GetAuditEntryResponse(success=True, data=wire.entry(entry), meta=meta())

    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListCheckpointsResponse:
        limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
        found = await self._proofs.checkpoints(
            caller().org_id, below=_position("checkpoints", request.cursor), limit=limit + 1
        )
        page, more = found[:limit], len(found) > limit
        cursor = cursor_of("checkpoints", str(page[-1].tree_size)) if more else None
        return pb.ListCheckpointsResponse(
            success=True,
            data=[wire.checkpoint(checkpoint) for checkpoint in page],
            meta=CursorMeta(request_id=call().request_id, next_cursor=nullable(cursor), has_more=more),
        )

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetInclusionProofResponse:
        proof = await self._proofs.inclusion(caller().org_id, request.entry_id)
        return pb.GetInclusionProofResponse(success=True, data=wire.inclusion(proof), meta=meta())

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetConsistencyProofResponse:
        later = request.to_size if request.HasField("to_size") else None
        proof = await self._proofs.consistency(caller().org_id, request.from_size, later)
        return pb.GetConsistencyProofResponse(success=True, data=wire.consistency(proof), meta=meta())

    async def GetLogCheckpoint(
        self, request: pb.GetLogCheckpointRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetLogCheckpointResponse:
        proof = await self._proofs.log_of_logs(request.from_size)
        return pb.GetLogCheckpointResponse(success=True, data=wire.consistency(proof), meta=meta())

    async def ExportAudit(
        self, request: pb.ExportAuditRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[HttpBody]:
        asked = Asked(
            since=moment(request.since, "since"),
            until=moment(request.until, "until"),
            from_size=request.from_size if request.HasField("from_size") else None,
        )
        file = await self._exports.export(caller(), asked)
        answer_header("content-disposition", f'attachment; filename="audit-{caller().org_id}.jsonl"')
        async for piece in file:
            yield HttpBody(content_type="application/jsonl", data=piece)


class AuditIntakeServicer(AuditIntakeServiceServicer):
    def __init__(self, intake: AuditIntake) -> None:
        self._intake = intake

    async def AppendEvents(
        self, request: intake_pb.AppendEventsRequest, context: grpc.aio.ServicerContext
    ) -> intake_pb.AppendEventsResponse:
        await self._intake.append([wire.event(event) for event in request.events])
        return intake_pb.AppendEventsResponse()


def _text(value: str, param: str) -> str | None:
    if "\x00" in value:  # PostgreSQL has no NUL in text
        raise ValidationFailed("It holds a character that no entry has.", param=param)
    return value or None


def _position(listed: str, cursor: str) -> int | None:
    position = position_of(listed, cursor)
    if position is None:
        return None
    if not position.isdecimal() or len(position) > _MAX_DIGITS:
        raise not_of_this_list()
    return int(position)
