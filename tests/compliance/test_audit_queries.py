"""Questions to the audit log: every filter, alone and with the others, page by page, while entries arrive, and at a price."""

import asyncio
import importlib
import itertools
import json
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from services.chassis.access import OrgId, Principal
from services.chassis.database import Database
from services.compliance.domain.leaves import Actor, Entry, Event
from services.compliance.store import entries
from services.compliance.store.entries import Filter
from services.compliance.usecases.audit_log import AuditIntake, AuditLog
from tests.compliance.support import NOON, event, placed, sequencing
from tests.postgres import DatabaseUrls

NAMED = ("action", "entity_type", "entity_id", "actor_id")


def some_event(org_id: OrgId, dice: random.Random, at: datetime) -> Event:
    kind = dice.choice(["api_key", "agent", "budget"])
    return event(
        org_id,
        action=f"{kind}.{dice.choice(['made', 'changed'])}",
        entity_type=kind,
        entity_id=f"entity {dice.randrange(4)}",
        actor=Actor("api_key", f"actor {dice.randrange(3)}"),
        created_at=at,
    )


def some_filter(dice: random.Random, at: datetime, minutes: int) -> Filter:
    """Each filter by chance; times around `at`."""
    like = some_event(OrgId(""), dice, at)
    said = {
        "action": like.action,
        "entity_type": like.entity_type,
        "entity_id": like.entity_id,
        "actor_id": like.actor.id,
    }
    named: dict[str, Any] = {name: value for name, value in said.items() if dice.random() < 0.35}
    if dice.random() < 0.5:
        named["since"] = at + timedelta(minutes=dice.randrange(-5, minutes + 5))
    if dice.random() < 0.5:
        named["until"] = at + timedelta(minutes=dice.randrange(-5, minutes + 5))
    return Filter(**named)


def fits(told: Event, chosen: Filter) -> bool:
    return (
        chosen.action in (None, told.action)
        and chosen.entity_type in (None, told.entity_type)
        and chosen.entity_id in (None, told.entity_id)
        and chosen.actor_id in (None, told.actor.id)
        and (chosen.since is None or told.created_at >= chosen.since)
        and (chosen.until is None or told.created_at < chosen.until)
    )


async def pages(log: AuditLog, caller: Principal, chosen: Filter, limit: int) -> AsyncIterator[list[Entry]]:
    before: int | None = None
    while page := await log.list(caller, chosen, before=before, limit=limit):
        yield page
        before = page[-1].seq


@pytest.mark.parametrize("late", ["never", "sometimes", "by chance"])
async def test_any_filters_together_find_what_they_say_and_nothing_else(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal, mallory: Principal, late: str
) -> None:
    dice = random.Random(late)
    minutes, told = 60, list[Event]()
    async with sequencing(db):
        for number in range(120):
            at = NOON + timedelta(seconds=30 * number)
            if late == "sometimes" and dice.random() < 0.05:  # after an outage of the one that told it
                at -= timedelta(minutes=dice.randrange(60))
            elif late == "by chance":
                at = NOON + timedelta(minutes=dice.randrange(minutes))
            told.append(some_event(alice.org_id, dice, at))
            await intake.append([told[-1], some_event(mallory.org_id, dice, at)])
            if number % 10 == 9:
                await placed(db)
    everything = [entry async for page in pages(log, alice, Filter(), 50) for entry in page]
    assert sorted(entry.event.id for entry in everything) == sorted(each.id for each in told)
    for _ in range(60):
        chosen, limit = some_filter(dice, NOON, minutes), dice.choice([1, 7, 200])
        found = [entry async for page in pages(log, alice, chosen, limit) for entry in page]
        assert found == [entry for entry in everything if fits(entry.event, chosen)], chosen


@pytest.mark.parametrize("seed", range(4))
async def test_pages_neither_miss_nor_repeat_while_entries_arrive(
    db: Database, intake: AuditIntake, log: AuditLog, alice: Principal, seed: int
) -> None:
    dice = random.Random(seed)
    clock = itertools.count()

    def next_event() -> Event:
        at = NOON + timedelta(seconds=next(clock) - (dice.randrange(600) if dice.random() < 0.1 else 0))
        return some_event(alice.org_id, dice, at)

    enough = asyncio.Event()

    async def arrive() -> None:
        while not enough.is_set():
            await intake.append([next_event() for _ in range(dice.randrange(1, 4))])
            await asyncio.sleep(0.01)

    async with sequencing(db):
        await intake.append([next_event() for _ in range(200)])
        await placed(db)
        writers = [asyncio.create_task(arrive()) for _ in range(2)]
        for number in range(8):
            # One whose time ends amid what arrives, one that is open, and the rest by chance.
            chosen = (
                (Filter(until=NOON + timedelta(seconds=400)), Filter())[number]
                if number < 2
                else some_filter(dice, NOON, 10)
            )
            there = [entry async for page in pages(log, alice, chosen, 200) for entry in page]
            found = list[Entry]()
            async for page in pages(log, alice, chosen, dice.choice([7, 20])):
                found += page
                await asyncio.sleep(0)
            seqs = [entry.seq or 0 for entry in found]
            assert seqs == sorted(set(seqs), reverse=True)
            assert all(fits(entry.event, chosen) for entry in found)
            # What was there before the first page is on the pages; what arrived later may only be in front of it.
            assert found[len(found) - len(there) :] == there
        enough.set()
        await asyncio.gather(*writers)
        await placed(db)


class Explaining:
    """A transaction whose statements are explained as they run."""

    def __init__(self, tx: Any) -> None:
        self._tx = tx
        self.plans: list[Any] = []

    async def execute(self, statement: Any) -> Any:
        sql = str(statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))
        explained = await self._tx.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}".replace(":", r"\:")))
        self.plans.append(explained.scalar_one()[0]["Plan"])
        return await self._tx.execute(statement)


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


_MANY = 20_000
_AT = {share: NOON + timedelta(minutes=_MANY * share / 100) for share in (1, 10, 50, 60, 99)}


@pytest.fixture
async def many(urls: DatabaseUrls, db: Database, alice: Principal) -> None:
    """Twenty thousand entries, one a minute, all but a few of one kind; one in a thousand told an hour late."""
    async with db.hot.connection() as connection:
        for start in range(0, _MANY, 2000):
            await connection.execute(
                """
                INSERT INTO audit_entries (org_id, id, seq, action, entity_type, entity_id, actor_id, created_at, leaf, leaf_hash)
                SELECT %(org)s, 'entry ' || n, n, kind || '.made', kind, CASE kind WHEN 'rare' THEN 'one' ELSE 'entity ' || n END,
                       CASE kind WHEN 'rare' THEN 'few' ELSE 'actor ' || n %% 5 END, at, %(leaf)s, sha256(''::bytea)
                  FROM (SELECT n, CASE WHEN n %% 1000 = 7 THEN 'rare' ELSE 'common' END AS kind,
                               %(noon)s::timestamptz + n * interval '1 minute' - CASE n %% 1000 WHEN 3 THEN 60 ELSE 0 END * interval '1 minute' AS at
                          FROM generate_series(%(start)s::bigint, %(start)s + 1999) AS n) AS made
                """,
                {"org": alice.org_id, "start": start, "noon": NOON, "leaf": _leaf(alice.org_id)},
            )
    with psycopg.connect(urls.owner_url, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE audit_entries")


def _leaf(org_id: OrgId) -> bytes:
    told = event(org_id, metadata={"filling": "x" * 300})
    return json.dumps(
        {
            "id": told.id,
            "org_id": org_id,
            "action": "a.b",
            "entity_type": "a",
            "entity_id": "b",
            "user_id": None,
            "actor": {"type": "api_key", "id": "c"},
            "ip_address": None,
            "request_id": None,
            "metadata": told.metadata,
            "created_at": NOON.isoformat(),
        }
    ).encode()


@pytest.mark.usefixtures("many")
async def test_no_question_reads_or_sorts_the_whole_log(db: Database, alice: Principal) -> None:
    questions = [
        (Filter(), None),
        (Filter(), _MANY // 2),
        *((Filter(action=action), None) for action in ("common.made", "rare.made", "no.such")),
        *((Filter(entity_type=kind), None) for kind in ("common", "rare", "none")),
        *((Filter(entity_id=entity), None) for entity in ("one", "entity 5", "none")),
        *((Filter(actor_id=actor), None) for actor in ("actor 1", "few", "nobody")),
        *((Filter(since=_AT[share]), None) for share in _AT),
        *((Filter(until=_AT[share]), None) for share in _AT),
        (Filter(since=_AT[10], until=_AT[60]), None),
        (Filter(since=_AT[10], until=_AT[60]), _MANY // 2),
        (Filter(since=_AT[10], until=_AT[60]), _MANY // 10 + 20),
        (Filter(action="common.made", until=_AT[10]), None),
        (Filter(entity_type="common", since=_AT[1], until=_AT[10]), None),
        (Filter(actor_id="actor 1", since=_AT[10], until=_AT[60]), None),
        (
            Filter(
                action="rare.made", entity_type="rare", entity_id="one", actor_id="few", since=_AT[1], until=_AT[99]
            ),
            None,
        ),
    ]
    for chosen, before in questions:
        async with db.transaction(alice.org_id) as tx:
            explaining: Any = Explaining(tx)
            await entries.list_entries(explaining, alice.org_id, chosen, before=before, limit=51)
        for node in itertools.chain.from_iterable(map(nodes, explaining.plans)):
            assert node["Node Type"] != "Seq Scan" or node["Relation Name"] == "audit_times", (chosen, node)
            # Sixty are late by an hour: what lies in between is all that a bound lets through.
            assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) < 700, (chosen, node)


async def test_times_are_noted_by_whatever_writes_entries_and_nothing_is_lost_where_they_are_not(
    urls: DatabaseUrls, db: Database, intake: AuditIntake, log: AuditLog, alice: Principal
) -> None:
    async with sequencing(db):
        for minutes in (0, 10, 2, 20, 19):
            await intake.append([event(alice.org_id, created_at=NOON + timedelta(minutes=minutes))])
            await placed(db)
    chosen = Filter(since=NOON + timedelta(minutes=2), until=NOON + timedelta(minutes=3))
    with psycopg.connect(urls.owner_url, options="-c hasp.org_id=*") as owner:
        rows = owner.execute("SELECT * FROM audit_times").fetchall()
        assert rows == [(alice.org_id, NOON + timedelta(minutes=20), timedelta(minutes=8))]
        assert [entry.seq for entry in await log.list(alice, chosen, before=None, limit=5)] == [2]
        owner.execute("DELETE FROM audit_times")
        # What the migration finds is what the trigger noted.
        owner.execute(migration("0007_audit_queries").FILL_IN)
        assert owner.execute("SELECT * FROM audit_times").fetchall() == rows
        owner.execute("DELETE FROM audit_times")
    assert [entry.seq for entry in await log.list(alice, chosen, before=None, limit=5)] == [2]


def migration(name: str) -> Any:
    return importlib.import_module(f"services.compliance.migrations.versions.{name}")
