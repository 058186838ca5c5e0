import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from services.chassis.access import OrgId, Principal
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.compliance.domain.leaves import Actor, leaf_hash, pieces
from services.compliance.store.entries import Filter
from services.compliance.usecases.audit_log import AuditIntake, AuditLog, IntakeTrail
from tests.compliance.support import NOON, count, event, placed, sequencing, waiting
from tests.postgres import DatabaseUrls

ALL = Filter()


async def test_an_event_can_be_read_from_its_intake_on(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal
) -> None:
    told = event(alice.org_id)
    await intake.append([told])
    waits = await log.get(alice, told.id)
    assert (waits.event, waits.seq, waits.leaf_hash) == (told, None, None)
    assert await log.list(alice, ALL, before=None, limit=10) == []
    async with sequencing(db):
        await placed(db)
    entry = await log.get(alice, told.id)
    assert (entry.event, entry.seq) == (told, 0)
    assert entry.leaf_hash == leaf_hash(pieces(told).at(0))
    assert await log.list(alice, ALL, before=None, limit=10) == [entry]


async def test_an_event_told_many_times_is_one_entry(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal
) -> None:
    told = event(alice.org_id)
    await intake.append([told, told])
    await intake.append([told])
    async with sequencing(db):
        await placed(db)
        await intake.append([told, event(alice.org_id)])
        await placed(db)
    entries = await log.list(alice, ALL, before=None, limit=10)
    assert [entry.seq for entry in entries] == [1, 0]
    assert entries[1].event == told


async def test_what_an_event_says_is_what_it_said_first(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal
) -> None:
    told = event(alice.org_id)
    await intake.append([told])
    await intake.append([replace(told, action="api_key.revoked")])
    async with sequencing(db):
        await placed(db)
    assert (await log.get(alice, told.id)).event == told


async def test_a_refused_event_keeps_its_whole_call_out(db: Database, intake: AuditIntake, alice: Principal) -> None:
    with pytest.raises(ValidationFailed):
        await intake.append([event(alice.org_id), event(alice.org_id, action="nonsense")])
    assert await waiting(db) == 0


async def test_a_refused_call_does_not_disturb_the_others(db: Database, intake: AuditIntake, alice: Principal) -> None:
    results = await asyncio.gather(
        *(intake.append([event(alice.org_id)]) for _ in range(20)),
        intake.append([event(alice.org_id, action="nonsense")]),
        return_exceptions=True,
    )
    assert [type(result) for result in results if result is not None] == [ValidationFailed]
    assert await waiting(db) == 20


async def test_every_organization_has_a_tree_of_its_own(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal, mallory: Principal
) -> None:
    hers = [event(alice.org_id) for _ in range(3)]
    his = [event(mallory.org_id) for _ in range(2)]
    await intake.append([hers[0], his[0], hers[1], his[1], hers[2]])
    async with sequencing(db):
        await placed(db)
    assert [entry.seq for entry in await log.list(alice, ALL, before=None, limit=10)] == [2, 1, 0]
    assert [entry.seq for entry in await log.list(mallory, ALL, before=None, limit=10)] == [1, 0]


async def test_another_organization_does_not_see_an_entry(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal, mallory: Principal
) -> None:
    told = event(alice.org_id)
    await intake.append([told])
    with pytest.raises(ResourceNotFound):
        await log.get(mallory, told.id)
    async with sequencing(db):
        await placed(db)
    with pytest.raises(ResourceNotFound):
        await log.get(mallory, told.id)
    assert await log.list(mallory, ALL, before=None, limit=10) == []


@pytest.mark.parametrize("entry_id", ["", "1", "01J0000000000000000000NONE", "01j00000000000000000000000"])
async def test_an_unknown_entry_is_not_found(log: AuditLog, alice: Principal, entry_id: str) -> None:
    with pytest.raises(ResourceNotFound):
        await log.get(alice, entry_id)


async def test_filters_hold_together(db: Database, intake: AuditIntake, log: AuditLog, alice: Principal) -> None:
    org = alice.org_id
    told = [
        event(org, action="api_key.created", entity_id="key1", created_at=NOON),
        event(org, action="api_key.revoked", entity_id="key1", created_at=NOON + timedelta(hours=1)),
        event(org, action="api_key.created", entity_id="key2", created_at=NOON + timedelta(hours=2)),
        event(org, action="baa.signed", entity_type="baa_acceptance", actor=Actor("operator", "cli")),
    ]
    for each in told:
        await intake.append([each])
    async with sequencing(db):
        await placed(db)

    async def found(chosen: Filter) -> list[int]:
        entries = await log.list(alice, chosen, before=None, limit=10)
        return [told.index(entry.event) for entry in entries]

    assert await found(Filter(action="api_key.created")) == [2, 0]
    assert await found(Filter(entity_type="api_key")) == [2, 1, 0]
    assert await found(Filter(entity_id="key1")) == [1, 0]
    assert await found(Filter(actor_id="cli")) == [3]
    assert await found(Filter(since=NOON + timedelta(hours=1))) == [2, 1]
    assert await found(Filter(until=NOON + timedelta(hours=1))) == [3, 0]
    assert await found(Filter(action="api_key.created", entity_id="key1", since=NOON, until=NOON)) == []


async def test_pages_stay_what_they_were_while_entries_arrive(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal
) -> None:
    async with sequencing(db):
        for _ in range(7):
            await intake.append([event(alice.org_id)])
        await placed(db)
        first = await log.list(alice, ALL, before=None, limit=3)
        await intake.append([event(alice.org_id) for _ in range(5)])
        await placed(db)
        second = await log.list(alice, ALL, before=first[-1].seq, limit=3)
        third = await log.list(alice, ALL, before=second[-1].seq, limit=3)
    assert [entry.seq for entry in [*first, *second, *third]] == [6, 5, 4, 3, 2, 1, 0]


async def test_compliance_records_its_own_events_with_their_effect_or_not_at_all(
    db: Database, log: AuditLog, alice: Principal
) -> None:
    trail = IntakeTrail(clock=_Noon())
    with pytest.raises(RuntimeError):
        await _record_and_fail(db, trail, alice.org_id)
    assert await waiting(db) == 0
    async with db.transaction(alice.org_id) as tx:
        entry_id = await trail.record(
            tx, org_id=alice.org_id, action="baa.signed", entity_type="baa_acceptance", entity_id="x"
        )
    entry = await log.get(alice, entry_id)
    assert entry.event.actor == Actor("system", "system")


class _Noon:
    def now(self):
        return NOON


async def _record_and_fail(db: Database, trail: IntakeTrail, org_id: OrgId) -> None:
    async with db.transaction(org_id) as tx:
        await trail.record(tx, org_id=org_id, action="baa.signed", entity_type="baa_acceptance", entity_id="x")
        raise RuntimeError


@pytest.fixture
async def one_entry(db: Database, intake: AuditIntake, alice: Principal) -> None:
    await intake.append([event(alice.org_id)])
    async with sequencing(db):
        await placed(db)


APPEND_ONLY = [
    "UPDATE {} SET action = 'x.y'",
    "UPDATE {} SET seq = 7",
    "DELETE FROM {}",
    "TRUNCATE {}",
]


@pytest.mark.parametrize("table", ["audit_entries", "audit_entries_1"])
@pytest.mark.parametrize("statement", APPEND_ONLY)
@pytest.mark.usefixtures("one_entry")
async def test_the_program_may_not_change_an_entry(urls: DatabaseUrls, statement: str, table: str) -> None:
    with psycopg.connect(urls.app_url, options="-c hasp.org_id=*") as app:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement.format(table).encode())


@pytest.mark.parametrize("table", ["audit_entries", "audit_entries_1"])
@pytest.mark.parametrize("statement", APPEND_ONLY)
@pytest.mark.usefixtures("one_entry")
async def test_the_tables_owner_cannot_change_an_entry_either(urls: DatabaseUrls, statement: str, table: str) -> None:
    with psycopg.connect(urls.owner_url, options="-c hasp.org_id=*") as owner:
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            owner.execute(statement.format(table).encode())


@pytest.mark.usefixtures("one_entry")
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
        "ALTER TABLE audit_entries_1 DISABLE TRIGGER ALL",
        "ALTER TABLE audit_entries DISABLE ROW LEVEL SECURITY",
        "DROP TABLE audit_entries",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "SET session_replication_role = replica",
        "INSERT INTO audit_entries_1 SELECT * FROM audit_entries",
    ],
)
async def test_the_program_may_not_take_the_guards_away(urls: DatabaseUrls, statement: str) -> None:
    with psycopg.connect(urls.app_url, options="-c hasp.org_id=*") as app:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement.encode())


@pytest.mark.usefixtures("one_entry")
async def test_rows_of_another_organization_are_hidden_in_every_table(
    urls: DatabaseUrls, db: Database, intake: AuditIntake, alice: Principal, mallory: Principal
) -> None:
    await intake.append([event(alice.org_id)])
    with psycopg.connect(urls.app_url, options=f"-c hasp.org_id={mallory.org_id}") as app:
        for table in ("audit_entries", "audit_intake", "audit_trees", "baa_acceptances"):
            assert app.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(
                "INSERT INTO audit_intake (org_id, id, action, entity_type, entity_id, actor_id, created_at, head, tail)"
                " VALUES (%s, 'x', 'a.b', 'a', 'b', 'c', now(), '', '')",
                (alice.org_id,),
            )
    assert await count(db, "SELECT count(*) FROM audit_intake") == 1


async def test_the_stored_leaf_is_the_documented_object(db: Database, intake: AuditIntake, alice: Principal) -> None:
    told = event(alice.org_id, metadata={"Ünicode": "žluťoučký 😀", "a": [1, {"b": None}]})
    await intake.append([told])
    async with sequencing(db):
        await placed(db)
    async with db.hot.connection() as connection:
        row = await (await connection.execute("SELECT leaf, leaf_hash FROM audit_entries")).fetchone()
    assert row is not None
    assert row[0] == pieces(told).at(0)
    assert row[1] == leaf_hash(row[0])
    assert json.loads(row[0])["metadata"] == told.metadata
