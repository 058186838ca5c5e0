"""Facts of another service, kept in memory and used under the lease of its watch only. `watch.py` has the argument why that is safe.

Watch         the stream to the owner of the facts: lease, changes, beginnings
Remembered    values loaded from the owner, by key
RunningCalls  what runs in somebody's name, ended when the owner says so, or when nobody can tell any longer
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from hasp.watch.v1.watch_service_pb2 import Change

from services.chassis import access
from services.chassis.access import OrgId, Principal
from services.chassis.clock import Clock, SystemClock
from services.chassis.errors import ServiceUnavailable
from services.chassis.watch_stream import Watch, concerns, lease_time

__all__ = ["Loaded", "Remembered", "RunningCalls", "Watch"]

_LOADS = 4
# The promise is five seconds; a tick comes every quarter of one.
_RUN_WITHOUT_LEASE = 4.7
_KEPT_KILLS = 4096
_SYSTEM_CLOCK = SystemClock()

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[V]):
    """A value as of position `seq` of its owner's log.

    It is dropped on a change of the organization or of one of the subjects, and not used from `expires_at` on.
    """

    value: V
    seq: int
    org_id: str
    subject_ids: frozenset[str] = frozenset()
    expires_at: datetime | None = None


@dataclass(slots=True)
class _Load(Generic[V]):
    number: int
    task: asyncio.Task[Loaded[V]]


class Remembered(Generic[K, V]):
    """Values of another service, by key: from memory under a lease, else loaded for each call.

    `load` raises for what does not exist; such answers are not kept. It serves several callers, so it runs outside their contexts and brings its own
    deadline.
    """

    def __init__(
        self,
        watch: Watch,
        load: Callable[[K], Coroutine[Any, Any, Loaded[V]]],
        *,
        clock: Clock = _SYSTEM_CLOCK,
        max_entries: int = 100_000,
    ) -> None:
        self._clock = clock
        self._watch = watch
        self._load = load
        self._max_entries = max_entries
        self._kept: OrderedDict[K, Loaded[V]] = OrderedDict()
        self._keys_of: defaultdict[str, set[K]] = defaultdict(set)
        self._loads: dict[K, _Load[V]] = {}
        self._count = 0
        self._void = 0
        """Loads up to this one began before the watch began anew, perhaps at an earlier position: they may have missed what it has told already."""
        watch.on_change(self._drop_changed)
        watch.on_flush(self._drop_all)

    def peek(self, key: K) -> V | None:
        """What `get` would answer from memory at this moment, None when it would have to load."""
        kept = self._usable(key)
        return None if kept is None else kept.value

    def _usable(self, key: K) -> Loaded[V] | None:
        kept = self._kept.get(key)
        if kept is None or not self._watch.live:
            return None
        if kept.expires_at is not None and self._clock.now() >= kept.expires_at:
            return None
        self._kept.move_to_end(key)
        return kept

    async def get(self, key: K) -> V:
        """The value, as true as the owner's own answer. Nothing is awaited between the last look at the watch and the return.

        Raises what `load` raises, and ServiceUnavailable when the value changes faster than it can be loaded.
        """
        kept = self._usable(key)
        if kept is not None:
            return kept.value
        under_lease = self._watch.live
        arrived = self._count
        for _ in range(_LOADS):
            load = await self._join(key, arrived, under_lease=under_lease)
            loaded = load.task.result()
            if load.number > self._void and not self._watch.is_stale(loaded.seq, loaded.org_id, loaded.subject_ids):
                self._keep(key, loaded)
                return loaded.value
            arrived = self._count
        raise ServiceUnavailable

    async def _join(self, key: K, arrived: int, *, under_lease: bool) -> _Load[V]:
        """One load for all who ask. Without a lease only a load that began after the call arrived may answer it: an earlier one may have read what
        was revoked meanwhile, by a revocation that had no reason to wait for this process."""
        while True:
            running = self._loads.get(key)
            if running is None:
                running = self._start(key)
            if under_lease or running.number > arrived:
                await asyncio.shield(running.task)
                return running
            await asyncio.wait([running.task])

    def _start(self, key: K) -> _Load[V]:
        self._count += 1
        load = _Load(self._count, asyncio.create_task(self._load(key), context=Context()))
        self._loads[key] = load
        load.task.add_done_callback(lambda task: self._finish(key, load))
        return load

    def _finish(self, key: K, load: _Load[V]) -> None:
        if self._loads.get(key) is load:
            del self._loads[key]
        if not load.task.cancelled():
            load.task.exception()  # seen, also when everybody who asked has gone

    def _keep(self, key: K, loaded: Loaded[V]) -> None:
        self._drop(key)
        self._kept[key] = loaded
        for name in (loaded.org_id, *loaded.subject_ids):
            self._keys_of[name].add(key)
        while len(self._kept) > self._max_entries:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: K) -> None:
        loaded = self._kept.pop(key, None)
        if loaded is None:
            return
        for name in (loaded.org_id, *loaded.subject_ids):
            keys = self._keys_of[name]
            keys.discard(key)
            if not keys:
                del self._keys_of[name]

    def _drop_changed(self, change: Change) -> None:
        for key in list(self._keys_of.get(change.subject_id or change.org_id, ())):
            loaded = self._kept[key]
            if concerns(change, loaded.org_id, loaded.subject_ids):
                self._drop(key)

    def _drop_all(self) -> None:
        self._void = self._count
        self._kept.clear()
        self._keys_of.clear()


@dataclass(eq=False, slots=True)
class _Running:
    org_id: OrgId
    subject_ids: frozenset[str]
    since: float
    cancel: Callable[[str], None]


class RunningCalls:
    """What runs in somebody's name for longer than a moment. Ended by a change with `cancel`, and five seconds after the last lease."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._running: set[_Running] = set()
        self._kills: deque[tuple[float, Change]] = deque(maxlen=_KEPT_KILLS)
        """The newest last, each with time.monotonic() when it was applied."""
        watch.on_change(self._end_changed)
        watch.on_tick(self._end_unwatched)

    @contextmanager
    def register(self, principal: Principal, cancel: Callable[[str], None]) -> Iterator[None]:
        """`cancel` is called once, with `revoked` or `lease_lost`: at once where the principal was killed since the current call arrived."""
        subjects = {principal.id, *principal.delegation_path, *([principal.agent_id] if principal.agent_id else ())}
        running = _Running(principal.org_id, frozenset(subjects), lease_time(), cancel)
        self._running.add(running)
        if self._killed_meanwhile(running):
            self._end([running], "revoked")
        try:
            yield
        finally:
            self._running.discard(running)

    def _killed_meanwhile(self, run: _Running) -> bool:
        """Between the call's authentication and now it may have waited, for a gate or for its limits."""
        call = access.current.get(None)
        if call is None:
            return False
        for at, change in reversed(self._kills):
            if at < call.began:
                return False
            if concerns(change, run.org_id, run.subject_ids):
                return True
        return len(self._kills) == _KEPT_KILLS

    def _end_changed(self, change: Change) -> None:
        if change.cancel:
            self._kills.append((time.monotonic(), change))
            self._end([run for run in self._running if concerns(change, run.org_id, run.subject_ids)], "revoked")

    def _end_unwatched(self) -> None:
        if self._watch.lost_for > _RUN_WITHOUT_LEASE:
            oldest = lease_time() - _RUN_WITHOUT_LEASE
            self._end([run for run in self._running if run.since < oldest], "lease_lost")

    def _end(self, ended: list[_Running], why: str) -> None:
        for run in ended:
            self._running.discard(run)
            run.cancel(why)
