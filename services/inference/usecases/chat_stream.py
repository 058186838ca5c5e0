"""A native turn as events: `run.created` … `run.completed`, and what stands in its place when it does not complete."""

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from services.chassis.errors import ServiceError
from services.inference.clients.upstream import MESSAGES
from services.inference.domain import phi
from services.inference.domain.catalogue import Model
from services.inference.domain.chat import (
    ChatEvent,
    DeltaEvent,
    MessageEvent,
    PhiSummary,
    Ping,
    RunEvent,
    UsageEvent,
    UsageSummary,
)
from services.inference.domain.record import Status
from services.inference.domain.stream import AnswerStream
from services.inference.usecases.engine import Engine
from services.inference.usecases.failures import failure_of
from services.inference.usecases.pump import Pump, Stop, Stopped
from services.inference.usecases.runs import Run

SILENCE = 15.0
"""Seconds after which a stream without news says `: ping`."""


class ChatStream:
    """`message` is what the user said, for the conversation."""

    def __init__(
        self, engine: Engine, run: Run, model: Model, placeholders: phi.PlaceholderMap | None, message: str
    ) -> None:
        self._engine = engine
        self._run = run
        self._model = model
        self._message = message
        self._id = run.opening.request_id
        self._stream = AnswerStream(run.answer, placeholders, message_id=f"msg_{self._id}", model=model.id)

    async def events(self, stop: Stop, body: bytes) -> AsyncIterator[list[ChatEvent]]:
        """Events as they become known, together what came together.

        Never raises but to be closed. The record exists before the first event and is ended before the last.
        """
        run, runs = self._run, self._engine.runs
        pump: Pump | None = None
        try:
            try:
                pump = self._engine.opened(run, stop, MESSAGES, body, {})
                yield [self._run_event("run.created", "created"), self._run_event("run.started", "in_progress")]
                while not run.answer.complete:
                    try:
                        piece = await pump.next(SILENCE)
                    except TimeoutError:
                        yield [Ping()]
                        continue
                    told = [self._told(event) for event, _ in self._stream.push(piece)]
                    run.restored_count = self._stream.restored_count
                    if events := [event for event in told if event is not None]:
                        yield events
                    self._stream.check()
                run.upstream_ended = time.perf_counter()
                await runs.end(
                    run,
                    Status.COMPLETED,
                    answer=run.answer.partial(),
                    turn=orjson.dumps([self._message, run.answer.text]),
                )
            except Exception as failure:  # noqa: BLE001 - a stream that ended cleanly here would pass for a whole answer
                status, error = failure_of(failure)
                held = self._held()
                await self._end(status, error)
                yield [*held, *self._failed(failure, error)]
                return
            yield self._completed()
        finally:
            # Also when the caller goes away, wherever this stands.
            if pump is not None:
                pump.close()
            runs.end_later(run, Status.CANCELLED)

    def _told(self, event: dict[str, Any] | None) -> ChatEvent | None:
        if event is None:
            return None
        if event["type"] == "content_block_delta":
            text = event["delta"].get("text")
            return DeltaEvent(self._id, text) if text else None
        if event["type"] == "message_start":
            return MessageEvent("message.created", self._id, "in_progress", "")
        return None

    def _held(self) -> list[ChatEvent]:
        told = [self._told(event) for event in self._stream.flush()]
        return [event for event in told if event is not None]

    async def _end(self, status: Status, error: ServiceError) -> None:
        try:
            await self._engine.runs.end(self._run, status, error_code=error.reason)
        except Exception:  # noqa: BLE001 - the stream fails already; that its ending failed too is in the log
            return

    def _completed(self) -> list[ChatEvent]:
        run = self._run
        return [
            MessageEvent("message.completed", self._id, "completed", run.answer.text),
            UsageEvent(UsageSummary.of(self._model.id, self._model, run.answer.usage)),
            self._run_event("run.completed", "completed", phi=PhiSummary.of(run.phi, run.restored_count)),
        ]

    def _failed(self, failure: Exception, error: ServiceError) -> list[ChatEvent]:
        if isinstance(failure, Stopped):
            return [
                self._run_event("run.cancel_requested", "in_progress"),
                self._run_event("run.cancelled", "cancelled"),
            ]
        answer = error.answer
        said = {
            "code": error.reason,
            "type": "invalid_request" if error.reason == "VALIDATION_FAILED" else answer.type,
            "message": error.message,
            "retryable": answer.retryable,
            "request_id": f"req_{self._id}",
        }
        if error.details or error.retry_after is not None:
            retry = {} if error.retry_after is None else {"retry_after_seconds": error.retry_after}
            said["details"] = {**error.details, **retry}
        return [self._run_event("run.failed", "failed", error=said)]

    def _run_event(
        self, kind: str, status: str, *, phi: PhiSummary | None = None, error: dict[str, Any] | None = None
    ) -> RunEvent:
        opening = self._run.opening
        return RunEvent(
            type=kind,
            status=status,
            request_id=self._id,
            model=opening.model,
            conversation_id=opening.conversation_id,
            created_at=opening.created_at,
            phi=phi,
            error=error,
        )
