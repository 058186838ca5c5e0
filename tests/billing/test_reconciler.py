"""The scheduled report, and what it finds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from google.protobuf.json_format import MessageToDict
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from services.billing.domain.adjustments import Reason
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.metering import Metering
from services.billing.usecases.reconciler import Reconciler
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from tests.billing.requests import HAIKU, demand, rows, settlement
from tests.fakes import FrozenClock
from tests.postgres import DatabaseUrls


@pytest.fixture
def reconciler(db: Database, clock: FrozenClock) -> Reconciler:
    return Reconciler(db, clock, AuditTrail(clock))


@pytest.fixture
async def replicas(urls: DatabaseUrls, clock: FrozenClock) -> AsyncIterator[list[Reconciler]]:
    databases = [Database(urls.app_url) for _ in range(3)]
    yield [Reconciler(database, clock, AuditTrail(clock)) for database in databases]
    for database in databases:
        await database.close()


@pytest.fixture
def owner(urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    """Somebody with the owner's rights who takes the guards of the book away."""
    with psycopg.connect(urls.owner_url, options="-c hasp.org_id=*", autocommit=True) as connection:
        for table in ("entries", "settlements"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only".encode())
        yield connection


async def told(db: Database, who: Principal) -> list[AuditEvent]:
    found = await rows(db, who.org_id, "SELECT payload FROM outbox WHERE topic = 'compliance.audit' ORDER BY id")
    events = [AuditEvent.FromString(payload) for (payload,) in found]
    return [event for event in events if event.action == "account.difference_found"]


async def use(metering: Metering, who: Principal, clock: FrozenClock, credits_: int = 1000) -> str:
    request = demand(who, clock, output=credits_)
    assert await metering.settle([settlement(request, clock.now())]) == [0]
    return request.request_id


async def test_one_of_several_replicas_reports_once_an_hour(
    replicas: list[Reconciler], db: Database, alice: Principal, mallory: Principal, clock: FrozenClock
) -> None:
    for _ in range(2):
        reports = await asyncio.gather(*(replica.report() for replica in replicas))
        (report,) = [report for report in reports if report is not None]
        assert (report.checked, report.found) == (2, ())
        clock.advance(timedelta(minutes=59))
        assert [await replica.report() for replica in replicas] == [None, None, None]
        clock.advance(timedelta(minutes=1))
    kept = await rows(db, alice.org_id, "SELECT checked, found FROM reconciliations")
    assert kept == [(2, []), (2, [])]
    assert await told(db, alice) == await told(db, mallory) == []


async def test_a_difference_is_kept_logged_and_audited_when_it_is_new(
    reconciler: Reconciler,
    metering: Metering,
    db: Database,
    alice: Principal,
    mallory: Principal,
    clock: FrozenClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = clock.now()
    await use(metering, alice, clock)
    await use(metering, mallory, clock)
    await rows(db, alice.org_id, "UPDATE cycles SET used = used - 1 RETURNING 1")
    report = await reconciler.report()
    assert report is not None
    assert report.found == (f"{alice.org_id} {opened.isoformat()} used",)
    assert "books reconciled" in capsys.readouterr().out
    (event,) = await told(db, alice)
    assert (event.entity_type, event.entity_id, event.actor_type) == ("account", alice.org_id, "system")
    assert MessageToDict(event.metadata) == {"differences": 1}
    # The same an hour later, though its amounts have moved on, is no news; another one is.
    clock.advance(timedelta(hours=1))
    await use(metering, alice, clock)
    report = await reconciler.report()
    assert report is not None
    assert len(report.found) == len(await told(db, alice)) == 1
    clock.advance(timedelta(hours=1))
    await rows(db, alice.org_id, "UPDATE accounts SET reserved = 1 RETURNING 1")
    await reconciler.report()
    assert [MessageToDict(event.metadata) for event in await told(db, alice)] == [{"differences": 1}] * 2
    assert await told(db, mallory) == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE cycles SET allotment = allotment + 1", {"given"}),
        ("UPDATE cycles SET allotment = allotment + 1, overage = overage - 1 WHERE overage > 0", {"overage"}),
        ("UPDATE cycles SET adjustments = adjustments - 1", {"adjustments"}),
        ("UPDATE entries SET adjustment = 0, source = adjustment WHERE kind = 'adjustment'", {"adjustments"}),
        ("DELETE FROM entries WHERE kind = 'adjustment'", {"given", "adjustments"}),
        ("DELETE FROM entries WHERE kind = 'settle'", {"used", "settled"}),
        ("UPDATE usage_days SET credits = 0", {"by day"}),
        ("DELETE FROM usage_days", {"by day", "requests by day"}),
        ("UPDATE reservations SET bound = 0", {"held", "reserved"}),
        ("UPDATE accounts SET reserved = 0", {"reserved"}),
        ("DELETE FROM settlements", {"settled", "by day", "requests by day"}),
        ("UPDATE settlements SET input_tokens = 1", {"price"}),
        ("UPDATE settlements SET model = 'claude-haiku-4-5'", {"price"}),
        ("UPDATE settlements SET model = 'claude-7'", {"price"}),
        ("UPDATE settlements SET catalogue_version = '2020-01-01'", {"price"}),
        ("UPDATE cycles SET cycle_end = cycle_end + interval '1 day'", {"overlap"}),
        ("UPDATE cycles SET cycle_end = cycle_end - interval '1 day'", {"gap"}),
    ],
)
async def test_each_thing_that_is_tampered_with_is_found(
    reconciler: Reconciler,
    accounts: Accounts,
    metering: Metering,
    alice: Principal,
    clock: FrozenClock,
    owner: psycopg.Connection,
    statement: str,
    what: set[str],
) -> None:
    await accounts.add_overage(alice.org_id, credits_=10, pack_id="pack")
    await accounts.adjust(alice.org_id, credits_=Decimal(5), reason=Reason.GOODWILL, adjustment_id="a")
    await use(metering, alice, clock)
    clock.advance(timedelta(days=31))
    await metering.reserve(demand(alice, clock))
    report = await reconciler.report()
    assert report is not None
    assert report.found == ()
    # The statement is of this file.
    owner.execute(statement.encode())
    clock.advance(timedelta(hours=1))
    report = await reconciler.report()
    assert report is not None
    assert {key.split(" ", 2)[2].removesuffix(f" {key[-26:]}") for key in report.found} == what
    _, lines = await accounts.reconcile(alice.org_id)
    assert [line.split(":")[0] for line in lines] != []


async def test_a_settlement_changed_in_every_book_is_found_by_its_price(
    accounts: Accounts, metering: Metering, alice: Principal, clock: FrozenClock, owner: psycopg.Connection
) -> None:
    opened = clock.now().isoformat()
    cheap = demand(alice, clock, output=100, model=HAIKU)
    assert await metering.settle([settlement(cheap, clock.now())]) == [0]
    await use(metering, alice, clock)
    owner.execute("UPDATE settlements SET credits = credits - 1 WHERE model = %s", (HAIKU,))
    owner.execute(
        "UPDATE entries SET used = used - 1, allotment = allotment + 1 WHERE entry_id = %s", (cheap.request_id,)
    )
    owner.execute("UPDATE cycles SET used = used - 1")
    owner.execute("UPDATE usage_days SET credits = credits - 1 WHERE model = %s", (HAIKU,))
    line = f"{alice.org_id} {opened} price {cheap.request_id}: balance 32, its catalogue 33"
    assert await accounts.reconcile(None) == (1, [line])


async def test_months_ago_is_left_to_the_operators_own_look(
    reconciler: Reconciler, accounts: Accounts, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    await use(metering, alice, clock)
    # A hold that outlives its month is in the account's balance all the same.
    clock.advance(timedelta(days=30, hours=23, minutes=55))
    assert (await metering.reserve(demand(alice, clock))).reserved
    await rows(db, alice.org_id, "UPDATE cycles SET used = used + 1 RETURNING 1")
    clock.advance(timedelta(days=70))
    await accounts.roll(alice.org_id)
    report = await reconciler.report()
    assert report is not None
    assert report.found == ()
    checked, lines = await accounts.reconcile(alice.org_id)
    assert (checked, len(lines)) == (1, 1)


async def test_it_runs_by_itself(db: Database, alice: Principal, clock: FrozenClock) -> None:
    running = asyncio.create_task(Reconciler(db, clock, AuditTrail(clock), pause=timedelta(milliseconds=10)).run())
    kept: list[tuple] = []
    for count in (1, 2):
        for _ in range(1000):
            kept = await rows(db, alice.org_id, "SELECT count(*) FROM reconciliations")
            if kept == [(count,)]:
                break
            await asyncio.sleep(0.01)
        assert kept == [(count,)]
        clock.advance(timedelta(hours=1))
    running.cancel()
