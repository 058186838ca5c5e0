"""ApiKeyService."""

from __future__ import annotations

import grpc.aio
from hasp.envelope.v1.envelope_pb2 import CursorMeta
from hasp.identity.v1 import api_key_service_pb2 as pb
from hasp.identity.v1.api_key_service_pb2_grpc import ApiKeyServiceServicer as Contract

from services.chassis.access import answer_with, caller, meta
from services.chassis.clock import Clock
from services.chassis.paging import decode_cursor, encode_cursor, nullable
from services.identity.domain.api_keys import WantedKey, expiry_of, form_of
from services.identity.usecases.api_keys import ApiKeys
from services.identity.wire import keys as wire

_DEFAULT_LIMIT = 50


class ApiKeyServicer(Contract):
    def __init__(self, keys: ApiKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListApiKeysResponse:
        limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
        page = await self._keys.page(caller(), before_id=decode_cursor(request.cursor), limit=limit)
        cursor = encode_cursor(page.keys[-1].id) if page.has_more else None
        return pb.ListApiKeysResponse(
            success=True,
            data=[wire.api_key(key) for key in page.keys],
            meta=CursorMeta(request_id=meta().request_id, next_cursor=nullable(cursor), has_more=page.has_more),
        )

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateApiKeyResponse:
        wanted = WantedKey(
            name=request.name,
            scopes=list(request.scopes),
            expires_at=expiry_of(request.expires_at if request.HasField("expires_at") else None, self._clock.now()),
            form=form_of(request.format),
        )
        issued = await self._keys.create(caller(), wanted)
        answer_with(http_status=201)
        return pb.CreateApiKeyResponse(success=True, data=wire.created_api_key(issued), meta=meta())

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: grpc.aio.ServicerContext
    ) -> pb.RevokeApiKeyResponse:
        key = await self._keys.revoke(caller(), request.key_id)
        return pb.RevokeApiKeyResponse(success=True, data=wire.revoked_api_key(key), meta=meta())
