"""The audit log, measured in one compliance process on a durable PostgreSQL: `python -m tests.load.audit [seconds]`, and at the end of `make bench`.

Writers append batches as the outboxes of the siblings do, while the sequencer of the same process gives them their places and signs for
them. Then every entry is proven once more from an export, by the auditor's verifier. Figures are for comparison on this machine, now.
"""

import asyncio
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.audit_verifier import Keys, verify
from services.chassis.access import Call, OrgId, Principal, current
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from services.compliance.domain.checkpoints import Signers
from services.compliance.domain.leaves import Actor, Event
from services.compliance.usecases.audit_log import AuditIntake, IntakeTrail
from services.compliance.usecases.exporting import Asked, Exports
from services.compliance.usecases.proofs import Proofs
from services.compliance.usecases.sequencer import Sequencer
from tests.load.postgres import database

CLOCK = SystemClock()
BATCH = 20
"""Events of one call: what the relay of a busy sibling sends."""


def event(org_id: OrgId) -> Event:
    return Event(
        id=new_ulid(CLOCK),
        org_id=org_id,
        action="inference.completed",
        entity_type="record",
        entity_id=new_ulid(CLOCK),
        user_id="01J0000000000000000000VSER",
        actor=Actor("api_key", "01J0000000000000000000ADMN"),
        ip_address="203.0.113.7",
        request_id=f"req_{new_ulid(CLOCK)}",
        metadata={"model": "claude-sonnet-4-6", "input_tokens": 812, "redaction_count": 3},
        created_at=CLOCK.now(),
    )


class Bench:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._intake = AuditIntake(db)
        self._proofs = Proofs(db)
        self._signers = Signers("hasp.example", Ed25519PrivateKey.generate())

    async def run(self, *, writers: int, orgs: int, seconds: float) -> str:
        """One line of the report."""
        ids = [OrgId(new_ulid(CLOCK)) for _ in range(orgs)]
        turn, appends, appended = itertools.count(), list[float](), list[str]()
        sequencing = asyncio.create_task(Sequencer(self._db, CLOCK, self._signers).run())
        began, cpu = time.perf_counter(), time.process_time()

        async def write() -> None:
            while time.perf_counter() < began + seconds:
                org_id = ids[next(turn) % orgs]
                events = [event(org_id) for _ in range(BATCH)]
                start = time.perf_counter()
                await self._intake.append(events)
                appends.append(time.perf_counter() - start)
                appended.append(events[0].id)

        await asyncio.gather(*(write() for _ in range(writers)))
        took = time.perf_counter() - began
        while await self._waiting():  # noqa: ASYNC110 - the condition is in the database
            await asyncio.sleep(0.005)
        placed, cpu = time.perf_counter() - began, time.process_time() - cpu
        proofs = await self._prove(ids[0], appended[::orgs])
        sequencing.cancel()
        await asyncio.wait([sequencing])
        count = len(appends) * BATCH
        return (
            f"{writers:>3} writers, {orgs:>3} organizations: {count / took:>6.0f} acknowledged/s, calls of {BATCH} {_quantiles(appends)}, "
            f"placed and signed {(placed - took) * 1000:.0f} ms after the last, {cpu / count * 1e6:.0f} µs of Python an entry; "
            f"proofs {_quantiles(proofs)}; {await self._verify(ids[0])}"
        )

    async def _waiting(self) -> bool:
        async with self._db.hot.connection() as connection:
            cursor = await connection.execute("SELECT EXISTS (SELECT FROM audit_intake)")
            return (await cursor.fetchone()) == (True,)

    async def _prove(self, org_id: OrgId, entry_ids: Sequence[str]) -> list[float]:
        taken: list[float] = []
        for entry_id in random.sample(entry_ids, min(200, len(entry_ids))):
            start = time.perf_counter()
            await self._proofs.inclusion(org_id, entry_id)
            taken.append(time.perf_counter() - start)
        return taken

    async def _verify(self, org_id: OrgId) -> str:
        principal = Principal(org_id=org_id, kind="api_key", id="bench", user_id="bench", scopes=frozenset())
        current.set(Call(method="/bench", request_id="req_bench", principal=principal))
        exports = Exports(self._db, CLOCK, IntakeTrail(CLOCK), self._signers, [])
        keys = Keys()
        keys.add(self._signers.of(org_id).vkey)
        with tempfile.TemporaryDirectory(prefix="hasp-load-") as folder:
            path = Path(folder) / "export"
            start = time.perf_counter()
            path.write_bytes(b"".join([piece async for piece in await exports.export(principal, Asked())]))
            exported = time.perf_counter()
            verified = verify(path, keys)
            done = time.perf_counter()
        return f"export {verified.count / (exported - start):.0f} entries/s, verified {verified.count / (done - exported):.0f} entries/s"


def _quantiles(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49] * 1000:.1f} p99 {cuts[98] * 1000:.1f} ms"


async def _measure(url: str, seconds: float) -> list[str]:
    db = Database(url)
    await db.open()
    try:
        bench = Bench(db)
        return [await bench.run(writers=16, orgs=orgs, seconds=seconds) for orgs in (1, 100)]
    finally:
        await db.close()


def report(seconds: float) -> Iterator[str]:
    """A line for one organization, and one for a hundred."""
    with tempfile.TemporaryDirectory(prefix="hasp-load-") as folder, database(Path(folder), "compliance") as url:
        yield from uvloop.run(_measure(url, seconds))


if __name__ == "__main__":
    print(f"load average {os.getloadavg()[0]:.1f}")
    for line in report(float(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(line)
