import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.chassis.access import OrgId
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.errors import ServiceUnavailable
from services.chassis.outbox import INSERT_OWED, OutboxRow, Owed, Relay, enqueue, enqueue_all, owed_parameters
from services.chassis.ulids import new_ulid
from tests.postgres import DatabaseFactory

ACME = OrgId("01J0000000000000000000ACME")
CLOCK = SystemClock()
TOPIC = "sibling.things"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def url(database_factory: DatabaseFactory) -> str:
    return database_factory("billing").app_url


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    yield database
    await database.close()


class Sibling:
    """A destination that is idempotent by id, and counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.batches: list[int] = []
        self.refuses: set[str] = set()
        self.down = False
        self.heard = asyncio.Event()
        self.hangs = asyncio.Event()
        self.hangs.set()

    @property
    def known(self) -> set[str]:
        return set(self.told)

    async def deliver(self, rows: Sequence[OutboxRow]) -> Collection[str]:
        await self.hangs.wait()
        if self.down:
            raise ServiceUnavailable
        if any(row.id in self.refuses for row in rows):
            raise ValueError("refused")
        self.batches.append(len(rows))
        self.told += [row.id for row in rows]
        self.heard.set()
        return [row.id for row in rows]


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def owe(db: Database, count: int, topic: str = TOPIC) -> list[str]:
    messages = [Owed(new_ulid(CLOCK), ACME, topic, f"thing {n}".encode()) for n in range(count)]
    async with db.hot.connection() as connection:
        await connection.execute(INSERT_OWED, owed_parameters(messages))
    return [message.message_id for message in messages]


async def waiting(db: Database) -> int:
    async with db.hot.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM outbox")).fetchone()
    assert row is not None
    return row[0]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition is in the database
            await asyncio.sleep(0.005)


async def test_a_message_is_delivered_when_its_transaction_commits_and_not_when_it_rolls_back(db: Database) -> None:
    sibling = Sibling()
    kept, lost = new_ulid(CLOCK), new_ulid(CLOCK)
    async with db.transaction(ACME) as tx:
        await enqueue(tx, message_id=kept, org_id=ACME, topic=TOPIC, message=StringValue(value="kept"))
    with suppress(RuntimeError):
        async with db.transaction(ACME) as tx:
            await enqueue(tx, message_id=lost, org_id=ACME, topic=TOPIC, message=StringValue(value="lost"))
            raise RuntimeError
    async with running(Relay(db, CLOCK, {TOPIC: sibling.deliver})):
        await until(lambda: _empty(db))
    assert sibling.told == [kept]


async def _empty(db: Database) -> bool:
    return await waiting(db) == 0


async def test_the_same_message_enqueued_twice_is_one(db: Database) -> None:
    message_id = new_ulid(CLOCK)
    for text in ("first", "second"):
        async with db.transaction(ACME) as tx:
            await enqueue(tx, message_id=message_id, org_id=ACME, topic=TOPIC, message=StringValue(value=text))
    assert await waiting(db) == 1


async def test_many_messages_enqueued_at_once_are_delivered_each_and_none_is_no_error(db: Database) -> None:
    sibling = Sibling()
    ids = [new_ulid(CLOCK) for _ in range(50)]
    async with db.transaction(ACME) as tx:
        await enqueue_all(tx, [])
        await enqueue_all(tx, [Owed(each, ACME, TOPIC, StringValue(value="x").SerializeToString()) for each in ids])
    async with running(Relay(db, CLOCK, {TOPIC: sibling.deliver})):
        await until(lambda: _empty(db))
    assert sorted(sibling.told) == sorted(ids)


async def test_a_deferred_message_waits_for_its_time(db: Database) -> None:
    sibling = Sibling()
    async with db.transaction(ACME) as tx:
        at = datetime.now(UTC) + timedelta(seconds=0.4)
        await enqueue(tx, message_id=new_ulid(CLOCK), org_id=ACME, topic=TOPIC, message=StringValue(), after=at)
    async with running(Relay(db, CLOCK, {TOPIC: sibling.deliver})):
        await until(lambda: _empty(db))
    assert datetime.now(UTC) >= at


async def test_waking_delivers_within_milliseconds(db: Database) -> None:
    sibling = Sibling()
    relay = Relay(db, CLOCK, {TOPIC: sibling.deliver}, poll=timedelta(seconds=5))
    async with running(relay):
        await owe(db, 1)
        relay.wake()
        await until(lambda: _empty(db))
        delays = []
        for _ in range(20):
            await asyncio.sleep(0.01)
            sibling.heard.clear()
            await owe(db, 1)
            started = time.perf_counter()
            relay.wake()
            await sibling.heard.wait()
            delays.append(time.perf_counter() - started)
    print(f"wake to delivery: p50 {sorted(delays)[10] * 1000:.1f} ms, max {max(delays) * 1000:.1f} ms")
    assert sorted(delays)[10] < 0.05


async def test_messages_go_in_batches_of_at_most_500(db: Database) -> None:
    sibling = Sibling()
    ids = await owe(db, 1200)
    async with running(Relay(db, CLOCK, {TOPIC: sibling.deliver})):
        await until(lambda: _empty(db))
    assert sibling.known == set(ids)
    assert sibling.batches == [500, 500, 200]


async def test_a_message_that_is_refused_backs_off_and_holds_up_nobody(db: Database) -> None:
    sibling = Sibling()
    ids = await owe(db, 400)
    sibling.refuses = {ids[17], ids[300]}
    async with running(Relay(db, CLOCK, {TOPIC: sibling.deliver})):
        await until(lambda: _left(db, 2), 3)
        assert sibling.known == set(ids) - sibling.refuses
        assert len(sibling.told) == len(sibling.known)
        fresh = await owe(db, 10)
        await until(lambda: _left(db, 2), 3)
        assert set(fresh) <= sibling.known
        sibling.refuses = set()
        await until(lambda: _empty(db))
    assert sibling.known == {*ids, *fresh}


async def _left(db: Database, count: int) -> bool:
    return await waiting(db) == count


async def test_messages_the_receiver_leaves_out_are_told_again(db: Database) -> None:
    told: list[str] = []

    async def half(rows: Sequence[OutboxRow]) -> Collection[str]:
        told.extend(row.id for row in rows)
        return [row.id for row in rows if row.attempts > 1 or row.id in first]

    ids = await owe(db, 10)
    first = set(ids[:5])
    async with running(Relay(db, CLOCK, {TOPIC: half})):
        await until(lambda: _empty(db))
    assert sorted(told) == sorted([*ids, *ids[5:]])


async def test_what_waited_for_a_destination_flows_when_it_is_back(db: Database) -> None:
    sibling = Sibling()
    sibling.down = True
    ids = await owe(db, 1000)
    async with running(Relay(db, CLOCK, {TOPIC: sibling.deliver})):
        await asyncio.sleep(1)
        assert await waiting(db) == 1000
        sibling.down = False
        await until(lambda: _empty(db), 6)
    assert sorted(sibling.told) == sorted(ids)


async def test_one_destination_does_not_wait_for_another(db: Database) -> None:
    down, up = Sibling(), Sibling()
    down.hangs.clear()
    await owe(db, 10, "down.things")
    ids = await owe(db, 10, "up.things")
    async with running(Relay(db, CLOCK, {"down.things": down.deliver, "up.things": up.deliver})):
        await until(lambda: _left(db, 10), 2)
    assert up.known == set(ids)


async def test_two_replicas_share_the_work(url: str, db: Database) -> None:
    other = Database(url)
    await other.open()
    one, two = Sibling(), Sibling()
    ids = await owe(db, 5000)
    async with running(
        Relay(db, CLOCK, {TOPIC: one.deliver}, max_batch=50), Relay(other, CLOCK, {TOPIC: two.deliver}, max_batch=50)
    ):
        await until(lambda: _empty(db), 30)
    await other.close()
    assert sorted(one.told + two.told) == sorted(ids)
    assert one.told
    assert two.told


async def test_a_row_whose_delivery_never_ends_is_set_aside(db: Database) -> None:
    told: list[str] = []

    async def deliver(rows: Sequence[OutboxRow]) -> Collection[str]:
        if any(row.id == ids[0] for row in rows):
            await asyncio.Event().wait()
        told.extend(row.id for row in rows)
        return [row.id for row in rows]

    ids = await owe(db, 8)
    async with running(Relay(db, CLOCK, {TOPIC: deliver}, lease=timedelta(seconds=0.2))):
        await until(lambda: _left(db, 1), 20)
    assert set(told) == set(ids[1:])


RELAY = """
import asyncio, sys
import psycopg
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.outbox import Relay
from datetime import timedelta

async def main(url):
    db = Database(url, hot_size=3)
    await db.open()
    receiver = await psycopg.AsyncConnection.connect(url, autocommit=True, options="-c hasp.org_id=*")
    async def deliver(rows):
        # An idempotent receiver: what it knows already it takes again and does nothing.
        await receiver.execute(
            "INSERT INTO data_keys (org_id, version, wrapped) SELECT id, 1, '' FROM unnest(%s::text[]) AS told (id) ON CONFLICT DO NOTHING",
            ([row.id for row in rows],),
        )
        return [row.id for row in rows]
    await Relay(db, SystemClock(), {"sibling.things": deliver}, max_batch=20, lease=timedelta(seconds=1)).run()

asyncio.run(main(sys.argv[1]))
"""


async def test_nothing_is_lost_or_stuck_when_relays_are_killed(url: str, db: Database, tmp_path: Path) -> None:
    script = tmp_path / "relay.py"
    script.write_text(RELAY)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(sys.executable, str(script), url, env=environment)

    ids: list[str] = []
    relays = [await start(), await start()]
    kills = 0
    try:
        deadline = time.monotonic() + 12
        while time.monotonic() < deadline:
            for _ in range(20):
                ids += await owe(db, 20)
                await asyncio.sleep(0.05)
            relays[kills % 2].send_signal(signal.SIGKILL)
            await relays[kills % 2].wait()
            relays[kills % 2] = await start()
            kills += 1
        await until(lambda: _empty(db), 70)
    finally:
        for relay in relays:
            relay.kill()
            await relay.wait()
    async with await psycopg.AsyncConnection.connect(url, options="-c hasp.org_id=*") as connection:
        known = await (await connection.execute("SELECT org_id FROM data_keys")).fetchall()
    print(f"{len(ids)} messages, {kills} kills")
    assert sorted(row[0] for row in known) == sorted(ids)


async def test_throughput(db: Database) -> None:
    """A figure, with a floor far below it: 2 shared cores."""
    sibling = Sibling()
    for _ in range(20):
        await owe(db, 500)
    started = time.perf_counter()
    async with running(Relay(db, CLOCK, {TOPIC: sibling.deliver})):
        await until(lambda: _empty(db), 60)
    print(f"relay: {10000 / (time.perf_counter() - started):.0f} messages/s")
    assert len(sibling.told) == 10000
