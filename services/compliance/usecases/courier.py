"""One turn of a lane: makes an endpoint's due deliveries in order, and writes what became of each before it makes the next."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database
from services.chassis.sealing import SealBroken, Sealer
from services.compliance.domain import deliveries, signatures
from services.compliance.domain.deliveries import Answer, Outcome
from services.compliance.store import dispatching as store
from services.compliance.store.dispatching import Delivery, Lane

log = structlog.get_logger()

_TURN = 50
_TURN_TIME = 5.0
"""Deliveries, and seconds, after which a lane is let go: lanes take turns where there are more of them than places."""
_AGAIN, _INSIST = 0.5, 30.0
"""Seconds between two tries to write what became of a delivery, and after which that is given up."""


class Send(Protocol):
    """Posts once. An answer whatever happens."""

    async def __call__(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Answer: ...


@dataclass(slots=True, eq=False)
class Turn:
    """A claimed lane whose deliveries are being made."""

    lane: Lane
    leased_until: datetime
    """Nothing is sent afterwards. Whoever claimed the lane moves it on."""
    silent: int
    """Tries in a row that had no answer."""


class Courier:
    def __init__(self, db: Database, clock: Clock, sealer: Sealer, trail: Trail, send: Send) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._trail = trail
        self._send = send

    async def take(self, turn: Turn, stopping: asyncio.Event) -> None:
        """Make what is due, for a while, and let go of the lane."""
        try:
            rests_until = await self._deliver_due(turn, stopping)
        except asyncio.CancelledError:
            # What is on its way is made again by whoever claims the lane next.
            await self._release(turn, None)
            raise
        await self._release(turn, rests_until)

    async def _release(self, turn: Turn, rests_until: datetime | None) -> None:
        async with self._db.hot.connection() as connection:
            await store.release(
                connection, turn.lane, now=self._clock.now(), silent=turn.silent, rests_until=rests_until
            )

    async def _deliver_due(self, turn: Turn, stopping: asyncio.Event) -> datetime | None:
        """Until when the endpoint is left alone, where it does not answer."""
        began = time.monotonic()
        async with self._db.hot.connection() as connection:
            due = await store.due(connection, turn.lane, now=self._clock.now(), limit=_TURN)
        for delivery_id in due:
            over = stopping.is_set() or time.monotonic() - began > _TURN_TIME
            if over or turn.leased_until <= self._clock.now():
                return None
            answer = await self._deliver(turn, delivery_id)
            rest = deliveries.rest(turn.silent) if answer is not None else None
            if rest is not None:
                return self._clock.now() + rest
        return None

    async def _deliver(self, turn: Turn, delivery_id: str) -> Answer | None:
        """None where nothing was sent."""
        started = self._clock.now()
        async with self._db.hot.connection() as connection:
            delivery = await store.find(connection, turn.lane, delivery_id, now=started)
        if delivery is None:
            return None
        if not delivery.is_active and not delivery.is_test:
            await self._bury(turn.lane)
            return None
        try:
            body, headers = await self._prepare(turn.lane, delivery, started)
        except SealBroken as error:
            log.error("webhook cannot be opened", org_id=turn.lane.org_id, name=turn.lane.endpoint_id, exc_info=error)
            await self._give_up(turn.lane, delivery)
            return None
        answer = await self._send(delivery.url, headers, body)
        outcome = deliveries.after(
            answer,
            attempts=delivery.attempts,
            first_attempt_at=delivery.first_attempt_at,
            started=started,
            ended=self._clock.now(),
        )
        turn.silent = turn.silent + 1 if answer.status is None else 0
        if not answer.taken:
            _tell(turn.lane, answer, outcome)
        await self._record(turn, delivery, answer, outcome)
        return answer

    async def _prepare(self, lane: Lane, delivery: Delivery, now: datetime) -> tuple[bytes, Sequence[tuple[str, str]]]:
        """Body and headers. Raises SealBroken."""
        body = await self._sealer.open(
            lane.org_id, table="webhook_events", row=delivery.event_id, sealed=delivery.sealed
        )
        secrets = [
            await self._sealer.open(
                lane.org_id, table="webhook_secrets", row=f"{lane.endpoint_id}/{secret_id}", sealed=sealed
            )
            for secret_id, sealed in zip(delivery.secret_ids, delivery.sealed_secrets, strict=True)
        ]
        if not secrets:
            raise SealBroken("the endpoint has no secret")
        return body, signatures.headers(delivery.id, body, [secret.decode() for secret in secrets], now)

    async def _bury(self, lane: Lane) -> None:
        """What was added while the endpoint was being disabled."""
        async with self._db.transaction(lane.org_id) as tx:
            await store.bury(tx, lane, self._clock.now())

    async def _give_up(self, lane: Lane, delivery: Delivery) -> None:
        outcome = deliveries.undeliverable(
            attempts=delivery.attempts,
            last_status=delivery.last_status,
            first_attempt_at=delivery.first_attempt_at,
            now=self._clock.now(),
        )
        async with self._db.transaction(lane.org_id) as tx:
            await store.record_in(tx, lane, delivery.id, outcome)

    async def _record(self, turn: Turn, delivery: Delivery, answer: Answer, outcome: Outcome) -> None:
        if answer.taken and not delivery.is_active:
            await self._insist(lambda: self._enable(turn.lane, delivery, outcome))
            return
        failed_at = None if answer.taken else self._clock.now()
        if (
            failed_at is not None
            and delivery.is_active
            and deliveries.fails_too_long(delivery.failing_since, failed_at)
        ):
            await self._insist(lambda: self._disable(turn.lane, delivery, outcome))
            return

        async def write() -> None:
            async with self._db.hot.connection() as connection:
                await store.record(connection, turn.lane, delivery.id, outcome, failed_at=failed_at)

        await self._insist(write)

    async def _insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """The database's failures are waited out: what is not recorded is sent again. Nobody else's record is overwritten, however late."""
        began = time.monotonic()
        while True:
            try:
                return await write()
            except UNAVAILABLE:
                if time.monotonic() - began > _INSIST:
                    raise
                await asyncio.sleep(_AGAIN)

    async def _disable(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
        async with self._db.transaction(lane.org_id) as tx:
            if await store.record_in(tx, lane, delivery.id, outcome) and await store.disable(tx, lane):
                await self._trail.record(
                    tx,
                    org_id=lane.org_id,
                    action="webhook.disabled",
                    entity_type="webhook",
                    entity_id=lane.endpoint_id,
                    metadata={"dead_deliveries": await store.bury(tx, lane, self._clock.now())},
                )

    async def _enable(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
        async with self._db.transaction(lane.org_id) as tx:
            if await store.record_in(tx, lane, delivery.id, outcome) and await store.enable(tx, lane):
                await self._trail.record(
                    tx, org_id=lane.org_id, action="webhook.enabled", entity_type="webhook", entity_id=lane.endpoint_id
                )


def _tell(lane: Lane, answer: Answer, outcome: Outcome) -> None:
    """The endpoint's id alone: what follows the host in its URL may be a secret."""
    log.info(
        "webhook was not delivered",
        org_id=lane.org_id,
        name=lane.endpoint_id,
        attempt=outcome.attempts,
        state=outcome.status,
        upstream_status=answer.status,
        reason=answer.failure,
    )
