"""Presidio behind a pool of processes: deadlines, back-pressure, replacement, and a cache in front."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from services.inference.clients.presidio import anonymizing, frames
from services.inference.clients.presidio.cache import BlockCache
from services.inference.clients.presidio.jobs import cut_to_jobs
from services.inference.clients.presidio.line import Lane, Line
from services.inference.clients.presidio.processes import Nursery, Worker
from services.inference.clients.presidio.versions import MODEL_VERSION, Tier, policy
from services.inference.domain.phi.operators import Operators, Value
from services.inference.domain.phi.refusals import PhiGuardSaturated, PhiGuardUnavailable
from services.inference.domain.phi.spans import Span, merge

_log = logging.getLogger(__name__)
_RESTART_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`workers` 0 means one per core that this process may use."""

    workers: int = 0
    tier: Tier = Tier.STANDARD
    waiting_scans: int = 64  # scans that may be under way or waiting; the next one is refused
    waiting_texts: int = 32  # of them PhiService's: it leaves the others to requests to the model
    job_characters: int = 6_000  # blocks are cut and joined to jobs of about this size
    load_seconds: float = 60.0
    cached_blocks_per_org: int = 4_096
    cached_blocks: int = 100_000


class PresidioPool:
    """The `Detector`, `DocumentReader` and `Anonymizer` of the guard. Whatever goes wrong is PhiGuardUnavailable."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._size = settings.workers or len(os.sched_getaffinity(0))
        self._cache = BlockCache(
            f"{policy(settings.tier)} {MODEL_VERSION}",
            per_org=settings.cached_blocks_per_org,
            total=settings.cached_blocks,
        )
        self._line = Line()
        self._workers: set[Worker] = set()
        self._nursery: Nursery | None = None
        self._scans: Counter[Lane] = Counter()
        self._stopped = True
        self._background: set[asyncio.Task[Any]] = set()
        # When all workers die at once, one of those who notice loads the model again, not each.
        self._refilling = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether a scan can be done now."""
        return not self._stopped and any(not worker.gone for worker in self._workers)

    @property
    def policy(self) -> str:
        """The guard's version and tier."""
        return policy(self._settings.tier)

    @property
    def process_ids(self) -> list[int]:
        """The living workers."""
        return [worker.process_id for worker in self._workers]

    async def start(self) -> None:
        """Loads the model and starts the workers. Raises PhiGuardUnavailable when the model is not there."""
        self._stopped = False
        self._nursery = await Nursery.start(self._settings.load_seconds, self._settings.tier)
        for _ in range(self._size):
            await self._hire()

    async def stop(self) -> None:
        self._stopped = True
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        if self._nursery:
            self._nursery.kill()

    async def detect(
        self, blocks: Sequence[str], deadline: float, org_key: bytes, lane: Lane = Lane.MODEL
    ) -> list[list[Span]]:
        """See `Detector`."""
        keys = [self._cache.key(org_key, block) for block in blocks]
        found = {key: self._cache.get(org_key, key) for key in keys}
        fresh = {key: block for key, block in zip(keys, blocks, strict=True) if found[key] is None}
        for key, spans in (await self._scan(fresh, deadline, lane)).items():
            found[key] = tuple(spans)
            self._cache.put(org_key, key, tuple(spans))
        return [list(found[key] or ()) for key in keys]

    async def read_pdf(self, data: bytes, deadline: float) -> str | None:
        """See `DocumentReader`."""
        async with self._turn(Lane.MODEL):
            payload = frames.DEADLINE.pack(deadline) + data
            return orjson.loads(await self._run(frames.PDF, payload, deadline, Lane.MODEL))

    async def anonymize(
        self, values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float
    ) -> list[str]:
        """See `Anonymizer`."""
        masked: list[str] = []
        async with self._turn(Lane.TEXTS):
            for payload in anonymizing.jobs(values, operators, salt, self._settings.job_characters):
                masked += orjson.loads(await self._run(frames.ANONYMIZE, payload, deadline, Lane.TEXTS))
        return masked

    async def _scan(self, blocks: dict[bytes, str], deadline: float, lane: Lane) -> dict[bytes, list[Span]]:
        if not blocks:
            return {}
        found: dict[bytes, list[Span]] = {key: [] for key in blocks}
        jobs = cut_to_jobs(blocks, self._settings.job_characters)

        async def work() -> None:
            for job in jobs:
                answer = await self._run(frames.DETECT, _payload([piece.text for piece in job]), deadline, lane)
                for piece, spans in zip(job, orjson.loads(answer), strict=True):
                    found[piece.key] += piece.in_block(spans)

        # No request waits for more workers than there are: a long one must not shut out the short ones.
        async with self._turn(lane):
            tasks = [asyncio.ensure_future(work()) for _ in range(self._size)]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
        return {key: merge(spans) for key, spans in found.items()}

    @asynccontextmanager
    async def _turn(self, lane: Lane) -> AsyncIterator[None]:
        if self._stopped:
            raise PhiGuardUnavailable("the scanner is not running")
        full = self._scans.total() >= self._settings.waiting_scans
        if full or (lane is Lane.TEXTS and self._scans[lane] >= self._settings.waiting_texts):
            raise PhiGuardSaturated("too many scans are waiting")
        self._scans[lane] += 1
        try:
            yield
        finally:
            self._scans[lane] -= 1

    async def _run(self, kind: int, payload: bytes, deadline: float, lane: Lane) -> bytes:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                worker = await self._idle_worker(lane)
        except TimeoutError as error:
            raise PhiGuardUnavailable("no worker became free in time") from error
        # The worker finishes even when the caller has gone: its answer must be read before the next question.
        return await asyncio.shield(self._in_background(self._ask(worker, kind, payload, deadline)))

    async def _idle_worker(self, lane: Lane) -> Worker:
        while True:
            worker = await self._line.get(lane)
            if worker.gone:
                self._replace(worker)
            elif worker in self._workers:
                return worker

    async def _ask(self, worker: Worker, kind: int, payload: bytes, deadline: float) -> bytes:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                answer = await worker.ask(kind, payload)
        except PhiGuardUnavailable:
            self._line.put(worker)
            raise
        except (TimeoutError, OSError, EOFError) as error:
            self._replace(worker)
            reason = "a scan took too long" if isinstance(error, TimeoutError) else "a worker died"
            _log.warning("phi worker replaced: %s", reason)
            raise PhiGuardUnavailable(reason) from error
        except asyncio.CancelledError:
            self._dismiss(worker)
            raise
        self._line.put(worker)
        return answer

    def _dismiss(self, worker: Worker) -> None:
        self._workers.discard(worker)
        worker.kill()

    def _replace(self, worker: Worker) -> None:
        self._dismiss(worker)
        if not self._stopped:
            self._in_background(self._refill())

    async def _hire(self) -> None:
        if self._nursery is None:
            raise PhiGuardUnavailable("the scanner is not running")
        try:
            worker = await self._nursery.fork()
        except (OSError, EOFError) as error:
            raise PhiGuardUnavailable("the scanner's first process has died") from error
        self._workers.add(worker)
        self._line.put(worker)

    async def _refill(self) -> None:
        """Back to full strength; with a new first process when the old one has died."""
        async with self._refilling:
            while len(self._workers) < self._size and not self._stopped:
                try:
                    if self._nursery is None or not self._nursery.alive:
                        for worker in list(self._workers):
                            self._dismiss(worker)
                        if self._nursery:
                            self._nursery.kill()
                        self._nursery = await Nursery.start(self._settings.load_seconds, self._settings.tier)
                    await self._hire()
                except PhiGuardUnavailable:
                    _log.exception("phi workers could not be started")
                    await asyncio.sleep(_RESTART_SECONDS)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


class TextScanner:
    """The pool as PhiService may use it: with fewer places in the queue, and behind requests to the model."""

    def __init__(self, pool: PresidioPool) -> None:
        self._pool = pool
        self.anonymize = pool.anonymize

    async def detect(self, blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        """See `Detector`."""
        return await self._pool.detect(blocks, deadline, org_key, Lane.TEXTS)


def _payload(texts: list[str]) -> bytes:
    try:
        return orjson.dumps(texts)
    except TypeError:  # half a surrogate pair; one "?" each keeps the offsets
        return orjson.dumps([text.encode("utf-8", "replace").decode() for text in texts])
