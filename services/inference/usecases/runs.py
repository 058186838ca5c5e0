"""Runs: requests under way in this process, from the commit before they leave to the commit after they end.

A record is ended by exactly one commit, whoever makes it: its `status = 'dispatched'` and its owner are the guard. What that commit
owes billing and the audit log is in it.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

import structlog
from psycopg_pool import PoolTimeout

from services.chassis import database
from services.chassis.access import OrgId
from services.chassis.batching import Batcher
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import ServiceUnavailable
from services.chassis.idempotency import Fresh
from services.chassis.outbox import Owed, Relay
from services.chassis.sealing import Sealer
from services.inference.clients.metering import Metering
from services.inference.domain.answer import Answer
from services.inference.domain.record import Ending, Opening, Status
from services.inference.domain.usage import Basis, Usage
from services.inference.store import records
from services.inference.store.records import ConversationStep, Owes
from services.inference.usecases.settlement import audit_event, settlement

log = structlog.get_logger()

_CHECKPOINT_EVERY = 1.0
_COMMIT_TRIES = 12
"""With the pauses between them: ten seconds, more than a database needs to come back."""


class Run:
    """One dispatched request. `cancel` may be called from anywhere, any number of times; the first reason counts."""

    def __init__(self, opening: Opening, *, started: float, max_tokens: int) -> None:
        self.opening = opening
        self.answer = Answer(max_tokens)
        self.phi = opening.phi
        self.restored_count = 0
        self.started = started
        self.upstream_started: float | None = None
        self.upstream_ended: float | None = None
        self.saved = ExitStack()
        self._ended = False

    @property
    def key(self) -> tuple[OrgId, str]:
        return self.opening.org_id, self.opening.request_id

    def end_once(self) -> bool:
        """True for the first caller: only one may end a run."""
        first, self._ended = not self._ended, True
        return first


class Runs:
    """The runs of this process."""

    def __init__(
        self, db: Database, clock: Clock, sealer: Sealer, metering: Metering, relay: Relay, *, owner_id: str
    ) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._metering = metering
        self._relay = relay
        self.owner_id = owner_id
        self._running: dict[tuple[OrgId, str], Run] = {}
        self._unconfirmed: dict[tuple[OrgId, str], tuple[Ending, Owes]] = {}
        """Endings that the database has not taken yet."""
        self._background: set[asyncio.Task[None]] = set()
        self._openings: Batcher[Opening, None] = Batcher(lambda items: records.insert_batch(db, items), lanes=2)
        self._endings: Batcher[tuple[Ending, Owes], bool] = Batcher(lambda items: records.end_batch(db, items), lanes=2)

    @property
    def running(self) -> list[str]:
        """Request ids of what this process runs, or has run and not yet told the database."""
        return [request_id for _, request_id in (*self._running, *self._unconfirmed)]

    async def dispatch(
        self,
        opening: Opening,
        *,
        started: float,
        max_tokens: int,
        step: ConversationStep | None = None,
        claim: Fresh | None = None,
    ) -> Run:
        """Commit the record; only then may the request leave. Raises what the commit refuses; then nothing is written.

        A caller that goes away during the commit leaves a record that says so.
        """
        run = Run(opening, started=started, max_tokens=max_tokens)
        # Before the commit: a record whose confirmation is lost must not look like one that nobody runs.
        self._running[run.key] = run
        committing = asyncio.create_task(self._open(run, step, claim))
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            self._in_background(self._end_unsent(run, committing))
            raise
        return run

    async def _open(self, run: Run, step: ConversationStep | None, claim: Fresh | None) -> None:
        try:
            if step is None and claim is None:
                await self._openings.submit(run.opening)
            else:
                await records.insert_with(self._db, run.opening, step, claim)
        except BaseException:
            self._running.pop(run.key, None)
            raise

    async def _end_unsent(self, run: Run, committing: asyncio.Task[None]) -> None:
        await asyncio.wait([committing])
        if committing.exception() is None and run.end_once():
            await self._end(run, Status.CANCELLED, None, None, None)

    async def end(
        self,
        run: Run,
        status: Status,
        *,
        error_code: str | None = None,
        answer: bytes | None = None,
        turn: bytes | None = None,
    ) -> None:
        """Commit the end, with what is owed for it. `answer` and `turn` are not sealed yet.

        Goes on to its end when the caller goes away. Raises ServiceUnavailable when the record was ended by somebody else, or the
        database stays away: then the answer must not look complete.
        """
        if run.end_once():
            await asyncio.shield(self._in_background(self._end(run, status, error_code, answer, turn)))

    def end_later(self, run: Run, status: Status, *, error_code: str | None = None) -> None:
        """As `end`, for callers that are being torn down."""
        if run.end_once():
            self._in_background(self._end(run, status, error_code, None, None, partial=True))

    async def drained(self) -> None:
        """Return when no ending is under way."""
        while self._background:
            await asyncio.wait(set(self._background))

    async def checkpoint(self) -> None:
        """Every second, until cancelled: what runs so far used goes into its record, and its reservation is renewed."""
        while True:
            await asyncio.sleep(_CHECKPOINT_EVERY)
            await self._confirm()
            before = time.perf_counter() - _CHECKPOINT_EVERY
            lasting = [run for run in self._running.values() if run.started < before]
            if not lasting:
                continue
            try:
                await self._metering.renew([run.key for run in lasting])
            except Exception as error:
                log.warning("reservations were not renewed", count=len(lasting), exc_info=error)
            try:
                begun = [run for run in lasting if run.answer.started]
                if begun:
                    await records.checkpoint(self._db, [await self._snapshot(run) for run in begun])
            except (*database.UNAVAILABLE, PoolTimeout) as error:
                log.warning("usage was not checkpointed", count=len(lasting), exc_info=error)

    async def _confirm(self) -> None:
        """Try again what the database did not take while its callers waited: it happened, and is paid for."""
        for key, ending in list(self._unconfirmed.items()):
            try:
                await self._endings.submit(ending)
            except database.UNAVAILABLE:
                return
            del self._unconfirmed[key]
            self._relay.wake()

    async def _snapshot(self, run: Run) -> tuple[OrgId, str, str, Usage, str | None, bytes | None]:
        run.answer.settle_count()
        usage = run.answer.usage
        sealed = await self._sealed(run, run.answer.partial()) if run.opening.request is not None else None
        return (*run.key, self.owner_id, usage, run.answer.provider_message_id, sealed)

    async def _sealed(self, run: Run, answer: bytes | None) -> bytes | None:
        if answer is None or run.opening.request is None:
            return None
        org_id, request_id = run.key
        return await self._sealer.seal(org_id, table="records", row=f"{request_id}/answer", plaintext=answer)

    async def _end(
        self,
        run: Run,
        status: Status,
        error_code: str | None,
        answer: bytes | None,
        turn: bytes | None,
        *,
        partial: bool = False,
    ) -> None:
        try:
            if status is not Status.COMPLETED or partial:
                answer = run.answer.partial() if run.answer.started else None
            ending, owed = await self._ending(run, status, error_code, answer, turn)
            try:
                confirmed = await self._commit(ending, owed)
            except ServiceUnavailable:
                self._unconfirmed[run.key] = ending, owed
                raise
            if not confirmed:
                raise ServiceUnavailable
        finally:
            self._running.pop(run.key, None)
            run.saved.close()
        self._relay.wake()

    async def _ending(
        self, run: Run, status: Status, error_code: str | None, answer: bytes | None, turn: bytes | None
    ) -> tuple[Ending, Owes]:
        opening, now = run.opening, self._clock.now()
        run.answer.settle_count()
        usage = run.answer.usage
        undelivered = not run.answer.started and (status is Status.FAILED or run.upstream_started is None)
        if not run.answer.started and not undelivered:
            usage = Usage(input_tokens=opening.input_bound, basis=Basis.UNKNOWN)
        event = audit_event(
            self._clock, opening, status, usage, error_code=error_code, restored_count=run.restored_count
        )
        owed = (
            settlement(opening, usage, occurred_at=now, undelivered=undelivered),
            Owed(event.id, opening.org_id, "compliance.audit", event.SerializeToString()),
        )
        sealed_turn = None
        if turn is not None and opening.conversation_id is not None:
            sealed_turn = await self._sealer.seal(
                opening.org_id,
                table="conversation_turns",
                row=f"{opening.conversation_id}/{opening.request_id}",
                plaintext=turn,
            )
        finished = time.perf_counter()
        return Ending(
            org_id=opening.org_id,
            request_id=opening.request_id,
            owner_id=self.owner_id,
            status=status,
            usage=Usage() if undelivered else usage,
            restored_count=run.restored_count,
            answer=await self._sealed(run, answer),
            provider_message_id=run.answer.provider_message_id,
            stop_reason=run.answer.stop_reason,
            error_code=error_code,
            audit_id=event.id,
            upstream_ms=_milliseconds(run.upstream_started, run.upstream_ended or finished),
            total_ms=_milliseconds(run.started, finished),
            completed_at=now,
            conversation_id=opening.conversation_id if sealed_turn else None,
            turn=sealed_turn,
        ), owed

    async def _commit(self, ending: Ending, owed: Owes) -> bool:
        """The batch's answer; waits for a database that is away, because the answer is paid for already."""
        for attempt in range(_COMMIT_TRIES):
            try:
                return await self._endings.submit((ending, owed))
            except database.UNAVAILABLE as error:
                log.warning("an ending was not committed yet", request_id=f"req_{ending.request_id}", exc_info=error)
            await asyncio.sleep(min(0.1 * 2**attempt, 1.0))
        raise ServiceUnavailable

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a run was not ended", exc_info=error)


def _milliseconds(start: float | None, end: float) -> float | None:
    return None if start is None else round((end - start) * 1000, 2)
