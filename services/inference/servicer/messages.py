"""MessagesService: Anthropic's wire format in and out, as bytes."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc.aio
from google.api.httpbody_pb2 import HttpBody
from hasp.inference.v1.messages_service_pb2_grpc import MessagesServiceServicer

from services.chassis.access import call, caller
from services.inference.usecases.messages import Messages

JSON, EVENTS = "application/json", "text/event-stream; charset=utf-8"


class MessagesServicer(MessagesServiceServicer):
    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def CreateMessage(self, request: HttpBody, context: grpc.aio.ServicerContext) -> AsyncIterator[HttpBody]:
        answer = await self._messages.create(call(), caller(), request.data)
        if isinstance(answer, bytes):
            yield HttpBody(content_type=JSON, data=answer)
            return
        async with aclosing(answer) as pieces:  # pyright: ignore[reportArgumentType]
            async for piece in pieces:
                yield HttpBody(content_type=EVENTS, data=piece)

    async def CountTokens(self, request: HttpBody, context: grpc.aio.ServicerContext) -> HttpBody:
        return HttpBody(content_type=JSON, data=await self._messages.count(call(), caller(), request.data))
