"""The watcher's end of the watch: the stream to one owner of facts, with its lease. `watch.py` has the argument why it is safe."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable

import grpc
import grpc.aio
import structlog
from hasp.watch.v1 import watch_service_pb2 as pb
from hasp.watch.v1.watch_service_pb2_grpc import WatchServiceStub

from services.chassis.clock import SystemClock
from services.chassis.ulids import new_ulid

LEASE = 1.0
"""Seconds from sending the ping."""
_PING_EVERY = 0.25
_SILENCE_LIMIT = 1.5
# For the first word of a new stream: the one replica of several that says nothing is soon given up for the next.
_FIRST_WORD = 0.5
_RETRY = (0.05, 1.0)  # first pause and longest, in seconds
_FAREWELL = 2**63 - 1
"""Applied: every change there will ever be."""
_FAREWELL_SECONDS = 0.3
_RECENT = 4096
# Runs on while the process is stopped or its machine is suspended.
_CLOCK = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC

OnChange = Callable[[pb.Change], None]
OnFlush = Callable[[], None]

log = structlog.get_logger()


def lease_time() -> float:
    """Seconds, on the clock that leases are counted with."""
    return time.clock_gettime(_CLOCK)


class Watch:
    """The stream to one owner of facts. `name` is for the log.

    Callbacks are plain functions: a change is applied when all of them have returned, and only then acknowledged.
    """

    def __init__(self, channel: grpc.aio.Channel, *, name: str) -> None:
        self._stub = WatchServiceStub(channel)
        self._name = name
        self._watcher_id = new_ulid(SystemClock())
        self._changed: list[OnChange] = []
        self._flushed: list[OnFlush] = []
        self._ticked: list[OnFlush] = []
        self.applied_seq = -1
        self._floor = 0
        self._recent: deque[pb.Change] = deque(maxlen=_RECENT)
        self._lease_until = lease_time()
        self._promised: deque[tuple[int, float]] = deque()
        """(seq, end) of leases that count once `seq` is applied."""
        self._sent: dict[int, float] = {}
        self._heard = 0.0
        self._patience = _FIRST_WORD

    @property
    def live(self) -> bool:
        """Whether what was remembered may be used at this moment."""
        return lease_time() < self._lease_until

    @property
    def lost_for(self) -> float:
        """Seconds since the last lease ended, or since the start; 0 under a lease."""
        return max(0.0, lease_time() - self._lease_until)

    def on_change(self, callback: OnChange) -> None:
        self._changed.append(callback)

    def on_flush(self, callback: OnFlush) -> None:
        """Called when everything kept must be dropped."""
        self._flushed.append(callback)

    def on_tick(self, callback: OnFlush) -> None:
        """Called about four times a second, with or without a lease."""
        self._ticked.append(callback)

    def is_stale(self, seq: int, org_id: str, subject_ids: frozenset[str]) -> bool:
        """Whether a change later than `seq`, or one too long ago to tell, concerns the organization or one of the subjects."""
        if seq >= self.applied_seq:
            return False
        if seq < self._floor:
            return True
        for change in reversed(self._recent):
            if change.seq <= seq:
                return False
            if concerns(change, org_id, subject_ids):
                return True
        return False

    async def run(self) -> None:
        """Keep the stream up until cancelled, and then say farewell: nothing is remembered any more, so that nobody need wait for this watcher."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            tasks.create_task(self._stay_connected())

    async def _tick(self) -> None:
        while True:
            for callback in self._ticked:
                callback()
            await asyncio.sleep(_PING_EVERY)

    async def _stay_connected(self) -> None:
        pause, patience = _RETRY[0], _FIRST_WORD
        while True:
            began = self._heard = lease_time()
            try:
                await self._follow(patience)
                why = "ended"
            except grpc.aio.AioRpcError as failure:
                why = failure.code().name
            log.info("watch interrupted", name=self._name, reason=why)
            patience = _FIRST_WORD if self._heard > began else min(patience * 1.5, _SILENCE_LIMIT)
            pause = _RETRY[0] if lease_time() - began > LEASE else min(pause * 2, _RETRY[1])
            await asyncio.sleep(pause)

    async def _follow(self, patience: float) -> None:
        outgoing: asyncio.Queue[pb.WatchRequest | None] = asyncio.Queue()
        outgoing.put_nowait(pb.WatchRequest(start=pb.WatchRequest.Start(watcher_id=self._watcher_id)))
        self._sent.clear()
        self._patience = patience
        responses = self._stub.Watch(_drain(outgoing))
        reading = asyncio.create_task(self._read(responses, outgoing))
        pinging = asyncio.create_task(self._ping_until_silence(outgoing))
        try:
            await asyncio.wait([reading, pinging], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                await reading
        except asyncio.CancelledError:
            pinging.cancel()
            # Before it is said: from here on there is no lease, and whoever runs this watch again is another watcher.
            self._forget()
            outgoing.put_nowait(pb.WatchRequest(applied_seq=_FAREWELL))
            outgoing.put_nowait(None)
            await asyncio.wait([reading], timeout=_FAREWELL_SECONDS)
            raise
        finally:
            reading.cancel()
            pinging.cancel()
            responses.cancel()
            outgoing.put_nowait(None)
            await asyncio.gather(reading, pinging, return_exceptions=True)

    async def _read(
        self, responses: AsyncIterable[pb.WatchResponse], outgoing: asyncio.Queue[pb.WatchRequest | None]
    ) -> None:
        async for response in responses:
            self._heard, self._patience = lease_time(), _SILENCE_LIMIT
            if response.HasField("pong"):
                self._take_pong(response.pong)
                continue
            if response.HasField("hello"):
                self._flush(response.hello.seq)
            for change in response.changes.changes:
                if change.seq != self.applied_seq + 1:
                    log.warning("changes are missing", name=self._name, seq=change.seq)
                    return
                self._apply(change)
            outgoing.put_nowait(pb.WatchRequest(applied_seq=self.applied_seq))

    async def _ping_until_silence(self, outgoing: asyncio.Queue[pb.WatchRequest | None]) -> None:
        nonce = 0
        while lease_time() - self._heard < self._patience:
            nonce += 1
            now = self._sent[nonce] = lease_time()
            while now - next(iter(self._sent.values())) > LEASE:
                del self._sent[next(iter(self._sent))]
            outgoing.put_nowait(pb.WatchRequest(ping=pb.WatchRequest.Ping(nonce=nonce)))
            await asyncio.sleep(_PING_EVERY)

    def _take_pong(self, pong: pb.WatchResponse.Pong) -> None:
        sent = self._sent.pop(pong.nonce, None)
        if sent is not None:
            self._promised.append((pong.seq, sent + LEASE))
            self._count_leases()

    def _count_leases(self) -> None:
        while self._promised and self._promised[0][0] <= self.applied_seq:
            self._lease_until = max(self._lease_until, self._promised.popleft()[1])

    def _apply(self, change: pb.Change) -> None:
        for callback in self._changed:
            callback(change)
        self._recent.append(change)
        if len(self._recent) == _RECENT:
            self._floor = self._recent[0].seq
        self.applied_seq = change.seq
        self._count_leases()

    def _forget(self) -> None:
        self._sent.clear()
        self._flush(self.applied_seq)
        self._lease_until = min(self._lease_until, lease_time())
        self._watcher_id = new_ulid(SystemClock())

    def _flush(self, seq: int) -> None:
        for callback in self._flushed:
            callback()
        self._recent.clear()
        self._promised.clear()
        self.applied_seq = self._floor = seq


async def _drain(queue: asyncio.Queue[pb.WatchRequest | None]) -> AsyncIterator[pb.WatchRequest]:
    # Ends by None: gRPC leaves its reader of requests waiting for ever when the owner has ended the stream.
    while (request := await queue.get()) is not None:
        yield request


def concerns(change: pb.Change, org_id: str, subject_ids: frozenset[str]) -> bool:
    return change.org_id == org_id and (not change.subject_id or change.subject_id in subject_ids)
