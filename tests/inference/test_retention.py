"""What was said is forgotten after the days an organization keeps it."""

from psycopg import sql

from services.chassis.access import Principal
from tests.inference.conftest import House
from tests.inference.test_chat import ask
from tests.inference.test_records import get


async def age(house: House, principal: Principal, *, days: int) -> None:
    """Everything of the organization is older: ids tell their time, so they change with it."""
    old = {"org": principal.org_id, "days": days}
    older = "overlay(lowest_ulid(now() - make_interval(days => %(days)s)) placing right(request_id, 16) from 11)"
    async with house.db.hot.connection() as connection:
        await connection.execute(
            sql.SQL("UPDATE records SET request_id = {} WHERE org_id = %(org)s").format(sql.SQL(older)), old
        )
        # A turn is never changed, only written and dropped.
        await connection.execute(
            sql.SQL(
                "WITH gone AS (DELETE FROM conversation_turns WHERE org_id = %(org)s RETURNING *)"
                " INSERT INTO conversation_turns SELECT org_id, conversation_id, {}, turn FROM gone"
            ).format(sql.SQL(older)),
            old,
        )
        await connection.execute(
            "UPDATE conversations SET created_at = now() - make_interval(days => %(days)s) WHERE org_id = %(org)s", old
        )


async def test_contents_go_and_the_record_stays(house: House, alice: Principal, mallory: Principal) -> None:
    for principal in (alice, mallory):
        await ask(house, principal, "How is John Smith?")
        await house.eventually(lambda: not house.inference.runs.running)
        await age(house, principal, days=31)
    await house.inference.settings.update(alice, {"retention_days": 30})
    kept = await ask(house, alice, "And how is he today?")
    assert await house.inference.retention.forget() == 1
    assert await house.inference.retention.forget() == 0
    rows = await house.rows(
        "SELECT org_id, request IS NULL, answer IS NULL, output_tokens > 0 FROM records ORDER BY request_id"
    )
    assert sorted(rows) == sorted(
        [
            (alice.org_id, True, True, True),
            (mallory.org_id, False, False, True),
            (alice.org_id, False, False, True),
        ]
    )
    assert len(await house.rows("SELECT 1 FROM conversations WHERE org_id = %s", alice.org_id)) == 1
    assert (await get(house, alice, kept["data"]["message"]["id"]))["messages"] is not None


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
