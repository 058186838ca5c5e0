"""SettingsService."""

import grpc.aio
from google.protobuf import json_format
from hasp.inference.v1.settings_service_pb2 import (
    GetSettingsRequest,
    GetSettingsResponse,
    UpdateSettingsRequest,
    UpdateSettingsResponse,
)
from hasp.inference.v1.settings_service_pb2_grpc import SettingsServiceServicer

from services.chassis.access import caller, meta
from services.inference import wire
from services.inference.usecases.settings import SettingsOfOrganizations


class SettingsServicer(SettingsServiceServicer):
    def __init__(self, settings: SettingsOfOrganizations) -> None:
        self._settings = settings

    async def GetSettings(self, request: GetSettingsRequest, context: grpc.aio.ServicerContext) -> GetSettingsResponse:
        current = await self._settings.of(caller().org_id)
        return GetSettingsResponse(success=True, data=wire.settings(current), meta=meta())

    async def UpdateSettings(
        self, request: UpdateSettingsRequest, context: grpc.aio.ServicerContext
    ) -> UpdateSettingsResponse:
        after = await self._settings.update(caller(), json_format.MessageToDict(request.settings))
        return UpdateSettingsResponse(success=True, data=wire.settings(after), meta=meta())
