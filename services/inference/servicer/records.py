"""RecordService."""

import grpc.aio
from hasp.inference.v1.record_service_pb2 import GetRecordRequest, GetRecordResponse
from hasp.inference.v1.record_service_pb2_grpc import RecordServiceServicer

from services.chassis.access import caller, meta
from services.inference import wire
from services.inference.usecases.records import Records


class RecordServicer(RecordServiceServicer):
    def __init__(self, records: Records) -> None:
        self._records = records

    async def GetRecord(self, request: GetRecordRequest, context: grpc.aio.ServicerContext) -> GetRecordResponse:
        opened = await self._records.get(caller(), request.id)
        return GetRecordResponse(success=True, data=wire.record(opened), meta=meta())
