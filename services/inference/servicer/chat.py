"""ChatService: a native turn as JSON, as server-sent events, or typed."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import grpc.aio
from google.api.httpbody_pb2 import HttpBody
from hasp.inference.v1.chat_service_pb2 import ChatRequest, StreamChatResponse
from hasp.inference.v1.chat_service_pb2_grpc import ChatServiceServicer

from services.chassis.access import call, caller
from services.chassis.clock import Clock
from services.chassis.ulids import new_ulid
from services.inference import wire
from services.inference.domain.chat import ChatAnswer
from services.inference.servicer.messages import EVENTS, JSON
from services.inference.usecases.chat import Chat


class ChatServicer(ChatServiceServicer):
    def __init__(self, chat: Chat, clock: Clock) -> None:
        self._chat = chat
        self._clock = clock

    async def CreateChat(self, request: ChatRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[HttpBody]:
        answer = await self._chat.create(call(), caller(), wire.turn(request))
        if isinstance(answer, ChatAnswer):
            # A replayed answer carries the first call's id, in its body as in its header.
            yield HttpBody(content_type=JSON, data=wire.chat_answer(answer, f"req_{answer.request_id}"))
            return
        async with aclosing(answer) as stream:  # pyright: ignore[reportArgumentType]
            async for events in stream:
                frames = [wire.chat_event(event, *self._stamp()) for event in events]
                yield HttpBody(content_type=EVENTS, data=b"".join(frames))

    async def StreamChat(
        self, request: ChatRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[StreamChatResponse]:
        answer = await self._chat.create(call(), caller(), replace(wire.turn(request), stream=True))
        if isinstance(answer, ChatAnswer):
            raise TypeError("a streamed turn has no whole answer")
        async with aclosing(answer) as stream:  # pyright: ignore[reportArgumentType]
            async for events in stream:
                for event in events:
                    response = wire.stream_response(event, *self._stamp())
                    if response is not None:
                        yield response

    def _stamp(self) -> tuple[str, int]:
        return f"evt_{new_ulid(self._clock)}", int(self._clock.now().timestamp())
