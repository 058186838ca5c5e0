"""Records, and what was said in them, are deleted after the days an organization keeps them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf import json_format
from psycopg import sql

from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.ulids import lowest_ulid
from services.inference.domain.settings import MOST_RETENTION_DAYS
from services.inference.store import retention
from services.inference.usecases.retention import Retention
from tests.inference.conftest import House, Refused, Simulator
from tests.inference.test_chat import ask, chat, refused
from tests.inference.test_records import get


async def age(house: House, principal: Principal, *, days: int) -> None:
    """Everything of the organization is older: ids tell their time, so they change with it, and turns are sealed to their id."""
    org_id, made = principal.org_id, datetime.now(UTC) - timedelta(days=days)
    async with house.db.hot.connection() as connection, connection.transaction():
        turns = await connection.execute(
            "DELETE FROM conversation_turns WHERE org_id = %s RETURNING conversation_id, request_id, turn", (org_id,)
        )
        for conversation_id, request_id, turn in await turns.fetchall():
            row = f"{conversation_id}/{request_id}"
            said = await house.ground.sealer.open(org_id, table="conversation_turns", row=row, sealed=bytes(turn))
            older = lowest_ulid(made)[:10] + request_id[10:]
            sealed = await house.ground.sealer.seal(
                org_id, table="conversation_turns", row=f"{conversation_id}/{older}", plaintext=said
            )
            await connection.execute(
                "INSERT INTO conversation_turns VALUES (%s, %s, %s, %s)", (org_id, conversation_id, older, sealed)
            )
        await connection.execute(
            "UPDATE records SET request_id = %s || right(request_id, 16) WHERE org_id = %s",
            (lowest_ulid(made)[:10], org_id),
        )


async def settled(house: House) -> None:
    """What is owed for every record has been delivered."""
    await house.eventually(lambda: not house.inference.runs.running)
    async with asyncio.timeout(5):
        while await house.rows("SELECT 1 FROM outbox"):  # noqa: ASYNC110 - the database says when
            await asyncio.sleep(0.02)


def told(house: House, principal: Principal) -> list[dict[str, Any]]:
    """The metadata of the events of this organization that say that something expired."""
    return [
        {name: int(value) if isinstance(value, float) else value for name, value in said.items()}
        for said in (
            json_format.MessageToDict(event.metadata)
            for event in house.agreements.events.values()
            if event.org_id == principal.org_id and event.action == "inference.expired"
        )
    ]


async def ids(house: House, principal: Principal) -> list[str]:
    rows = await house.rows("SELECT request_id FROM records WHERE org_id = %s ORDER BY 1", principal.org_id)
    return [request_id for (request_id,) in rows]


async def test_the_record_goes_with_what_was_said(house: House, alice: Principal, mallory: Principal) -> None:
    for principal in (alice, mallory):
        await ask(house, principal, "How is John Smith?")
        await settled(house)
        await age(house, principal, days=31)
    (old,) = await ids(house, alice)
    await house.inference.settings.update(alice, {"retention_days": 30})
    kept = await ask(house, alice, "And how is he today?")
    await settled(house)
    assert await house.inference.retention.expire() == 1
    assert await house.inference.retention.expire() == 0
    with pytest.raises(Refused) as caught:
        await get(house, alice, old)
    assert (caught.value.failure.reason, caught.value.failure.http_status) == ("RESOURCE_NOT_FOUND", 404)
    assert (await get(house, alice, kept["data"]["message"]["id"]))["messages"] is not None
    assert len(await ids(house, mallory)) == 1
    for table in ("conversations", "conversation_turns"):
        rows = await house.rows(sql.SQL("SELECT org_id FROM {}").format(sql.Identifier(table)))
        assert sorted(rows) == sorted([(alice.org_id,), (mallory.org_id,)])


async def test_what_expired_is_in_the_audit_with_counts_and_the_horizon(
    house: House, alice: Principal, mallory: Principal
) -> None:
    await ask(house, mallory, "Hello")
    for _ in range(3):
        await ask(house, alice, "How is John Smith?")
    await settled(house)
    await age(house, alice, days=2556)
    before = datetime.now(UTC) - timedelta(days=2555)
    assert await house.inference.retention.expire() == 3
    assert await house.inference.retention.expire() == 0
    await settled(house)
    (said,) = told(house, alice)
    horizon = datetime.fromisoformat(said.pop("before"))
    assert before <= horizon <= before + timedelta(minutes=1)
    assert said == {"records": 3, "turns": 3, "conversations": 3, "retention_days": 2555}
    assert told(house, mallory) == []
    (event,) = [event for event in house.agreements.events.values() if event.action == "inference.expired"]
    assert (event.actor_type, event.entity_type, event.entity_id) == ("system", "settings", alice.org_id)


async def test_nothing_goes_without_its_event(house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(house, alice, "How is John Smith?")
    await settled(house)
    await age(house, alice, days=3000)

    async def fails(*_: Any, **__: Any) -> str:
        raise psycopg.OperationalError("the server closed the connection")

    trail = AuditTrail(house.ground.clock)
    monkeypatch.setattr(house.inference.retention, "_trail", trail)
    monkeypatch.setattr(trail, "record", fails)
    with pytest.raises(psycopg.OperationalError):
        await house.inference.retention.expire()
    assert len(await ids(house, alice)) == 1
    assert len(await house.rows("SELECT 1 FROM conversation_turns")) == 1
    monkeypatch.undo()
    assert await house.inference.retention.expire() == 1


async def test_batches_of_several_replicas_delete_each_record_once(house: House, alice: Principal) -> None:
    for _ in range(7):
        await ask(house, alice, "Hello")
    await settled(house)
    await age(house, alice, days=3000)
    ground = house.ground
    replicas = [
        Retention(ground.db, ground.clock, ground.sealer, AuditTrail(ground.clock), ground.relay, most=2)
        for _ in range(3)
    ]
    assert sum(await asyncio.gather(*(replica.expire() for replica in replicas))) == 7
    assert await ids(house, alice) == []
    await settled(house)
    said = told(house, alice)
    assert (sum(each["records"] for each in said), sum(each["conversations"] for each in said)) == (7, 7)
    assert all(1 <= each["records"] <= 2 for each in said)


async def test_what_has_not_ended_or_is_still_owed_stays(house: House, alice: Principal) -> None:
    for _ in range(4):
        await ask(house, alice, "Hello")
    await settled(house)
    await age(house, alice, days=3000)
    running, unsettled, untold, _ = await ids(house, alice)
    async with house.db.hot.connection() as connection:
        await connection.execute("UPDATE records SET status = 'dispatched' WHERE request_id = %s", (running,))
        await connection.execute(
            "INSERT INTO outbox (org_id, topic, id, payload, due_at)"
            " SELECT org_id, 'billing.settle', request_id, ''::bytea, 'infinity'::timestamptz FROM records WHERE request_id = %s"
            " UNION ALL SELECT org_id, 'compliance.audit', audit_ids[1], '', 'infinity' FROM records WHERE request_id = %s",
            (unsettled, untold),
        )
    assert await house.inference.retention.expire() == 1
    assert await ids(house, alice) == [running, unsettled, untold]
    assert len(await house.rows("SELECT 1 FROM conversation_turns")) == 3
    async with house.db.hot.connection() as connection:
        await connection.execute("UPDATE records SET status = 'failed' WHERE request_id = %s", (running,))
        await connection.execute("DELETE FROM outbox WHERE due_at = 'infinity'")
    assert await house.inference.retention.expire() == 3
    assert await ids(house, alice) == []


async def test_shortening_counts_from_the_next_pass_and_lengthening_brings_nothing_back(
    house: House, alice: Principal
) -> None:
    await ask(house, alice, "Hello")
    await settled(house)
    await age(house, alice, days=20)
    assert await house.inference.retention.expire() == 0
    await house.inference.settings.update(alice, {"retention_days": 10})
    assert await house.inference.retention.expire() == 1
    await house.inference.settings.update(alice, {"retention_days": 2555})
    assert await house.inference.retention.expire() == 0
    assert await ids(house, alice) == []
    await settled(house)
    assert house.agreements.actions().count("settings.updated") == 2


async def test_the_longest_time_reaches_back_before_there_were_ids(house: House, alice: Principal) -> None:
    await ask(house, alice, "Hello")
    await settled(house)
    await house.inference.settings.update(alice, {"retention_days": MOST_RETENTION_DAYS})
    assert await house.inference.retention.expire() == 0
    assert len(await ids(house, alice)) == 1


async def test_a_conversation_that_goes_on_loses_its_old_turns_and_their_values(house: House, alice: Principal) -> None:
    first = await ask(house, alice, "How is John Smith?")
    conversation_id = first["data"]["conversation_id"]
    await settled(house)
    await age(house, alice, days=31)
    await ask(house, alice, "And 536-22-8812?", conversation_id=conversation_id)
    await settled(house)
    await house.inference.settings.update(alice, {"retention_days": 30})
    conversations = house.inference.chat._conversations
    assert "John Smith" in (await conversations.get(alice, conversation_id)).placeholders
    assert await house.inference.retention.expire() == 1
    kept = await conversations.get(alice, conversation_id)
    assert [said for said, _ in kept.turns] == ["And 536-22-8812?"]
    assert "536-22-8812" in kept.placeholders
    assert "John Smith" not in kept.placeholders
    assert await house.rows("SELECT 1 FROM conversations WHERE outlived") == []
    again = await ask(house, alice, "536-22-8812, and John Smith?", conversation_id=conversation_id)
    assert "536-22-8812, and John Smith?" in again["data"]["message"]["content"]


async def test_values_are_taken_out_by_the_next_pass_where_this_one_died(house: House, alice: Principal) -> None:
    first = await ask(house, alice, "How is John Smith?")
    conversation_id = first["data"]["conversation_id"]
    await settled(house)
    await age(house, alice, days=3000)
    await ask(house, alice, "And 536-22-8812?", conversation_id=conversation_id)
    await settled(house)
    assert await house.inference.retention._batch(alice.org_id) == 1  # and then the process is killed
    assert await house.inference.retention.expire() == 0
    kept = await house.inference.chat._conversations.get(alice, conversation_id)
    assert "John Smith" not in kept.placeholders
    assert "536-22-8812" in kept.placeholders


async def test_a_conversation_in_which_somebody_speaks_stays(
    house: House, alice: Principal, simulator: Simulator
) -> None:
    first = await ask(house, alice, "Hello")
    conversation_id = first["data"]["conversation_id"]
    await settled(house)
    await age(house, alice, days=3000)
    asked = len(simulator.requests())
    speaking = asyncio.create_task(ask(house, alice, "[[sim:delay_ms=700]] again", conversation_id=conversation_id))
    await house.eventually(lambda: len(simulator.requests()) > asked)
    assert await house.inference.retention.expire() == 1
    assert (await speaking)["success"] is True
    kept = await house.inference.chat._conversations.get(alice, conversation_id)
    assert len(kept.turns) == 1


async def test_a_conversation_that_expired_is_not_gone_on_with(house: House, alice: Principal) -> None:
    first = await ask(house, alice, "Hello")
    await settled(house)
    await age(house, alice, days=3000)
    assert await house.inference.retention.expire() == 1
    failure = await refused(house, alice, "again", stream=False, conversation_id=first["data"]["conversation_id"])
    assert (failure.reason, failure.http_status) == ("RESOURCE_NOT_FOUND", 404)


async def test_a_repeat_of_what_expired_runs_nothing(house: House, alice: Principal, simulator: Simulator) -> None:
    headers = {"idempotency_key": "k1"}
    first = await chat(house, alice, "Hello", stream=False, headers=headers)
    await settled(house)
    # A key is remembered for a day, and a record for one day at least: the key may come last by moments.
    house.inference.retention._clock = Later(timedelta(days=2556))
    assert await house.inference.retention.expire() == 1
    failure = await refused(house, alice, "Hello", stream=False, headers=headers)
    assert (failure.reason, failure.details["request_id"]) == ("DUPLICATE_REQUEST", first.json["meta"]["request_id"])
    assert len(simulator.requests()) == 1


class Later:
    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


async def test_empty_months_are_dropped_and_filled_ones_are_not(house: House, alice: Principal) -> None:
    async with house.db.hot.connection() as connection:
        await connection.execute("SELECT make_record_partitions(now() - interval '1 year', 6)")
    for days in (1, 330):
        await ask(house, alice, "Hello")
        await settled(house)
        await age(house, alice, days=days)
    count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'records'::regclass"
    assert await house.rows(count) == [(10,)]
    assert await retention.drop_empty_months(house.db) == 5
    assert await retention.drop_empty_months(house.db) == 0
    assert await house.rows(count) == [(5,)]
    assert len(await ids(house, alice)) == 2


async def test_a_reader_does_not_wait_long_for_a_month_to_be_dropped(house: House, alice: Principal) -> None:
    async with house.db.hot.connection() as connection:
        await connection.execute("SELECT make_record_partitions(now() - interval '1 year', 1)")
    async with house.db.hot.connection() as reading, reading.transaction():
        await reading.execute("SELECT count(*) FROM records")
        assert await retention.drop_empty_months(house.db) == 0
        await ask(house, alice, "Hello")
    assert await retention.drop_empty_months(house.db) == 1


async def test_months_have_partitions_of_their_own(house: House, alice: Principal) -> None:
    await ask(house, alice, "Hello")
    ((table,),) = await house.rows("SELECT tableoid::regclass::text FROM records")
    ((expected,),) = await house.rows("SELECT 'records_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')")
    assert table == expected
    async with house.db.hot.connection() as connection:
        await connection.execute("SELECT make_record_partitions(now() + interval '5 years', 2)")
    tables = await house.rows("SELECT count(*) FROM pg_inherits WHERE inhparent = 'records'::regclass")
    assert tables == [(6,)]


async def test_sealed_columns_are_stored_as_they_are_in_every_partition(house: House) -> None:
    stored = await house.rows(
        "SELECT DISTINCT attstorage::text FROM pg_attribute JOIN pg_inherits ON inhrelid = attrelid"
        " WHERE inhparent = 'records'::regclass AND attname IN ('request', 'answer')"
    )
    assert stored == [("e",)]
