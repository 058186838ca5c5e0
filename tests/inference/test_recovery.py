"""Records of a process that died are settled once, from what was checkpointed."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.chassis.access import Principal
from services.inference.usecases import admission, runs
from tests.inference.conftest import House, Refused, Replica, Simulator
from tests.inference.test_streams import LONG, ask, call
from tests.postgres import DatabaseFactory


async def died(house: House) -> None:
    """The owner's lease runs out, as it does when its process is gone."""
    async with house.db.hot.connection() as connection:
        await connection.execute("UPDATE owners SET lease_until = now() - interval '1 second'")


async def freeze(house: House) -> None:
    """Nothing of this replica runs on by itself, and what it may still try is refused by the records' guard."""
    for task in house.tasks:
        task.cancel()
    await asyncio.gather(*house.tasks, return_exceptions=True)


async def test_a_dead_processs_stream_is_settled_from_its_checkpoint_by_one_replica(
    database_factory: DatabaseFactory, tls_dir: Path, tmp_path: Path, simulator: Simulator, alice: Principal
) -> None:
    url = database_factory("inference").app_url
    async with (
        Replica(url, tls_dir, tmp_path, simulator) as dead,
        Replica(url, tls_dir, tmp_path, simulator) as one,
        Replica(url, tls_dir, tmp_path, simulator) as two,
    ):
        stream = call(dead, alice, ask(LONG))
        async for body in stream:
            if b"well" in body.data:
                break
        rows: list[Any] = []
        async with asyncio.timeout(5):
            while not rows:
                await asyncio.sleep(0.05)
                rows = await dead.rows(
                    "SELECT request_id, input_tokens, output_tokens FROM records WHERE basis = 'counted'"
                )
        await freeze(dead)
        assert await one.inference.recovery.recover() == 0  # its lease still holds
        await died(dead)
        (ulid, input_tokens, output_tokens) = (
            await dead.rows("SELECT request_id, input_tokens, output_tokens FROM records")
        )[0]
        found = await asyncio.gather(*(house.inference.recovery.recover() for house in (one, two) * 3))
        assert sum(found) == 1
        await one.eventually(lambda: ulid in one.credits.settled or ulid in two.credits.settled)
        settled = one.credits.settled | two.credits.settled
        assert (settled[ulid].basis, settled[ulid].undelivered) == ("counted", False)
        assert (settled[ulid].input_tokens, settled[ulid].output_tokens) == (input_tokens, output_tokens)
        assert settled[ulid].output_tokens > 0
        await one.eventually(lambda: one.agreements.events | two.agreements.events)
        events = one.agreements.events | two.agreements.events
        assert [event.action for event in events.values()] == ["inference.failed"]
        # The dead process wakes up and wants to end its run: the record is no longer its own.
        stream.cancel()
        await dead.inference.runs.drained()
        assert await one.rows("SELECT status, error_code FROM records") == [("failed", "SERVICE_UNAVAILABLE")]
        async with asyncio.timeout(5):
            while await one.rows("SELECT 1 FROM outbox"):  # noqa: ASYNC110 - the database says when
                await asyncio.sleep(0.02)
        assert one.credits.told + two.credits.told == 1


async def test_without_a_checkpoint_the_basis_is_unknown(house: House, alice: Principal, simulator: Simulator) -> None:
    asking = asyncio.create_task(house.create(alice, ask("[[sim:delay_ms=1500]]", stream=False)))
    await house.eventually(simulator.requests)
    async with house.db.hot.connection() as connection:
        await connection.execute("UPDATE records SET owner_id = 'somebody else'")
    assert await house.inference.recovery.recover() == 1
    await house.eventually(lambda: house.credits.settled)
    (settled,) = house.credits.settled.values()
    assert (settled.basis, settled.output_tokens) == ("unknown", 0)
    assert settled.input_tokens == house.credits.wanted[0].input_bound
    assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], Exception)
    assert house.credits.told == 1


async def test_a_dispatch_whose_confirmation_was_lost_never_left(house: House, alice: Principal) -> None:
    await house.create(alice, ask("", stream=False))
    await house.eventually(lambda: house.credits.settled and house.agreements.events)
    async with house.db.hot.connection() as connection:
        await connection.execute(
            "UPDATE records SET status = 'dispatched', audit_ids = '{}', created_at = now() - interval '2 minutes'"
        )
    house.credits.settled.clear()
    assert await house.inference.recovery.recover() == 1
    assert await house.inference.recovery.recover() == 0
    await house.eventually(lambda: house.credits.settled)
    assert [settled.undelivered for settled in house.credits.settled.values()] == [True]


async def test_running_requests_are_left_alone(house: House, alice: Principal, simulator: Simulator) -> None:
    asking = asyncio.create_task(house.create(alice, ask("[[sim:delay_ms=500]]", stream=False)))
    await house.eventually(simulator.requests)
    async with house.db.hot.connection() as connection:
        await connection.execute("UPDATE records SET created_at = now() - interval '2 minutes'")
    assert await house.inference.recovery.recover() == 0
    await asking


async def test_an_ending_the_database_did_not_take_is_told_again(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_COMMIT_TRIES", 1)
    taken = house.inference.runs._endings._run
    away = True

    async def sometimes(items: Any) -> Any:
        if away:
            raise psycopg.OperationalError("the server closed the connection")
        return await taken(items)

    monkeypatch.setattr(house.inference.runs._endings, "_run", sometimes)
    with pytest.raises(Refused) as caught:
        await house.create(alice, ask("", stream=False))
    assert caught.value.failure.http_status == 503
    assert await house.inference.recovery.recover() == 0
    away = False
    await house.eventually(lambda: house.credits.settled)
    (settled,) = house.credits.settled.values()
    assert (settled.basis, settled.undelivered) == ("reported", False)


async def test_a_reservation_is_given_back_when_the_record_cannot_be_made(house: House, alice: Principal) -> None:
    async def away(*_: Any, **__: Any) -> bytes:
        raise psycopg.OperationalError("the server closed the connection")

    house.inference.messages._engine.sealer.seal = away
    with pytest.raises(Refused) as caught:
        await house.create(alice, ask("", stream=False))
    assert caught.value.failure.reason == "SERVICE_UNAVAILABLE"
    assert len(house.credits.released) == 1


async def test_billing_that_does_not_answer_is_told_later_to_let_go(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_SETTLED_BY_THEN", timedelta(0))
    house.credits.down = True
    with pytest.raises(Refused):
        await house.create(alice, ask("", stream=False))
    house.credits.down = False
    await house.eventually(lambda: house.credits.settled)
    assert [settled.undelivered for settled in house.credits.settled.values()] == [True]
