"""The native surface: one turn, as a whole or event by event."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from services.chassis.access import Call, Principal
from services.chassis.errors import ResourceNotFound
from services.chassis.idempotency import Fresh
from services.inference.clients.upstream import MESSAGES
from services.inference.domain import input_bound, phi
from services.inference.domain.answer import GarbledAnswer
from services.inference.domain.catalogue import Model
from services.inference.domain.chat import ChatAnswer, ChatEvent, ChatTurn, PhiSummary, UsageSummary
from services.inference.domain.errors import UpstreamFailure
from services.inference.domain.record import Caller, Conversation, Opening, Status, Surface, pack_request
from services.inference.domain.settings import Settings
from services.inference.usecases.admission import Admitted
from services.inference.usecases.chat_stream import ChatStream
from services.inference.usecases.conversations import Conversations
from services.inference.usecases.engine import Engine
from services.inference.usecases.failures import failure_of
from services.inference.usecases.pump import Stop
from services.inference.usecases.replay import Replayed, Replays
from services.inference.usecases.runs import Run


class Chat:
    def __init__(self, engine: Engine, conversations: Conversations, replays: Replays) -> None:
        self._engine = engine
        self._conversations = conversations
        self._replays = replays

    async def create(
        self, call: Call, principal: Principal, turn: ChatTurn
    ) -> ChatAnswer | AsyncIterator[list[ChatEvent]]:
        """The answer, or its events when `turn.stream`. Raises every refusal before the run exists; the iterator never raises."""
        engine, stop, started = self._engine, Stop(), time.perf_counter()
        with engine.watched(principal, stop) as watched:
            claim = await self._replays.claim(call, _hash(turn))
            if isinstance(claim, Replayed):
                return self._rebuilt(claim)
            try:
                run, model, placeholders, body = await self._dispatch(call, principal, turn, claim, started)
            except BaseException:
                await self._replays.drop(claim)
                raise
            run.saved = watched.pop_all()
        if turn.stream:
            stream = ChatStream(engine, run, model, placeholders if run.phi["restore"] else None, turn.message)
            return stream.events(stop, body)
        return await self._answer(run, model, stop, turn, placeholders, body)

    async def _dispatch(
        self, call: Call, principal: Principal, turn: ChatTurn, claim: Fresh | None, started: float
    ) -> tuple[Run, Model, phi.PlaceholderMap, bytes]:
        engine = self._engine
        settings = await engine.settings.of(principal.org_id)
        keep = turn.store and settings.storage_mode == "full"
        conversation = await self._conversation(principal, turn, keep=keep)
        model = await engine.admission.model(principal, turn.model)
        admitted = await self._admit(call, principal, model, settings, turn, conversation)
        async with engine.admission.holding(admitted):
            scanned = admitted.scanned
            request = {"model": model.upstream_id, "max_tokens": turn.max_tokens, "messages": scanned.messages}
            if scanned.system:
                request["system"] = scanned.system
            if turn.stream:
                request["stream"] = True
            body = orjson.dumps(request)
            conversation_id = turn.conversation_id or f"conv_{call.request_ulid}"
            opening = Opening(
                org_id=principal.org_id,
                request_id=call.request_ulid,
                surface=Surface.NATIVE,
                stream=turn.stream,
                store=turn.store,
                model=model.id,
                catalogue_version=engine.admission.catalogue.version,
                conversation_id=conversation_id if keep else None,
                caller=Caller.of(principal, call.ip_address),
                owner_id=engine.runs.owner_id,
                input_bound=admitted.input_bound,
                request=await engine.sealed_request(principal, call, pack_request(_asked(turn), body))
                if keep
                else None,
                detections=await engine.sealed_detections(principal, call, scanned),
                phi=engine.phi_of(settings, scanned),
                phi_ms=admitted.phi_ms,
                created_at=engine.clock.now(),
            )
            step = None
            if keep:
                step = await self._conversations.step(principal.org_id, conversation_id, conversation, scanned.map)
            run = await engine.runs.dispatch(
                opening, started=started, max_tokens=admitted.wanted.max_tokens, step=step, claim=claim
            )
        return run, model, scanned.map, body

    async def _conversation(self, principal: Principal, turn: ChatTurn, *, keep: bool) -> Conversation | None:
        if turn.conversation_id is None:
            return None
        if not keep:
            raise ResourceNotFound("No such conversation: nothing is stored.", param="conversation_id")
        return await self._conversations.get(principal, turn.conversation_id)

    async def _admit(
        self,
        call: Call,
        principal: Principal,
        model: Model,
        settings: Settings,
        turn: ChatTurn,
        conversation: Conversation | None,
    ) -> Admitted[phi.ScannedChat]:
        engine = self._engine
        system = turn.system if turn.system is not None else settings.default_system
        turns: list[phi.Turn] = []
        for said, answered in conversation.turns if conversation else ():
            turns.append(phi.Turn("user", said))
            if answered:
                turns.append(phi.Turn("assistant", answered))
        known = phi.PlaceholderMap.from_json(conversation.placeholders) if conversation else None

        async def scan() -> phi.ScannedChat:
            return await engine.guard.scan_chat(
                system=system,
                turns=turns,
                message=turn.message,
                policy=engine.policy(settings),
                org_key=await engine.org_key(principal),
                deadline=engine.deadline(),
                placeholders=known,
            )

        messages = [{"role": past.role, "content": past.content} for past in turns]
        messages.append({"role": "user", "content": turn.message})
        return await engine.admission.admit(
            call,
            principal,
            Surface.NATIVE,
            model,
            scan,
            input_bound=input_bound.input_bound({"system": system, "messages": messages}),
            max_tokens=turn.max_tokens,
        )

    async def _answer(
        self, run: Run, model: Model, stop: Stop, turn: ChatTurn, placeholders: phi.PlaceholderMap, body: bytes
    ) -> ChatAnswer:
        runs = self._engine.runs
        try:
            message = await self._engine.asked(run, stop, MESSAGES, body, {})
            try:
                run.answer.whole(message)
                if run.phi["restore"]:
                    message, run.restored_count = phi.restore_message(message, placeholders)
                content = message["content"]
                text = "".join(block["text"] for block in content if block.get("type") == "text")
            except (GarbledAnswer, KeyError, TypeError, AttributeError):
                raise UpstreamFailure("The model provider sent no valid answer.") from None
        except asyncio.CancelledError:
            runs.end_later(run, Status.CANCELLED)
            raise
        except Exception as failure:
            status, error = failure_of(failure)
            await runs.end(run, status, error_code=error.reason)
            raise error from failure
        await runs.end(
            run,
            Status.COMPLETED,
            answer=orjson.dumps({"content": content}),
            turn=orjson.dumps([turn.message, text]),
        )
        return ChatAnswer(
            request_id=run.opening.request_id,
            content=text,
            conversation_id=run.opening.conversation_id,
            usage=UsageSummary.of(model.id, model, run.answer.usage),
            phi=PhiSummary.of(run.phi, run.restored_count),
        )

    def _rebuilt(self, first: Replayed) -> ChatAnswer:
        record = first.record
        model = self._engine.admission.catalogue.find(record.model)
        blocks: list[dict[str, Any]] = first.message["content"]
        return ChatAnswer(
            request_id=record.request_id,
            content="".join(block["text"] for block in blocks if block.get("type") == "text"),
            conversation_id=record.conversation_id,
            usage=UsageSummary.of(record.model, model, record.usage),
            phi=PhiSummary.of(record.phi, record.restored_count),
        )


def _asked(turn: ChatTurn) -> bytes:
    """The request as the caller made it, in the form the record shows."""
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": turn.message}]}
    if turn.system is not None:
        asked["system"] = turn.system
    return orjson.dumps(asked)


def _hash(turn: ChatTurn) -> bytes:
    return hashlib.sha256(orjson.dumps(turn, option=orjson.OPT_SORT_KEYS)).digest()
