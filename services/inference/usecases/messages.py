"""The Anthropic surface: one Messages call from its body to the last byte of its answer."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from services.chassis import audit
from services.chassis.access import Call, Principal
from services.chassis.idempotency import Fresh
from services.inference.clients.upstream import COUNT_TOKENS, MESSAGES
from services.inference.domain import input_bound, messages_body, phi, sse
from services.inference.domain.answer import GarbledAnswer
from services.inference.domain.catalogue import Model
from services.inference.domain.errors import ToolNotInScope, UpstreamFailure
from services.inference.domain.record import Caller, Opening, Status, Surface, pack_request
from services.inference.domain.settings import Settings
from services.inference.domain.stream import AnswerStream
from services.inference.usecases.admission import Admitted
from services.inference.usecases.engine import Engine
from services.inference.usecases.failures import error_event, failure_of
from services.inference.usecases.pump import Pump, Stop
from services.inference.usecases.replay import Replayed, Replays
from services.inference.usecases.runs import Run
from services.inference.usecases.settlement import ENTITY

_PASSED_ON = ("anthropic-beta", "anthropic-version")
"""Of the caller's headers. Its credentials never reach the provider."""


class Messages:
    def __init__(self, engine: Engine, replays: Replays) -> None:
        self._engine = engine
        self._replays = replays

    async def create(self, call: Call, principal: Principal, raw: bytes) -> bytes | AsyncIterator[bytes]:
        """The answer's JSON, or its events when the body says `"stream": true`.

        Raises every refusal before the first byte. The iterator never raises: what fails later is the stream's own error event.
        """
        engine, stop = self._engine, Stop()
        with engine.watched(principal, stop) as watched:
            claim = await self._replays.claim(call, hashlib.sha256(raw).digest())
            if isinstance(claim, Replayed):
                return _with_meta(claim.message, claim.request_id)
            try:
                run, admitted, pump_body = await self._dispatch(call, principal, raw, claim)
            except BaseException:
                await self._replays.drop(claim)
                raise
            run.saved = watched.pop_all()
        headers = {name: call.headers[name] for name in _PASSED_ON if name in call.headers}
        if run.opening.stream:
            return await self._stream(run, stop, pump_body, headers, self._placeholders(admitted, run))
        return await self._answer(run, stop, pump_body, headers, self._placeholders(admitted, run))

    async def count(self, call: Call, principal: Principal, raw: bytes) -> bytes:
        """`{"input_tokens": …}`. The same checks; leaves one audit event and no record."""
        engine = self._engine
        body = messages_body.parse(raw)
        messages_body.check_count(body)
        model = await engine.admission.model(principal, body["model"])
        if principal.kind == "agent":
            await self._check_grants(principal, model, body)
        settings = await engine.settings.of(principal.org_id)
        admitted = await self._admit(call, principal, model, settings, body, count_only=True)
        headers = {name: call.headers[name] for name in _PASSED_ON if name in call.headers}
        answer = await engine.upstream.ask(
            COUNT_TOKENS, orjson.dumps(admitted.scanned.request | {"model": model.upstream_id}), headers
        )
        if not isinstance(answer.get("input_tokens"), int):
            raise UpstreamFailure("The model provider sent no valid answer.")
        event = audit.build(
            engine.clock,
            org_id=principal.org_id,
            action="inference.tokens_counted",
            entity_type=ENTITY,
            entity_id=call.request_ulid,
            metadata={
                "model": model.id,
                "surface": Surface.ANTHROPIC.value,
                "phi_policy": engine.phi_policy,
                **_counts(admitted.scanned),
            },
        )
        await engine.admission.tell(event)
        return orjson.dumps(answer)

    async def _dispatch(
        self, call: Call, principal: Principal, raw: bytes, claim: Fresh | None
    ) -> tuple[Run, Admitted[phi.ScannedMessages], bytes]:
        engine, started = self._engine, time.perf_counter()
        body = messages_body.parse(raw)
        messages_body.check_create(body)
        model = await engine.admission.model(principal, body["model"])
        if principal.kind == "agent":
            await self._check_grants(principal, model, body)
        settings = await engine.settings.of(principal.org_id)
        admitted = await self._admit(call, principal, model, settings, body, count_only=False)
        async with engine.admission.holding(admitted):
            masked = orjson.dumps(admitted.scanned.request | {"model": model.upstream_id})
            keep = settings.storage_mode == "full"
            opening = Opening(
                org_id=principal.org_id,
                request_id=call.request_ulid,
                surface=Surface.ANTHROPIC,
                stream=bool(body.get("stream")),
                store=True,
                model=model.id,
                catalogue_version=engine.admission.catalogue.version,
                conversation_id=None,
                caller=Caller.of(principal, call.ip_address),
                owner_id=engine.runs.owner_id,
                input_bound=admitted.input_bound,
                request=await engine.sealed_request(principal, call, pack_request(raw, masked)) if keep else None,
                detections=await engine.sealed_detections(principal, call, admitted.scanned),
                phi=engine.phi_of(settings, admitted.scanned),
                phi_ms=admitted.phi_ms,
                created_at=engine.clock.now(),
            )
            run = await engine.runs.dispatch(
                opening, started=started, max_tokens=admitted.wanted.max_tokens, claim=claim
            )
        return run, admitted, masked

    async def _check_grants(self, principal: Principal, model: Model, body: Mapping[str, Any]) -> None:
        """Raises ToolNotInScope once the audit log is owed the denial: without the tool's name, which the agent made up and may be PHI."""
        try:
            messages_body.check_grants(body, principal.granted_tool_ids)
        except ToolNotInScope as refusal:
            event = audit.build(
                self._engine.clock,
                org_id=principal.org_id,
                action="agent.tool_denied",
                entity_type="credential",
                entity_id=principal.id,
                metadata={
                    "type": "external.tool.invoke",
                    "listed": False,
                    "reason": refusal.reason,
                    "surface": Surface.ANTHROPIC.value,
                    "model": model.id,
                    "param": refusal.param,
                },
            )
            await self._engine.admission.tell(event)
            raise

    async def _admit(
        self,
        call: Call,
        principal: Principal,
        model: Model,
        settings: Settings,
        body: dict[str, Any],
        *,
        count_only: bool,
    ) -> Admitted[phi.ScannedMessages]:
        engine = self._engine

        async def scan() -> phi.ScannedMessages:
            return await engine.guard.scan_messages(
                body,
                policy=engine.policy(settings),
                org_key=await engine.org_key(principal),
                deadline=engine.deadline(),
            )

        return await engine.admission.admit(
            call,
            principal,
            Surface.ANTHROPIC,
            model,
            scan,
            input_bound=input_bound.input_bound(body),
            max_tokens=body.get("max_tokens", 0),
            count_only=count_only,
            bound_after_scan=_masked_bound if input_bound.has_documents(body) else None,
        )

    def _placeholders(self, admitted: Admitted[phi.ScannedMessages], run: Run) -> phi.PlaceholderMap | None:
        """What is to be put back, None for nothing."""
        restore = run.phi["restore"] and bool(admitted.scanned.map)
        return admitted.scanned.map if restore else None

    async def _answer(
        self, run: Run, stop: Stop, body: bytes, headers: Mapping[str, str], placeholders: phi.PlaceholderMap | None
    ) -> bytes:
        try:
            message = await self._engine.asked(run, stop, MESSAGES, body, headers)
            try:
                run.answer.whole(message)
                if placeholders is not None:
                    message, run.restored_count = phi.restore_message(message, placeholders)
            except GarbledAnswer:
                raise UpstreamFailure("The model provider sent no valid answer.") from None
        except asyncio.CancelledError:
            self._engine.runs.end_later(run, Status.CANCELLED)
            raise
        except Exception as failure:
            status, error = failure_of(failure)
            await self._engine.runs.end(run, status, error_code=error.reason)
            raise error from failure
        message["id"] = f"msg_{run.opening.request_id}"
        message["model"] = run.opening.model
        await self._engine.runs.end(run, Status.COMPLETED, answer=orjson.dumps(message))
        return _with_meta(message, f"req_{run.opening.request_id}")

    async def _stream(
        self, run: Run, stop: Stop, body: bytes, headers: Mapping[str, str], placeholders: phi.PlaceholderMap | None
    ) -> AsyncIterator[bytes]:
        """Returns once the provider's first byte is there; a refusal until then is raised."""
        engine = self._engine
        pump = engine.opened(run, stop, MESSAGES, body, headers)
        try:
            first = await pump.next()
        except asyncio.CancelledError:
            pump.close()
            engine.runs.end_later(run, Status.CANCELLED)
            raise
        except Exception as failure:
            status, error = failure_of(failure)
            await engine.runs.end(run, status, error_code=error.reason)
            raise error from failure
        answer = AnswerStream(
            run.answer, placeholders, message_id=f"msg_{run.opening.request_id}", model=run.opening.model
        )
        return self._events(run, pump, answer, first)

    async def _events(self, run: Run, pump: Pump, stream: AnswerStream, piece: bytes) -> AsyncIterator[bytes]:
        runs = self._engine.runs
        try:
            try:
                while True:
                    sent = [frame or sse.frame(event or {}) for event, frame in stream.push(piece)]
                    run.restored_count = stream.restored_count
                    if run.answer.complete:
                        last = sent.pop()
                        if sent:
                            yield b"".join(sent)
                        run.upstream_ended = time.perf_counter()
                        await runs.end(run, Status.COMPLETED, answer=run.answer.partial())
                        yield last
                        return
                    if sent:
                        yield b"".join(sent)
                    stream.check()
                    piece = await pump.next()
            except Exception as failure:  # noqa: BLE001 - a stream that ended cleanly here would pass for a whole answer
                status, error = failure_of(failure)
                held = [sse.frame(event) for event in stream.flush()]
                await _quietly(runs.end(run, status, error_code=error.reason))
                yield b"".join([*held, error_event(failure, error, run.opening.request_id)])
        finally:
            # Also when the caller goes away, wherever this stands.
            pump.close()
            runs.end_later(run, Status.CANCELLED)


async def _quietly(ending: Any) -> None:
    """The stream is broken already; that its ending failed too is in the log."""
    try:
        await ending
    except Exception:  # noqa: BLE001
        return


def _with_meta(message: dict[str, Any], request_id: str) -> bytes:
    return orjson.dumps(message | {"meta": {"request_id": request_id}})


def _masked_bound(scanned: phi.ScannedMessages) -> int:
    return input_bound.input_bound(scanned.request)


def _counts(scanned: phi.Scanned) -> dict[str, object]:
    return {
        "phi_action": scanned.action,
        "entity_types": scanned.entity_types,
        "redaction_count": scanned.redaction_count,
        "redactions_by_type": scanned.by_type,
        "redactions_by_category": phi.by_category(scanned.by_type),
    }
