"""The owner's side of the watch: changes are numbered, pushed to every watcher, and waited for.

**What holds: once `await_watchers(seq)` has returned, no watcher uses its memory without having applied change `seq`.**

1. A pong is sent after the statement that wrote `lease_until` has committed. That statement holds `watch_state`'s row FOR
   SHARE and returns its `seq`; publishing raises `seq` under the same row's exclusive lock, held until the publisher
   commits. So of a lease and a publication one commits first:
   - the lease: `await_watchers`, which begins after the publication's commit, sees the lease's row and waits for its
     acknowledgement or its end;
   - the publication: the pong carries its `seq`, and the watcher counts the lease only once it has applied that.
2. The watcher counts one second from *sending* the ping, on a clock that runs on while its process or its machine is
   stopped. The ping was sent before the lease's commit, so one second after a publication every lease that knew nothing
   of it has ended, whoever held it: waiting never takes longer.
3. Without the database no lease is written and no pong is given; the leases end, and the watchers ask or refuse.
4. A watcher that ends says so: it has dropped its memory, counts no lease any more and is never the same watcher again, and
   tells that it has applied all changes there will ever be. The loss of a connection says nothing of the kind.

All replicas of the owner share the tables. A watcher's acknowledgements are written by whichever replica serves it. `seq`
has no gaps and commits in order (the row's lock), so "everything after the last one I saw" is complete. A notification
starts the push; a poll behind it covers a lost one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import grpc.aio
import psycopg
import structlog
from hasp.watch.v1 import watch_service_pb2 as pb
from hasp.watch.v1.watch_service_pb2_grpc import WatchServiceServicer

from services.chassis import watch_store as store
from services.chassis.access import OrgId, call
from services.chassis.batching import Batcher
from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database, Tx
from services.chassis.errors import ServiceUnavailable, ValidationFailed
from services.chassis.ulids import is_ulid
from services.chassis.watch_applied import Applied

LEASE = 1.0
"""Seconds that a watcher may use its memory, from sending the ping."""
_LEASE_HERE = LEASE * 1.02  # the same second on a clock that runs two per cent fast
_POLL = 0.25
_PRUNE_EVERY = 60.0
# A watcher ends what runs five seconds after its lease: nobody has use for a longer past.
_KEEP_CHANGES = timedelta(minutes=10)
_KEEP_WATCHERS = 60.0
_QUEUE_LIMIT = 1000

log = structlog.get_logger()


@dataclass(eq=False)
class Stream:
    """One watcher's stream on this replica."""

    watcher_id: str
    workload: str
    outgoing: asyncio.Queue[pb.WatchResponse | BaseException | None] = field(default_factory=asyncio.Queue)
    """None ends the stream well."""
    applied_seq: int = 0
    ping: int | None = None
    """The newest one not yet answered."""
    pinged: asyncio.Event = field(default_factory=asyncio.Event)

    def break_off(self) -> None:
        while not self.outgoing.empty():
            self.outgoing.get_nowait()
        self.outgoing.put_nowait(ServiceUnavailable())


class ChangeLog:
    """The numbered changes of the facts this service owns. While `run` does not run, nothing is pushed and no watcher gets a stream."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._streams: set[Stream] = set()
        self._position: int | None = None
        """Every stream has been given the changes up to here; None until it is known."""
        self._following = asyncio.Event()
        self._leases: Batcher[Stream, int] = Batcher(self._grant)
        self._applied = Applied(db)

    async def publish(self, tx: Tx, *, org_id: OrgId, subject_id: str = "", cancel: bool = False) -> int:
        """Number the change and tell every watcher once `tx` commits. The counter is locked until then: publish last.

        An empty `subject_id` means everything of the organization. Returns the change's seq, for `await_watchers`.
        """
        return await self.publish_all(tx, org_id=org_id, subjects=[(subject_id, cancel)])

    async def publish_all(self, tx: Tx, *, org_id: OrgId, subjects: Sequence[tuple[str, bool]]) -> int:
        """As publish, for one change or more (subject_id, cancel). Returns the last one's seq."""
        return await store.publish(tx, org_id=org_id, subjects=subjects, at=self._clock.now())

    async def await_watchers(self, seq: int) -> None:
        """Return once nobody can still act on what was true before `seq`; its transaction must have committed. Takes at most about a second.

        Never fails: where the database cannot be asked, the second is waited out.
        """
        try:
            async with asyncio.timeout(_LEASE_HERE):
                await self._applied.reached(seq)
        except TimeoutError:
            log.warning("a watcher was silent until its lease ended", seq=seq)

    async def await_all(self) -> None:
        """As await_watchers, for all that has been committed: who published it may have broken off without waiting."""
        async with self._db.hot.connection() as connection:
            seq = await store.current_seq(connection)
        await self.await_watchers(seq)

    async def run(self) -> None:
        """Push, acknowledge and prune until cancelled. A database that is away is waited for."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_again(self._follow))
            tasks.create_task(_again(self._applied.write))
            tasks.create_task(_again(self._prune))

    @contextmanager
    def subscribed(self, stream: Stream) -> Iterator[None]:
        """Changes are put into the stream's queue, from before this returns on."""
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    async def resume(self, watcher_id: str) -> tuple[int, list[pb.Change]]:
        """Where the watcher's stream begins, and what it has missed since.

        A watcher that is known goes on where it stopped, so that no cancellation passes it by; one that is not begins at the present.
        """
        await self._following.wait()
        async with self._db.hot.connection() as connection:
            seq, applied_seq, missed = await store.resume(connection, watcher_id)
        if applied_seq is None or applied_seq + len(missed) != seq:
            return seq, []
        return applied_seq, missed

    async def grant(self, stream: Stream) -> int:
        """Commit a lease. Returns the seq that the watcher must have applied for it to count."""
        seq = await self._leases.submit(stream)
        if self._position is not None and seq < self._position:
            # Another database stands behind the name, or an older state of it.
            self._position = None
            self._following.clear()
            self._break_off_all(why="the counter went back")
        return seq

    def acknowledge(self, stream: Stream, applied_seq: int) -> None:
        """Note that the watcher has applied everything up to `applied_seq`."""
        stream.applied_seq = max(stream.applied_seq, applied_seq)
        self._applied.note(stream.watcher_id, stream.applied_seq)

    async def _grant(self, streams: Sequence[Stream]) -> Sequence[int]:
        each = {stream.watcher_id: (stream.watcher_id, stream.workload, stream.applied_seq) for stream in streams}
        async with self._db.hot.connection() as connection:
            seq = await store.grant(connection, list(each.values()), _LEASE_HERE)
        return [seq] * len(streams)

    async def _follow(self) -> None:
        async with await self._db.connect() as connection:
            await connection.execute("LISTEN hasp_watch")
            while True:
                async with asyncio.timeout(2):  # a connection that was cut without a word
                    await self._push_new(connection)
                self._following.set()
                async for _ in connection.notifies(timeout=_POLL, stop_after=1):
                    pass

    async def _push_new(self, connection: psycopg.AsyncConnection) -> None:
        if self._position is None:
            self._position = await store.current_seq(connection)
        changes = await store.changes_after(connection, self._position)
        if not changes:
            return
        if changes[0].seq != self._position + 1:
            self._break_off_all(why="changes are missing")
        self._position = changes[-1].seq
        pushed = pb.WatchResponse(changes=pb.WatchResponse.Changes(changes=changes))
        for stream in self._streams:
            if stream.outgoing.qsize() < _QUEUE_LIMIT:
                stream.outgoing.put_nowait(pushed)
            else:
                stream.break_off()

    def end_streams(self) -> None:
        """This process stops: its watchers go on at another replica, instead of holding it for the whole drain."""
        for stream in self._streams:
            stream.outgoing.put_nowait(None)

    def _break_off_all(self, *, why: str) -> None:
        log.warning("every watcher must begin anew", reason=why, count=len(self._streams))
        for stream in self._streams:
            stream.break_off()
        self._streams.clear()

    async def _prune(self) -> None:
        while True:
            async with self._db.hot.connection() as connection:
                oldest = self._clock.now() - _KEEP_CHANGES
                await store.prune(connection, changes_before=oldest, watcher_seconds=_KEEP_WATCHERS)
            await asyncio.sleep(_PRUNE_EVERY)


class WatchServicer(WatchServiceServicer):
    """hasp.watch.v1.WatchService over one service's change log."""

    def __init__(self, changes: ChangeLog) -> None:
        self._changes = changes

    def end_streams(self) -> None:
        self._changes.end_streams()

    async def Watch(
        self, request_iterator: AsyncIterator[pb.WatchRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchResponse]:
        first = await anext(aiter(request_iterator), pb.WatchRequest())
        if not is_ulid(first.start.watcher_id):
            raise ValidationFailed("The first message names the watcher by a ULID.", param="start.watcher_id")
        stream = Stream(watcher_id=first.start.watcher_id, workload=call().workload or "")
        with self._changes.subscribed(stream):
            position, missed = await self._changes.resume(stream.watcher_id)
            yield pb.WatchResponse(hello=pb.WatchResponse.Hello(seq=position))
            if missed:
                yield pb.WatchResponse(changes=pb.WatchResponse.Changes(changes=missed))
                position = missed[-1].seq
            tasks = [
                asyncio.create_task(self._listen(request_iterator, stream)),
                asyncio.create_task(self._answer_pings(stream)),
            ]
            try:
                while (response := await stream.outgoing.get()) is not None:
                    if isinstance(response, BaseException):
                        raise response
                    # What was pushed between subscribing and reading where to begin is told already.
                    if not response.HasField("changes") or response.changes.changes[0].seq > position:
                        yield response
                    elif changes := [change for change in response.changes.changes if change.seq > position]:
                        yield pb.WatchResponse(changes=pb.WatchResponse.Changes(changes=changes))
            finally:
                for task in tasks:
                    task.cancel()

    async def _listen(self, requests: AsyncIterator[pb.WatchRequest], stream: Stream) -> None:
        try:
            async for request in requests:
                if request.HasField("ping"):
                    stream.ping = request.ping.nonce
                    stream.pinged.set()
                elif request.HasField("applied_seq"):
                    self._changes.acknowledge(stream, request.applied_seq)
            stream.outgoing.put_nowait(None)
        except Exception as failure:  # noqa: BLE001 - raised in the stream, whose boundary judges it
            stream.outgoing.put_nowait(failure)

    async def _answer_pings(self, stream: Stream) -> None:
        # Apart from the acknowledgements: a ping waits for publications, and these wait for acknowledgements.
        try:
            while True:
                await stream.pinged.wait()
                stream.pinged.clear()
                nonce = stream.ping
                seq = await self._changes.grant(stream)
                stream.outgoing.put_nowait(pb.WatchResponse(pong=pb.WatchResponse.Pong(nonce=nonce, seq=seq)))
        except Exception as failure:  # noqa: BLE001 - as above
            stream.outgoing.put_nowait(failure)


async def _again(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except (*UNAVAILABLE, TimeoutError) as failure:
            log.warning("the change log waits for its database", exc_info=failure)
            await asyncio.sleep(_POLL)
