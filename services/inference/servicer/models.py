"""ModelService: the catalogue, in Anthropic's shape."""

import grpc.aio
from hasp.inference.v1.model_service_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
)
from hasp.inference.v1.model_service_pb2_grpc import ModelServiceServicer

from services.inference import wire
from services.inference.usecases.models import Models


class ModelServicer(ModelServiceServicer):
    def __init__(self, models: Models) -> None:
        self._models = models

    async def ListModels(self, request: ListModelsRequest, context: grpc.aio.ServicerContext) -> ListModelsResponse:
        limit = request.limit if request.HasField("limit") else 20
        page, has_more = self._models.list(before_id=request.before_id, after_id=request.after_id, limit=limit)
        return wire.model_page(page, has_more=has_more)

    async def GetModel(self, request: GetModelRequest, context: grpc.aio.ServicerContext) -> GetModelResponse:
        found = wire.model(self._models.get(request.model_id))
        return GetModelResponse(
            type=found.type, id=found.id, display_name=found.display_name, created_at=found.created_at
        )
