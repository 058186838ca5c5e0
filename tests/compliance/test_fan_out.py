"""Every entry of the audit log reaches each endpoint that wants it once and in order, whatever happens to the workers."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from services.chassis.access import OrgId, Principal
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.sealing import FileKek, Sealer
from services.compliance.domain.webhooks import WantedEndpoint
from services.compliance.store import fan_out as store
from services.compliance.usecases.audit_log import AuditIntake
from services.compliance.usecases.fan_out import FanOut
from services.compliance.usecases.webhooks import Webhooks
from tests.compliance.hooks import URL, rows, told
from tests.compliance.support import event, placed, sequencing
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseUrls

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = WantedEndpoint(URL, ("*",))

WORKER = """
import asyncio, sys
from pathlib import Path
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.sealing import FileKek, Sealer
from services.compliance.usecases.fan_out import FanOut

async def main(url, kek):
    db = Database(url, hot_size=2)
    await db.open()
    print("open", flush=True)
    await FanOut(db, SystemClock(), Sealer(db, FileKek(Path(kek)))).run()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def fanning(*workers: FanOut) -> AsyncIterator[None]:
    """Workers run."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def looked_at(db: Database, seconds: float = 20) -> None:
    """Wait until no organization is behind."""
    async with asyncio.timeout(seconds), db.hot.connection() as connection:
        while await store.behind(connection):  # noqa: ASYNC110 - the condition is in the database
            await asyncio.sleep(0.01)


async def happen(db: Database, intake: AuditIntake, org_id: OrgId, count: int, **changed: object) -> list[str]:
    """So many entries with their places; their ids in order."""
    async with sequencing(db):
        await intake.append([event(org_id, **changed) for _ in range(count)])
        await placed(db)
    found = await rows(db, "SELECT id FROM audit_entries WHERE org_id = %s ORDER BY seq DESC LIMIT %s", org_id, count)
    return [entry_id for (entry_id,) in reversed(found)]


async def assert_told_everything(db: Database, sealer: Sealer, org_id: OrgId, endpoint_id: str) -> None:
    """Each entry since the registration, once, in the order of the log."""
    bodies = await told(db, sealer, org_id, endpoint_id)
    entries = await rows(
        db,
        "SELECT id, seq, action, encode(leaf_hash, 'hex') FROM audit_entries WHERE org_id = %s ORDER BY seq",
        org_id,
    )
    said = [(body["id"], body["data"]["seq"], body["event"], body["data"]["integrity_hash"]) for body in bodies]
    assert said == entries


async def test_an_entry_is_queued_for_everyone_who_wants_it(
    webhooks: Webhooks,
    fan_out: FanOut,
    db: Database,
    sealer: Sealer,
    intake: AuditIntake,
    clock: FrozenClock,
    alice: Principal,
) -> None:
    wanting = [(await webhooks.create(alice, EVERYTHING)).endpoint.id for _ in range(2)]
    other = (await webhooks.create(alice, WantedEndpoint(URL, ("agent.*",)))).endpoint.id
    of_an_app = (await webhooks.create(alice, WantedEndpoint(URL, ("*",), app_id="ehr"))).endpoint.id
    ids = await happen(db, intake, alice.org_id, 3)
    await fan_out.look()
    for endpoint_id in wanting:
        bodies = await told(db, sealer, alice.org_id, endpoint_id)
        assert [body["id"] for body in bodies][-3:] == ids
        assert {body["event"] for body in bodies} == {"webhook.created", "api_key.created"}
        listed = await webhooks.list_deliveries(alice, endpoint_id, before=None, limit=99)
        assert [each.event for each in reversed(listed)] == [body["event"] for body in bodies]
        assert {(each.status, each.attempts, each.next_attempt_at) for each in listed} == {("pending", 0, clock.now())}
    assert await told(db, sealer, alice.org_id, other) == []
    assert await told(db, sealer, alice.org_id, of_an_app) == []
    lanes = await rows(db, "SELECT endpoint_id FROM webhook_lanes WHERE due_at < 'infinity' ORDER BY 1")
    assert lanes == sorted((endpoint_id,) for endpoint_id in wanting)
    # A body is kept once, however many are told it, and what nobody wants is not kept.
    assert await rows(db, "SELECT count(*) FROM webhook_events") == [(7,)]


async def test_an_endpoint_hears_of_its_own_registration_and_of_nothing_before(
    webhooks: Webhooks,
    fan_out: FanOut,
    db: Database,
    sealer: Sealer,
    intake: AuditIntake,
    clock: FrozenClock,
    alice: Principal,
) -> None:
    await happen(db, intake, alice.org_id, 5)
    clock.advance(timedelta(seconds=1, microseconds=700))  # entries know milliseconds
    # Taken in before the registration, sequenced after it.
    await intake.append([event(alice.org_id)])
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    assert await rows(db, "SELECT seq FROM webhook_positions") == [(5,)]
    ids = await happen(db, intake, alice.org_id, 1, created_at=clock.now())
    await fan_out.look()
    bodies = await told(db, sealer, alice.org_id, endpoint_id)
    assert (bodies[0]["event"], bodies[0]["entity_key"]) == ("webhook.created", endpoint_id)
    assert [body["id"] for body in bodies][1:] == ids
    assert await rows(db, "SELECT seq FROM webhook_positions") == [(8,)]


async def test_the_address_of_a_caller_is_told_nobody(
    webhooks: Webhooks, fan_out: FanOut, db: Database, sealer: Sealer, intake: AuditIntake, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    await happen(db, intake, alice.org_id, 1, ip_address="203.0.113.99")
    await fan_out.look()
    assert "203.0.113.99" not in str(await told(db, sealer, alice.org_id, endpoint_id))


async def test_without_an_active_endpoint_nothing_is_kept_and_the_position_moves(
    webhooks: Webhooks, fan_out: FanOut, db: Database, intake: AuditIntake, alice: Principal
) -> None:
    deleted = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    await webhooks.create(alice, EVERYTHING)
    await webhooks.delete(alice, deleted)
    await rows(db, "UPDATE webhook_endpoints SET is_active = false RETURNING 1")
    await happen(db, intake, alice.org_id, 600)
    assert await fan_out.look() is False
    assert await rows(db, "SELECT seq FROM webhook_positions") == [(603,)]
    assert await rows(db, "SELECT count(*) FROM webhook_events") == [(0,)]


async def test_another_organization_hears_nothing(
    webhooks: Webhooks,
    fan_out: FanOut,
    db: Database,
    sealer: Sealer,
    intake: AuditIntake,
    alice: Principal,
    mallory: Principal,
) -> None:
    theirs = (await webhooks.create(mallory, EVERYTHING)).endpoint.id
    await happen(db, intake, alice.org_id, 5)
    await fan_out.look()
    assert [body["event"] for body in await told(db, sealer, mallory.org_id, theirs)] == ["webhook.created"]


async def test_nobody_is_looked_at_whose_tree_has_not_grown(
    webhooks: Webhooks,
    fan_out: FanOut,
    db: Database,
    intake: AuditIntake,
    clock: FrozenClock,
    sealer: Sealer,
    alice: Principal,
    mallory: Principal,
) -> None:
    for caller in (alice, mallory):
        await webhooks.create(caller, EVERYTHING)
    await happen(db, intake, alice.org_id, 1)
    for _ in range(2):
        await fan_out.look()
    # It would be seen by whoever looked.
    await rows(db, "UPDATE webhook_positions SET seq = 0 RETURNING 1")
    await rows(db, "DELETE FROM webhook_deliveries RETURNING 1")
    await rows(db, "DELETE FROM webhook_events RETURNING 1")
    await fan_out.look()
    assert await rows(db, "SELECT sum(seq) FROM webhook_positions") == [(0,)]
    await happen(db, intake, alice.org_id, 1)
    await happen(db, intake, principal_of_new_org(SystemClock()).org_id, 1)
    await fan_out.look()
    assert await rows(db, "SELECT org_id, seq FROM webhook_positions WHERE seq > 0") == [(alice.org_id, 3)]
    # A worker that has just begun looks at everybody.
    await FanOut(db, clock, sealer).look()
    assert await rows(db, "SELECT seq FROM webhook_positions WHERE org_id = %s", mallory.org_id) == [(1,)]


@asynccontextmanager
async def held(db: Database) -> AsyncIterator[psycopg.AsyncConnection]:
    """Every endpoint is locked, as by somebody who changes it: a worker stops in its transaction, before it writes. Commits at the end."""
    async with db.hot.connection() as connection, connection.transaction():
        await connection.execute("SELECT FROM webhook_endpoints FOR UPDATE")
        yield connection


async def somebody_waits(db: Database) -> None:
    async with asyncio.timeout(20):
        while await rows(  # noqa: ASYNC110 - the condition is in the database
            db,
            """SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE NOT granted AND datname = current_database() AND query ~ 'webhook_endpoints'""",
        ) == [(0,)]:
            await asyncio.sleep(0.005)


async def test_an_endpoint_that_is_deleted_or_disabled_meanwhile_gets_nothing_more(
    webhooks: Webhooks, fan_out: FanOut, db: Database, sealer: Sealer, intake: AuditIntake, alice: Principal
) -> None:
    kept, disabled, deleted = [(await webhooks.create(alice, EVERYTHING)).endpoint.id for _ in range(3)]
    await happen(db, intake, alice.org_id, 5)
    async with held(db) as connection:
        looking = asyncio.create_task(fan_out.look())
        await somebody_waits(db)
        await connection.execute("UPDATE webhook_endpoints SET is_active = false WHERE id = %s", (disabled,))
        await connection.execute("DELETE FROM webhook_endpoints WHERE id = %s", (deleted,))
    assert await looking is True
    assert await rows(db, "SELECT count(*) FROM webhook_deliveries") == [(0,)]
    await fan_out.look()
    assert {each for (each,) in await rows(db, "SELECT endpoint_id FROM webhook_deliveries")} == {kept}
    await assert_told_everything(db, sealer, alice.org_id, kept)


async def test_a_registration_waits_until_entries_are_queued_or_comes_before(
    webhooks: Webhooks, fan_out: FanOut, db: Database, sealer: Sealer, intake: AuditIntake, alice: Principal
) -> None:
    first = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    await happen(db, intake, alice.org_id, 5)
    async with held(db):
        looking = asyncio.create_task(fan_out.look())
        await somebody_waits(db)
        registering = asyncio.create_task(webhooks.create(alice, EVERYTHING))
        await asyncio.sleep(0.1)
        assert not registering.done()
    await looking
    second = (await registering).endpoint.id
    await happen(db, intake, alice.org_id, 2)
    await fan_out.look()
    await assert_told_everything(db, sealer, alice.org_id, first)
    assert [body["event"] for body in await told(db, sealer, alice.org_id, second)][-2:] == ["api_key.created"] * 2


async def test_a_worker_that_is_cancelled_in_its_transaction_has_done_nothing(
    webhooks: Webhooks,
    fan_out: FanOut,
    db: Database,
    sealer: Sealer,
    intake: AuditIntake,
    clock: FrozenClock,
    alice: Principal,
) -> None:
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    await happen(db, intake, alice.org_id, 300)
    async with held(db):
        looking = asyncio.create_task(fan_out.look())
        await somebody_waits(db)
        # Another one finds the organization taken, and does not wait for it.
        assert await FanOut(db, clock, sealer).look() is False
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    assert await rows(db, "SELECT count(*) FROM webhook_events") == [(0,)]
    while await FanOut(db, clock, sealer).look():
        pass
    await assert_told_everything(db, sealer, alice.org_id, endpoint_id)


async def test_whoever_comes_second_finds_the_position_moved(
    webhooks: Webhooks, fan_out: FanOut, db: Database, intake: AuditIntake, alice: Principal
) -> None:
    await webhooks.create(alice, EVERYTHING)
    await happen(db, intake, alice.org_id, 1)
    async with db.transaction(alice.org_id) as tx:
        stretch = await store.next_stretch(tx, alice.org_id, entries=10, deliveries=100)
    assert stretch is not None
    await fan_out.look()
    async with db.transaction(alice.org_id) as tx:
        assert not await store.take(tx, alice.org_id, stretch.first)
        assert await store.take(tx, alice.org_id, stretch.end)


async def test_the_more_endpoints_there_are_the_fewer_entries_are_taken_at_once(
    webhooks: Webhooks, db: Database, intake: AuditIntake, alice: Principal
) -> None:
    await happen(db, intake, alice.org_id, 20)
    await rows(db, "INSERT INTO webhook_positions VALUES (%s, 0) RETURNING 1", alice.org_id)
    taken = []
    for _ in range(4):
        async with db.transaction(alice.org_id) as tx:
            stretch = await store.next_stretch(tx, alice.org_id, entries=10, deliveries=15)
        assert stretch is not None
        taken.append((stretch.end, len(stretch.entries)))
        await webhooks.create(alice, EVERYTHING)
    assert taken == [(20, 0), (10, 10), (7, 7), (5, 5)]


async def start_worker(urls: DatabaseUrls, kek: Path) -> asyncio.subprocess.Process:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, urls.app_url, str(kek)), env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    assert await worker.stdout.readline() == b"open\n"
    return worker


async def kill(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.kill()
    await worker.wait()


async def test_a_worker_that_is_killed_in_its_transaction_has_done_nothing(
    webhooks: Webhooks,
    fan_out: FanOut,
    db: Database,
    urls: DatabaseUrls,
    sealer: Sealer,
    intake: AuditIntake,
    alice: Principal,
    tmp_path: Path,
) -> None:
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    await happen(db, intake, alice.org_id, 300)
    async with held(db):
        worker = await start_worker(urls, tmp_path / "webhooks.kek")
        await somebody_waits(db)
        await kill(worker)
    async with asyncio.timeout(20):
        while await rows(db, "SELECT seq FROM webhook_positions") != [(301,)]:
            await fan_out.look()
            await asyncio.sleep(0.01)
    await assert_told_everything(db, sealer, alice.org_id, endpoint_id)


@pytest.mark.timeout(120)
async def test_many_workers_and_kills_pass_nothing_by_and_double_nothing(
    webhooks: Webhooks,
    db: Database,
    urls: DatabaseUrls,
    sealer: Sealer,
    intake: AuditIntake,
    clock: FrozenClock,
    tmp_path: Path,
) -> None:
    """Entries arrive, endpoints come and go, replicas are killed with -9: whoever stayed was told everything in order."""
    callers = [principal_of_new_org(clock) for _ in range(4)]
    stayed = {each.org_id: (await webhooks.create(each, EVERYTHING)).endpoint.id for each in callers}
    stop = asyncio.Event()
    other = Database(urls.app_url)
    await other.open()

    async def tell() -> None:
        while not stop.is_set():
            await intake.append([event(random.choice(callers).org_id) for _ in range(random.randint(1, 30))])
            await asyncio.sleep(0.02)

    async def come_and_go() -> None:
        while not stop.is_set():
            caller = random.choice(callers)
            passing = (await webhooks.create(caller, EVERYTHING)).endpoint.id
            await asyncio.sleep(0.03)
            await webhooks.delete(caller, passing)

    kek = tmp_path / "webhooks.kek"
    workers = (FanOut(db, clock, sealer), FanOut(other, clock, Sealer(other, FileKek(kek))))
    async with sequencing(db), fanning(*workers):
        telling = [asyncio.create_task(tell()), asyncio.create_task(come_and_go())]
        for _ in range(2):
            worker = await start_worker(urls, kek)
            await asyncio.sleep(random.uniform(0.2, 0.6))
            await kill(worker)
        stop.set()
        await asyncio.gather(*telling)
        await placed(db)
        await looked_at(db)
    await other.close()
    for org_id, endpoint_id in stayed.items():
        await assert_told_everything(db, sealer, org_id, endpoint_id)
        lists = await rows(db, "SELECT id FROM webhook_deliveries WHERE endpoint_id = %s ORDER BY arrival", endpoint_id)
        assert len(lists) == len(set(lists))
    passing = "SELECT count(*) FROM webhook_deliveries WHERE NOT endpoint_id = ANY(%s)"
    assert await rows(db, passing, list(stayed.values())) == [(0,)]


async def test_what_fails_for_one_organization_does_not_hold_up_the_others(
    webhooks: Webhooks,
    db: Database,
    urls: DatabaseUrls,
    sealer: Sealer,
    intake: AuditIntake,
    clock: FrozenClock,
    alice: Principal,
    mallory: Principal,
) -> None:
    """Alice's data key opens no more: of hers nothing is queued, and nothing is passed by either."""
    hers = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    theirs = (await webhooks.create(mallory, EVERYTHING)).endpoint.id
    await happen(db, intake, alice.org_id, 2)
    await happen(db, intake, mallory.org_id, 2)
    async with await psycopg.AsyncConnection.connect(urls.owner_url, autocommit=True) as owner:
        await owner.execute("SELECT set_config('hasp.org_id', '*', false)")
        await owner.execute("UPDATE data_keys SET wrapped = wrapped || 'x'::bytea WHERE org_id = %s", (alice.org_id,))
        worker = FanOut(db, clock, Sealer(db, sealer._kek))
        while await worker.look():
            pass
        await assert_told_everything(db, sealer, mallory.org_id, theirs)
        assert await rows(db, "SELECT seq FROM webhook_positions WHERE org_id = %s", alice.org_id) == [(0,)]
        await owner.execute(
            "UPDATE data_keys SET wrapped = substring(wrapped FOR length(wrapped) - 1) WHERE org_id = %s",
            (alice.org_id,),
        )
    worker = FanOut(db, clock, sealer)
    while await worker.look():
        pass
    await assert_told_everything(db, sealer, alice.org_id, hers)


async def test_a_worker_waits_out_a_database_that_is_gone(
    webhooks: Webhooks,
    db: Database,
    urls: DatabaseUrls,
    sealer: Sealer,
    intake: AuditIntake,
    clock: FrozenClock,
    alice: Principal,
) -> None:
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    cut = Database(f"{urls.app_url}&application_name=cut")
    await cut.open()
    async with fanning(FanOut(cut, clock, sealer)):
        for _ in range(3):
            await happen(db, intake, alice.org_id, 300)
            await rows(db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut'")
        await looked_at(db)
    await cut.close()
    await assert_told_everything(db, sealer, alice.org_id, endpoint_id)
