import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path

import psycopg
import pytest

from services.chassis.access import OrgId, Principal
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from services.compliance.domain.checkpoints import LOG_OF_LOGS, text
from services.compliance.domain.leaves import leaf_hash
from services.compliance.domain.merkle import Tree
from services.compliance.store import sequencing as store
from services.compliance.store.entries import Filter
from services.compliance.usecases.audit_log import AuditIntake, AuditLog
from tests.compliance.support import SIGNERS, count, event, placed, sequencer, sequencing, waiting
from tests.notes import text_of
from tests.postgres import DatabaseUrls

ROOT = Path(__file__).resolve().parents[2]

REPLICA = """
import asyncio, sys
from services.chassis.database import Database
from tests.compliance.support import sequencer

async def main(url):
    db = Database(url, hot_size=3)
    await db.open()
    print("open", file=sys.stderr, flush=True)
    await sequencer(db).run()

asyncio.run(main(sys.argv[1]))
"""


async def start_replica(url: str) -> asyncio.subprocess.Process:
    """A process that leads or stands by when this returns."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    replica = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", REPLICA, url),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert replica.stderr is not None
    assert await replica.stderr.readline() == b"open\n"
    return replica


async def end(*replicas: asyncio.subprocess.Process) -> None:
    for replica in replicas:
        if replica.returncode is None:
            replica.kill()
        await replica.wait()


async def assert_whole(db: Database, told: dict[OrgId, list[str]]) -> None:
    """Every organization's tree holds each of its events once, under seqs without gaps, and each leaf says where it is."""
    async with db.hot.connection() as connection:
        rows = await (
            await connection.execute("SELECT org_id, id, seq, leaf, leaf_hash FROM audit_entries ORDER BY org_id, seq")
        ).fetchall()
    trees: dict[OrgId, list[str]] = defaultdict(list)
    for org_id, entry_id, seq, leaf, hashed in rows:
        assert seq == len(trees[org_id])
        trees[org_id].append(entry_id)
        said = json.loads(leaf)
        assert (said["org_id"], said["id"], said["seq"]) == (org_id, entry_id, seq)
        assert hashed == leaf_hash(leaf)
    assert {org: sorted(ids) for org, ids in trees.items()} == {org: sorted(ids) for org, ids in told.items()}
    await assert_signed(db)


async def assert_signed(db: Database) -> None:
    """Every checkpoint is of its tree as that stood, every tree's newest is of all of it, and the log of logs has each of them once."""
    async with db.hot.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT org_id, array_agg(leaf_hash ORDER BY seq) FROM audit_entries GROUP BY org_id"
            )
        ).fetchall()
        leaves: dict[str, list[bytes]] = dict(rows)
        heads = await (
            await connection.execute(
                "SELECT head_seq, head_hash, note FROM audit_checkpoints WHERE head_seq IS NOT NULL ORDER BY 1"
            )
        ).fetchall()
        assert [head_seq for head_seq, _, _ in heads] == list(range(len(heads)))
        for _, head_hash, note in heads:
            assert head_hash == leaf_hash(note.partition("\n\n")[0].encode() + b"\n")
        leaves[LOG_OF_LOGS] = [head_hash for _, head_hash, _ in heads]
        signed = await (
            await connection.execute(
                "SELECT org_id, tree_size, root_hash, note FROM audit_checkpoints ORDER BY org_id, tree_size"
            )
        ).fetchall()
    newest: dict[str, int] = {}
    trees: dict[str, Tree] = defaultdict(Tree)
    for org_id, tree_size, root_hash, note in signed:
        tree = trees[org_id]
        tree.append(leaves[org_id][tree.size : tree_size])
        assert (tree.size, tree.root) == (tree_size, root_hash)
        assert text_of(note, SIGNERS.of(org_id).vkey) == text(
            f"hasp.example/audit/{org_id}".rstrip("/"), tree_size, root_hash
        )
        newest[org_id] = tree_size
    assert newest == {org_id: len(hashes) for org_id, hashes in leaves.items()}


async def test_an_entry_shows_within_a_quarter_of_a_second(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal
) -> None:
    delays = []
    async with sequencing(db):
        await intake.append([event(alice.org_id)])
        await placed(db)
        for seq in range(1, 21):
            started = time.perf_counter()
            await intake.append([event(alice.org_id)])
            while True:
                entries = await log.list(alice, Filter(), before=None, limit=1)
                if entries[0].seq == seq:
                    break
                await asyncio.sleep(0.002)
            delays.append(time.perf_counter() - started)
    delays.sort()
    print(f"intake to list: p50 {delays[10] * 1000:.0f} ms, max {delays[-1] * 1000:.0f} ms")
    assert delays[10] < 0.25


async def test_two_replicas_number_as_one(db: Database, urls: DatabaseUrls, intake: AuditIntake) -> None:
    other = Database(urls.app_url, hot_size=2)
    await other.open()
    told: dict[OrgId, list[str]] = defaultdict(list)
    orgs = [OrgId(new_ulid(SystemClock())) for _ in range(5)]
    async with sequencing(db), sequencing(other):
        for _ in range(60):
            events = [event(random.choice(orgs)) for _ in range(20)]
            for each in events:
                told[OrgId(each.org_id)].append(each.id)
            await intake.append(events)
        await placed(db)
    await other.close()
    await assert_whole(db, told)


async def test_a_deposed_leader_writes_nothing(db: Database, intake: AuditIntake, alice: Principal) -> None:
    async with db.hot.connection() as old, db.hot.connection() as new:
        epoch = await store.lead(old)
        assert epoch is not None
        assert await store.lead(new) is None
        # The old one's lock is lost without its knowledge, as a cut connection's would be.
        await old.execute("SELECT pg_advisory_unlock_all()")
        later = await store.lead(new)
        assert later is not None
        assert later == epoch + 1
        await intake.append([event(alice.org_id)])
        assert await store.place(old, epoch, sequencer(db)._seal) == 0
        assert await store.beat(old, epoch) is False
        assert await waiting(db) == 1
        assert await store.place(new, later, sequencer(db)._seal) == 1
        await new.execute("SELECT pg_advisory_unlock_all()")


async def test_a_leader_that_has_gone_silent_is_deposed(
    db: Database, intake: AuditIntake, alice: Principal, urls: DatabaseUrls
) -> None:
    leader = await start_replica(urls.app_url)
    try:
        await intake.append([event(alice.org_id)])
        await placed(db, 15)
        leader.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        async with sequencing(db):
            await intake.append([event(alice.org_id)])
            await placed(db, 10)
            took = time.monotonic() - started
            leader.send_signal(signal.SIGCONT)
            await intake.append([event(alice.org_id) for _ in range(10)])
            await placed(db)
        print(f"deposed a stopped leader in {took:.1f} s")
    finally:
        await end(leader)
    assert await count(db, "SELECT max(seq) FROM audit_entries") == 11


async def test_another_replica_takes_over_within_about_a_second_of_a_leaders_death(
    db: Database, intake: AuditIntake, alice: Principal, urls: DatabaseUrls
) -> None:
    leader = await start_replica(urls.app_url)
    takeovers = []
    try:
        for _ in range(3):
            await intake.append([event(alice.org_id)])
            await placed(db, 15)
            follower = await start_replica(urls.app_url)
            await asyncio.sleep(0.5)  # it has asked once
            leader.kill()
            started = time.monotonic()
            await intake.append([event(alice.org_id)])
            await placed(db)
            takeovers.append(time.monotonic() - started)
            await leader.wait()
            leader = follower
    finally:
        await end(leader)
    print("takeovers:", ", ".join(f"{seconds * 1000:.0f} ms" for seconds in takeovers))
    assert min(takeovers) < 1.5


@pytest.mark.timeout(180)
async def test_killed_leaders_leave_no_gap_and_no_double(db: Database, intake: AuditIntake, urls: DatabaseUrls) -> None:
    """kill -9 of the leading replica again and again, while events arrive, some of them more than once."""
    orgs = [OrgId(new_ulid(SystemClock())) for _ in range(4)]
    told: dict[OrgId, list[str]] = defaultdict(list)
    stop = asyncio.Event()

    async def tell() -> None:
        while not stop.is_set():
            events = [event(random.choice(orgs)) for _ in range(random.randint(1, 30))]
            await intake.append(events)
            for each in events:
                told[OrgId(each.org_id)].append(each.id)
            if random.random() < 0.3:
                await asyncio.sleep(random.random() * 0.2)
                await intake.append(random.sample(events, len(events) // 2))
            await asyncio.sleep(0.01)

    replicas = [await start_replica(urls.app_url), await start_replica(urls.app_url)]
    dead: list[asyncio.subprocess.Process] = []
    tellers = [asyncio.create_task(tell()) for _ in range(3)]
    try:
        for kills in range(8):
            await asyncio.sleep(random.uniform(0.2, 0.8))
            for victim in {kills % 2, random.randint(0, 1)}:
                replicas[victim].kill()
                dead.append(replicas[victim])
                replicas[victim] = await start_replica(urls.app_url)
        stop.set()
        await asyncio.gather(*tellers)
        await placed(db, 20)
    finally:
        await end(*replicas, *dead)
        for teller in tellers:
            teller.cancel()
    print(f"{sum(map(len, told.values()))} events")
    await assert_whole(db, told)


async def test_a_seq_that_is_taken_cannot_be_given_again(db: Database, intake: AuditIntake, alice: Principal) -> None:
    """The last line of defence: a tree whose size is wrong stops the sequencer, it does not fork the tree."""
    async with sequencing(db):
        await intake.append([event(alice.org_id) for _ in range(3)])
        await placed(db)
    async with db.hot.connection() as connection:
        await connection.execute("UPDATE audit_trees SET size = 1")
        async with asyncio.timeout(10):
            while (epoch := await store.lead(connection)) is None:  # noqa: ASYNC110 - the session before is still ending
                await asyncio.sleep(0.05)
        await intake.append([event(alice.org_id)])
        with pytest.raises(psycopg.errors.UniqueViolation):
            await store.place(connection, epoch, sequencer(db)._seal)
        await connection.close()
    assert await waiting(db) == 1


async def test_a_burst_after_idleness_is_placed_as_fast_as_any(
    db: Database, intake: AuditIntake, alice: Principal
) -> None:
    """A plan that was made while the intake held one event, and kept, would read all of it for each event of a burst."""
    async with sequencing(db):
        for _ in range(12):
            await intake.append([event(alice.org_id)])
            await placed(db)
        for _ in range(2):
            started = time.perf_counter()
            for _ in range(10):
                await intake.append([event(alice.org_id) for _ in range(500)])
            await placed(db, 60)
            assert time.perf_counter() - started < 3


@pytest.mark.parametrize(("orgs", "per_call", "callers"), [(1, 1, 64), (1, 100, 16), (100, 100, 16)])
async def test_throughput(db: Database, intake: AuditIntake, orgs: int, per_call: int, callers: int) -> None:
    """A figure, with a floor far below it: 2 shared cores, PostgreSQL beside."""
    ids = [OrgId(new_ulid(SystemClock())) for _ in range(orgs)]
    total = 10_000
    calls = [[event(random.choice(ids)) for _ in range(per_call)] for _ in range(total // per_call)]
    acknowledged: list[float] = []

    async def caller() -> None:
        while calls:
            events = calls.pop()
            started = time.perf_counter()
            await intake.append(events)
            acknowledged.append(time.perf_counter() - started)

    async with sequencing(db):
        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        taken = time.perf_counter() - started
        await placed(db, 60)
        whole = time.perf_counter() - started
    acknowledged.sort()
    print(
        f"{orgs} orgs, {callers} callers × {per_call}: {total / taken:.0f} acknowledged/s,"
        f" p99 {acknowledged[int(len(acknowledged) * 0.99) - 1] * 1000:.0f} ms, {total / whole:.0f} sequenced/s"
    )
    assert total / whole > 500
