"""CredentialService."""

from __future__ import annotations

import grpc.aio
from hasp.envelope.v1.envelope_pb2 import CursorMeta
from hasp.identity.v1 import credential_service_pb2 as pb
from hasp.identity.v1.credential_service_pb2_grpc import CredentialServiceServicer as Contract

from services.chassis.access import answer_with, caller, meta
from services.chassis.clock import Clock
from services.chassis.paging import decode_cursor, encode_cursor, nullable
from services.identity.domain import texts
from services.identity.usecases.credentials import Credentials
from services.identity.wire import credentials as wire

_DEFAULT_LIMIT = 50


class CredentialServicer(Contract):
    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock

    async def IssueCredential(
        self, request: pb.IssueCredentialRequest, context: grpc.aio.ServicerContext
    ) -> pb.IssueCredentialResponse:
        now = self._clock.now()
        issued = await self._credentials.issue(caller(), request.agent_id, wire.wanted(request, now))
        answer_with(http_status=201)
        data = pb.IssuedCredential(credential=wire.credential(issued.credential, now), token=issued.token)
        return pb.IssueCredentialResponse(success=True, data=data, meta=meta())

    async def ListCredentials(
        self, request: pb.ListCredentialsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListCredentialsResponse:
        limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
        page = await self._credentials.page(
            caller(),
            request.agent_id,
            status=request.status if request.HasField("status") else "active",
            before_id=decode_cursor(request.cursor),
            limit=limit,
        )
        cursor, now = encode_cursor(page.credentials[-1].id) if page.has_more else None, self._clock.now()
        return pb.ListCredentialsResponse(
            success=True,
            data=[wire.credential(credential, now) for credential in page.credentials],
            meta=CursorMeta(request_id=meta().request_id, next_cursor=nullable(cursor), has_more=page.has_more),
        )

    async def GetCredential(
        self, request: pb.GetCredentialRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetCredentialResponse:
        credential = await self._credentials.get(caller(), request.agent_id, request.credential_id)
        data = pb.CredentialData(credential=wire.credential(credential, self._clock.now()))
        return pb.GetCredentialResponse(success=True, data=data, meta=meta())

    async def RevokeCredential(
        self, request: pb.RevokeCredentialRequest, context: grpc.aio.ServicerContext
    ) -> pb.RevokeCredentialResponse:
        reason = texts.paragraphs(request.reason, "reason", at_most=500) if request.HasField("reason") else None
        credential, cascade = await self._credentials.revoke(caller(), request.agent_id, request.credential_id, reason)
        data = pb.RevokedCredential(
            credential=wire.credential(credential, self._clock.now()), cascade_revoked_credential_ids=cascade
        )
        return pb.RevokeCredentialResponse(success=True, data=data, meta=meta())
