"""The transactional outbox: what a service owes a sibling is written with the effect and delivered afterwards, at least once.

    effect's transaction ──enqueue──> row ──claim (a lease, committed)──> deliver ──> delete

A relay that dies at any point leaves a row whose lease runs out; the next replica delivers it again. Receivers are idempotent by the message's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

import grpc
import grpc.aio
import psycopg
import sqlalchemy
import structlog
from google.protobuf.message import Message
from psycopg.rows import class_row
from psycopg_pool import PoolTimeout

from services.chassis.access import OrgId
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import ServiceUnavailable

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Owed:
    """A message that is about to be written. Its id is what the receiver knows it by; telling one twice is telling it once."""

    message_id: str
    org_id: OrgId
    topic: str
    payload: bytes
    after: datetime | None = None
    """Not delivered before; None: at once."""


OWED: LiteralString = (
    "unnest(%(owed_org_id)b::text[], %(owed_topic)b::text[], %(owed_id)b::text[], %(owed_payload)b::bytea[], %(owed_after)s::timestamptz[])"
    " AS owed (org_id, topic, id, payload, due_at)"
)
"""The messages of `owed_parameters` as a table, for hand-written statements that have to join it."""

INSERT_OWED: LiteralString = (
    "INSERT INTO outbox (org_id, topic, id, payload, due_at)"  # noqa: S608 - made of this module's constants
    " SELECT org_id, topic, id, payload, coalesce(due_at, '-infinity') FROM " + OWED + " ON CONFLICT DO NOTHING"
)
"""Writes the messages of `owed_parameters`: a statement by itself, or a CTE beside the caller's own writes."""


def owed_parameters(messages: Iterable[Owed]) -> dict[str, object]:
    """The named parameters of `OWED` and `INSERT_OWED`."""
    messages = list(messages)
    return {
        "owed_org_id": [message.org_id for message in messages],
        "owed_topic": [message.topic for message in messages],
        "owed_id": [message.message_id for message in messages],
        "owed_payload": [message.payload for message in messages],
        "owed_after": [message.after for message in messages],
    }


async def enqueue(
    tx: Tx, *, message_id: str, org_id: OrgId, topic: str, message: Message, after: datetime | None = None
) -> None:
    """Owe `message` to the destination of `topic`, if and only if `tx` commits. Wake the relay afterwards, or it is found within 100 ms."""
    await tx.execute(_ENQUEUE, _row(Owed(message_id, org_id, topic, message.SerializeToString(), after)))


async def enqueue_all(tx: Tx, messages: Sequence[Owed]) -> None:
    """As enqueue, any number of messages without waiting for each."""
    if messages:
        await tx.execute(_ENQUEUE, [_row(message) for message in messages])


def _row(message: Owed) -> dict[str, object]:
    return {
        "org_id": message.org_id,
        "topic": message.topic,
        "id": message.message_id,
        "payload": message.payload,
        "due_at": message.after,
    }


_ENQUEUE = sqlalchemy.text(
    "INSERT INTO outbox (org_id, topic, id, payload, due_at)"
    " VALUES (:org_id, :topic, :id, :payload, coalesce(CAST(:due_at AS timestamptz), '-infinity')) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A claimed message."""

    id: str
    org_id: OrgId
    topic: str
    payload: bytes
    attempts: int
    """Claims so far, this one included; it also fences: a later claim has another number."""


Deliver = Callable[[Sequence[OutboxRow]], Awaitable[Collection[str]]]
"""Tells a destination and returns the ids it took; the others are tried again later.

ServiceUnavailable, a transient gRPC status, TimeoutError and OSError say that the destination does not answer. Any other
exception says that the batch holds something it refuses: the batch is halved until the row is found.
"""


class Relay:
    """Delivers the rows of its topics. Any number of replicas share the work; topics do not wait for each other.

    `lease` is how long a claim holds, thus how late a row can be after a relay was killed. A delivery may take half of it.
    `gather` is how long a topic rests after a batch that was not full: a busy service then makes few large batches of many small ones.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        deliver: Mapping[str, Deliver],
        *,
        max_batch: int = 500,
        lease: timedelta = timedelta(seconds=10),
        poll: timedelta = timedelta(milliseconds=100),
        gather: timedelta = timedelta(0),
    ) -> None:
        self._db = db
        self._clock = clock
        self._deliver = deliver
        self._max_batch = max_batch
        self._lease = lease
        self._poll = poll.total_seconds()
        self._gather = gather.total_seconds()
        self._news = {topic: asyncio.Event() for topic in deliver}

    def wake(self) -> None:
        """Look now. Called after a transaction that enqueued has committed."""
        for news in self._news.values():
            news.set()

    async def run(self) -> None:
        """Deliver until cancelled. The database's failures are waited out."""
        async with asyncio.TaskGroup() as group:
            for topic in self._deliver:
                group.create_task(self._serve(topic))
            group.create_task(self._tell_age())

    async def _serve(self, topic: str) -> None:
        limit, pause = self._max_batch, 0.0
        news = self._news[topic]
        while True:
            news.clear()
            try:
                rows = await self._claim(topic, limit)
                if not rows:
                    await _wait(news, self._poll)
                    continue
                outcome = await self._attempt(topic, rows)
                await self._finish(topic, rows, outcome)
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("outbox database failed", topic=topic, exc_info=error)
                await asyncio.sleep(1)
                continue
            if outcome.unreachable:
                # Smaller batches find a row whose very delivery hangs or kills the receiver; it then backs off alone.
                limit, pause = max(1, limit // 4), min(2.0, pause * 2 or 0.05)
                await asyncio.sleep(pause)
            else:
                limit, pause = min(self._max_batch, limit * 4), 0.0
                if len(rows) < self._max_batch:
                    await asyncio.sleep(self._gather)

    async def _attempt(self, topic: str, rows: Sequence[OutboxRow]) -> _Outcome:
        try:
            async with asyncio.timeout(self._lease.total_seconds() / 2):
                return _Outcome(taken=frozenset(await self._deliver[topic](rows)))
        except Exception as error:  # judged here: the relay outlives what a destination or a row can do
            if _unreachable(error):
                log.warning("outbox destination does not answer", topic=topic, count=len(rows), exc_info=error)
                return _Outcome(unreachable=True)
            if len(rows) == 1:
                log.error(
                    "outbox message refused",
                    topic=topic,
                    org_id=rows[0].org_id,
                    attempt=rows[0].attempts,
                    exc_info=error,
                )
                return _Outcome()
        middle = len(rows) // 2
        first = await self._attempt(topic, rows[:middle])
        if first.unreachable:
            return first
        second = await self._attempt(topic, rows[middle:])
        return _Outcome(taken=first.taken | second.taken, unreachable=second.unreachable)

    async def _claim(self, topic: str, limit: int) -> list[OutboxRow]:
        now = self._clock.now()
        parameters = {"topic": topic, "limit": limit, "now": now, "until": now + self._lease}
        async with self._db.hot.connection() as connection:
            # Mostly nothing is due, and a look is cheaper than a transaction.
            if await (await connection.execute(_DUE, parameters)).fetchone() is None:
                return []
            async with connection.transaction():
                await connection.execute(_LAZY)
                cursor = connection.cursor(row_factory=class_row(OutboxRow))
                await cursor.execute(_CLAIM, parameters)
                return sorted(await cursor.fetchall(), key=lambda row: row.id)

    async def _finish(self, topic: str, rows: Sequence[OutboxRow], outcome: _Outcome) -> None:
        now = self._clock.now()
        taken = [row for row in rows if row.id in outcome.taken]
        left = [row for row in rows if row.id not in outcome.taken]
        # Nothing is known about the rows of a batch that got no answer: they stay first in line. One alone is its own suspect.
        unknown = outcome.unreachable and len(rows) > 1
        due = [None if unknown else now + _backoff(row.attempts) for row in left]
        async with self._db.hot.connection() as connection, connection.transaction():
            await connection.execute(_LAZY)
            if taken:
                await connection.execute(
                    _DELETE,
                    {"topic": topic, "org_ids": [row.org_id for row in taken], "ids": [row.id for row in taken]},
                )
            if left:
                await connection.execute(
                    _RELEASE,
                    {
                        "topic": topic,
                        "org_ids": [row.org_id for row in left],
                        "ids": [row.id for row in left],
                        "attempts": [row.attempts for row in left],
                        "due": due,
                    },
                )

    async def _tell_age(self) -> None:
        while True:
            await asyncio.sleep(30)
            try:
                async with self._db.hot.connection() as connection:
                    cursor = await connection.execute(_AGE, (list(self._deliver),))
                    late = await cursor.fetchall()
            except (psycopg.Error, PoolTimeout):
                continue  # said by the topics' own loops
            for topic, seconds, count in late:
                log.warning("outbox is late", topic=topic, seconds=round(seconds), count=count)


@dataclass(frozen=True, slots=True)
class _Outcome:
    taken: frozenset[str] = frozenset()
    unreachable: bool = False


def _unreachable(error: Exception) -> bool:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _TRANSIENT
    return isinstance(error, (ServiceUnavailable, TimeoutError, OSError))


def _backoff(attempts: int) -> timedelta:
    """0.2 s after the first try, doubling, at most five minutes."""
    return timedelta(seconds=min(300.0, 0.1 * 2 ** min(attempts, 20)))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


_Code = grpc.StatusCode
_TRANSIENT = (_Code.UNAVAILABLE, _Code.DEADLINE_EXCEEDED, _Code.RESOURCE_EXHAUSTED, _Code.CANCELLED)

# A crash of PostgreSQL may undo a claim or a delete: then the message is delivered again. So these commits need not wait for the disk.
_LAZY: LiteralString = "SET LOCAL synchronous_commit = off"

_DUE: LiteralString = "SELECT 1 FROM outbox WHERE topic = %(topic)s AND due_at <= %(now)s LIMIT 1"

# Materialized: as a plain subquery the inner side of a nested loop, it would be run again for each row and pass its own limit.
_CLAIM: LiteralString = """
WITH due AS MATERIALIZED (
    SELECT org_id, id FROM outbox WHERE topic = %(topic)s AND due_at <= %(now)s
    ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE outbox SET due_at = %(until)s, attempts = attempts + 1
FROM due WHERE outbox.topic = %(topic)s AND outbox.org_id = due.org_id AND outbox.id = due.id
RETURNING outbox.id, outbox.org_id, outbox.topic, outbox.payload, outbox.attempts
"""

_DELETE: LiteralString = """
DELETE FROM outbox USING unnest(%(org_ids)s::text[], %(ids)s::text[]) AS taken (org_id, id)
WHERE outbox.topic = %(topic)s AND outbox.org_id = taken.org_id AND outbox.id = taken.id
"""

_RELEASE: LiteralString = """
UPDATE outbox SET due_at = coalesce(released.due, '-infinity')
FROM unnest(%(org_ids)s::text[], %(ids)s::text[], %(attempts)s::integer[], %(due)s::timestamptz[]) AS released (org_id, id, attempts, due)
WHERE outbox.topic = %(topic)s AND outbox.org_id = released.org_id AND outbox.id = released.id AND outbox.attempts = released.attempts
"""

_AGE: LiteralString = """
SELECT topic, extract(epoch FROM now() - min(created_at))::float8, count(*) FROM outbox
WHERE topic = ANY(%s) AND (due_at = '-infinity' OR attempts > 0)
GROUP BY topic HAVING now() - min(created_at) > interval '60 seconds'
"""
