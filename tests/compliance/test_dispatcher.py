"""Deliveries to real receivers on this machine, from claim to record. Kills of real processes: test_deliveries_under_kills."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network

import pytest
import structlog
from standardwebhooks import Webhook

from services.chassis.access import Principal
from services.chassis.clock import Clock, SystemClock
from services.chassis.database import Database
from services.chassis.sealing import Sealer
from services.compliance.clients.destinations import Destinations, SystemResolver
from services.compliance.clients.receivers import Receivers, trust
from services.compliance.domain.destinations import Policy
from services.compliance.usecases.audit_log import IntakeTrail
from services.compliance.usecases.courier import Courier
from services.compliance.usecases.dispatcher import Dispatcher
from tests.compliance.deliveries import Outbox, body
from tests.compliance.receivers import Authority, Received, Receiver, hang, receiving, says, status
from tests.fakes import FrozenClock

Dispatching = Callable[..., AbstractAsyncContextManager[Dispatcher]]


@pytest.fixture
def outbox(db: Database, clock: FrozenClock, sealer: Sealer) -> Outbox:
    return Outbox(db, clock, sealer)


@pytest.fixture
async def receiver(authority: Authority) -> AsyncIterator[Receiver]:
    async with receiving(authority.context("127.0.0.1")) as receiver:
        yield receiver


@pytest.fixture
def dispatching(db: Database, clock: FrozenClock, sealer: Sealer, authority: Authority) -> Dispatching:
    """A dispatcher runs; tries may take half a second, unless told otherwise."""

    @asynccontextmanager
    async def start(*, lanes: int = 32, timeout: float = 0.5, at: Clock = clock) -> AsyncIterator[Dispatcher]:
        destinations = Destinations(Policy([ip_network("127.0.0.0/8")]), SystemResolver())
        receivers = Receivers(destinations, trust(authority.file), timeout=timeout)
        dispatcher = Dispatcher(db, at, Courier(db, at, sealer, IntakeTrail(at), receivers.send), lanes=lanes)
        task = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await receivers.close()

    return start


async def until(outbox: Outbox, delivery_id: str, wanted: str, *, attempts: int | None = None) -> tuple[object, ...]:
    """What is said of a delivery once it has that status, after so many tries."""
    async with asyncio.timeout(10):
        while True:
            row = await outbox.standing(delivery_id)
            if row[0] == wanted and attempts in {None, row[1]}:
                return row
            await asyncio.sleep(0.005)


async def audited(outbox: Outbox) -> list[str]:
    return [action for (action,) in await outbox.rows("SELECT action FROM audit_intake ORDER BY arrival")]


async def test_an_endpoint_is_told_in_order_each_event_once(
    alice: Principal, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    endpoint = await outbox.endpoint(alice.org_id, f"{receiver.url}/hook")
    told = await outbox.tell(endpoint, 60)
    async with dispatching(at=SystemClock()):
        await receiver.got(60)
        told += await outbox.tell(endpoint, 60)
        await until(outbox, told[-1], "delivered")
        await asyncio.sleep(0.2)
    assert receiver.ids == told
    assert receiver.connections == 1
    for received in receiver.received:
        event = Webhook(endpoint.secret).verify(received.body, received.header)
        assert received.body == body(event["id"], "api_key.created")
        assert received.header["x-hasp-webhook-id"] == received.id
    rows = await outbox.rows(
        "SELECT status, attempts, last_status, delivered_at >= first_attempt_at, ended_at = delivered_at"
        " FROM webhook_deliveries GROUP BY 1, 2, 3, 4, 5"
    )
    assert rows == [("delivered", 1, 200, True, True)]
    assert await outbox.rows("SELECT due_at = 'infinity', leased_until = '-infinity' FROM webhook_lanes") == [
        (True, True)
    ]


async def test_tries_follow_the_schedule_under_one_id_until_it_is_dead(
    alice: Principal, clock: FrozenClock, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    receiver.answer = status(503)
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)
    (delivery_id,) = await outbox.tell(endpoint)
    first = clock.now()
    async with dispatching():
        for attempt, after in enumerate((10, 60, 300, 1800, 7200), 1):
            due = first + timedelta(seconds=after)
            assert await until(outbox, delivery_id, "retrying", attempts=attempt) == ("retrying", attempt, 503, due)
            clock.advance(due - clock.now() - timedelta(milliseconds=1))
            await asyncio.sleep(0.15)
            assert len(receiver.received) == attempt
            clock.advance(timedelta(milliseconds=1))
            await receiver.got(attempt + 1)
        assert await until(outbox, delivery_id, "dead") == ("dead", 6, 503, None)
        clock.advance(timedelta(days=2))
        await asyncio.sleep(0.2)
    assert receiver.ids == [delivery_id] * 6
    assert len({received.body for received in receiver.received}) == 1
    assert await audited(outbox) == []


async def test_a_later_try_delivers(
    alice: Principal, clock: FrozenClock, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    """And does not hold up what comes after it."""
    receiver.answer = says(b"")
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)
    (first,) = await outbox.tell(endpoint)
    async with dispatching():
        assert await until(outbox, first, "retrying") == ("retrying", 1, None, clock.now() + timedelta(seconds=10))
        assert await outbox.rows("SELECT failing_since FROM webhook_endpoints") == [(clock.now(),)]
        receiver.answer = status(200)
        (second,) = await outbox.tell(endpoint)
        assert await until(outbox, second, "delivered") == ("delivered", 1, 200, None)
        assert await outbox.rows("SELECT failing_since FROM webhook_endpoints") == [(None,)]
        clock.advance(timedelta(seconds=10))
        assert await until(outbox, first, "delivered") == ("delivered", 2, 200, None)
    assert receiver.ids == [first, second, first]


async def test_while_a_secret_is_rotated_both_verify(
    alice: Principal, clock: FrozenClock, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)
    newer = await outbox.secret(alice.org_id, endpoint.id, former_for=timedelta(days=7))
    rotated = clock.now()
    async with dispatching():
        await outbox.tell(endpoint)
        (during,) = await receiver.got(1)
        clock.advance(timedelta(days=7))
        await outbox.tell(endpoint)
        (_, afterwards) = await receiver.got(2)
    signed = [Webhook(secret).sign(during.id, rotated, during.body.decode()) for secret in (newer, endpoint.secret)]
    assert during.header["webhook-signature"].split() == signed
    assert during.header["x-hasp-signature-256"] != during.header["x-hasp-signature-256-previous"]
    signed = [Webhook(newer).sign(afterwards.id, clock.now(), afterwards.body.decode())]
    assert afterwards.header["webhook-signature"].split() == signed
    assert "x-hasp-signature-256-previous" not in afterwards.header


async def test_one_that_does_not_answer_holds_up_nobody_and_is_left_alone(
    alice: Principal,
    mallory: Principal,
    clock: FrozenClock,
    outbox: Outbox,
    receiver: Receiver,
    authority: Authority,
    dispatching: Dispatching,
) -> None:
    async with receiving(authority.context("127.0.0.1"), hang) as silent:
        hanging = [await outbox.endpoint(mallory.org_id, silent.url) for _ in range(4)]
        waiting = [await outbox.tell(each, 100) for each in hanging]
        endpoint = await outbox.endpoint(alice.org_id, receiver.url)
        async with dispatching(lanes=2, timeout=0.3):
            told = await outbox.tell(endpoint, 20)
            await until(outbox, told[-1], "delivered")
            assert receiver.ids == told
            # Three tries each, and then one for each rest, which grows.
            for tries, rest in ((3, 10), (4, 20), (5, 40)):
                await silent.got(tries * len(hanging))
                await resting(outbox, clock.now() + timedelta(seconds=rest), len(hanging))
                clock.advance(timedelta(seconds=rest))
            silent.answer = status(200)
            await until(outbox, waiting[0][-1], "delivered")
        # Its first are tried again when they are due, and what was not tried has lost none of its tries.
        assert {
            row for (row,) in await outbox.rows("SELECT attempts FROM webhook_deliveries WHERE status = 'delivered'")
        } >= {1}


async def resting(outbox: Outbox, rests_until: object, many: int) -> None:
    async with asyncio.timeout(10):
        while True:
            (row,) = await outbox.rows("SELECT count(*) FROM webhook_lanes WHERE rests_until = %s", rests_until)
            if row == (many,):
                return
            await asyncio.sleep(0.01)


async def test_one_that_somebody_asks_for_while_it_does_not_answer_does_not_rest(
    alice: Principal, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    async def ask(received: Received, writer: asyncio.StreamWriter) -> None:
        await outbox.rows("UPDATE webhook_lanes SET silent = 0, rests_until = '-infinity'")
        receiver.answer = status(200)
        await hang(received, writer)

    receiver.answer = ask
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)
    await outbox.rows("UPDATE webhook_lanes SET silent = 9")
    told = await outbox.tell(endpoint, 2)
    async with dispatching(timeout=0.2):
        await until(outbox, told[1], "delivered")
    assert receiver.ids == told


async def test_lanes_take_turns(
    alice: Principal, outbox: Outbox, receiver: Receiver, authority: Authority, dispatching: Dispatching
) -> None:
    async with receiving(authority.context("127.0.0.1")) as busy:
        many = await outbox.endpoint(alice.org_id, busy.url)
        few = await outbox.endpoint(alice.org_id, receiver.url)
        told = await outbox.tell(many, 150)
        async with dispatching(lanes=1):
            await busy.got(1)
            await outbox.tell(few)
            await receiver.got(1)
            assert len(busy.received) < 150
            await until(outbox, told[-1], "delivered")
        assert busy.ids == told


async def test_two_dispatchers_share_and_no_endpoint_is_told_twice(
    alice: Principal, mallory: Principal, outbox: Outbox, authority: Authority, dispatching: Dispatching
) -> None:
    async with receiving(authority.context("127.0.0.1")) as receiver:
        endpoints = [
            await outbox.endpoint(org, receiver.url) for org in (alice.org_id, mallory.org_id) for _ in range(5)
        ]
        told = [await outbox.tell(endpoint, 30) for endpoint in endpoints]
        async with dispatching(lanes=3, at=SystemClock()), dispatching(lanes=3, at=SystemClock()):
            for ids in told:
                await until(outbox, ids[-1], "delivered")
            await asyncio.sleep(0.2)
    assert len(receiver.ids) == len(set(receiver.ids)) == 300
    for ids in told:
        assert [one for one in receiver.ids if one in set(ids)] == ids


async def test_five_days_of_failure_disable_an_endpoint(
    alice: Principal, clock: FrozenClock, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    receiver.answer = status(500)
    since = clock.now() - timedelta(days=5) + timedelta(seconds=10)
    endpoint = await outbox.endpoint(alice.org_id, receiver.url, failing_since=since)
    (first,) = await outbox.tell(endpoint)
    async with dispatching():
        await until(outbox, first, "retrying")
        assert await audited(outbox) == []
        clock.advance(timedelta(seconds=10))
        await until(outbox, first, "dead")
        assert (await outbox.standing(first))[1:3] == (2, 500)
        assert await outbox.rows("SELECT is_active FROM webhook_endpoints") == [(False,)]
        (left,) = await outbox.tell(endpoint)  # by whoever had looked before it was disabled
        assert await until(outbox, left, "dead") == ("dead", 0, None, None)
    assert len(receiver.received) == 2
    (audit,) = await outbox.rows("SELECT action, entity_type, entity_id, actor_id, org_id FROM audit_intake")
    assert audit == ("webhook.disabled", "webhook", endpoint.id, "system", alice.org_id)


async def test_a_test_that_arrives_makes_an_endpoint_active_again(
    alice: Principal, clock: FrozenClock, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    receiver.answer = status(404)
    since = clock.now() - timedelta(days=9)
    endpoint = await outbox.endpoint(alice.org_id, receiver.url, is_active=False, failing_since=since)
    (test,) = await outbox.tell(endpoint, event="webhook.test")
    async with dispatching():
        await until(outbox, test, "retrying")
        assert await outbox.rows("SELECT is_active, failing_since FROM webhook_endpoints") == [(False, since)]
        receiver.answer = status(200)
        clock.advance(timedelta(seconds=10))
        await until(outbox, test, "delivered")
        (told,) = await outbox.tell(endpoint)
        await until(outbox, told, "delivered")
    assert await outbox.rows("SELECT is_active, failing_since FROM webhook_endpoints") == [(True, None)]
    assert await audited(outbox) == ["webhook.enabled"]


async def test_an_endpoint_that_is_deleted_meanwhile_is_told_no_more(
    alice: Principal, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)

    async def delete(received: Received, writer: asyncio.StreamWriter) -> None:
        await outbox.rows("DELETE FROM webhook_endpoints WHERE id = %s", endpoint.id)
        await status(200)(received, writer)

    receiver.answer = delete
    await outbox.tell(endpoint, 5)
    other = await outbox.endpoint(alice.org_id, receiver.url)
    async with dispatching():
        await receiver.got(1)
        await asyncio.sleep(0.3)
        assert len(receiver.received) == 1
        receiver.answer = status(200)
        (told,) = await outbox.tell(other)
        await until(outbox, told, "delivered")


async def test_who_lost_its_lease_records_nothing(
    alice: Principal, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)

    async def take_over(received: Received, writer: asyncio.StreamWriter) -> None:
        await outbox.rows("UPDATE webhook_lanes SET epoch = epoch + 1, leased_until = 'infinity'")
        await status(200)(received, writer)

    receiver.answer = take_over
    told = await outbox.tell(endpoint, 3)
    async with dispatching():
        await receiver.got(1)
        await asyncio.sleep(0.3)
        assert [(await outbox.standing(each))[:2] for each in told] == [("pending", 0)] * 3
        receiver.answer = status(200)
        await outbox.rows("UPDATE webhook_lanes SET leased_until = '-infinity'")
        await until(outbox, told[-1], "delivered")
    assert receiver.ids == [told[0], *told]


async def test_a_body_whose_key_is_gone_is_dead_and_the_next_is_delivered(
    alice: Principal, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)
    lost, kept = await outbox.tell(endpoint, 2)
    await outbox.rows(
        "UPDATE webhook_events SET sealed = set_byte(sealed, 4, 9)"
        " WHERE id = (SELECT event_id FROM webhook_deliveries WHERE id = %s)",
        lost,
    )
    with structlog.testing.capture_logs() as logs:
        async with dispatching():
            await until(outbox, kept, "delivered")
    assert await outbox.standing(lost) == ("dead", 0, None, None)
    assert receiver.ids == [kept]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["webhook cannot be opened"]


async def test_a_stop_lets_what_is_on_its_way_arrive_and_leaves_the_rest_at_once(
    alice: Principal, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    async def slow(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await status(200)(received, writer)

    receiver.answer = slow
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)
    told = await outbox.tell(endpoint, 3)
    async with dispatching():
        await receiver.got(1)
    assert (await outbox.standing(told[0]))[0] == "delivered"
    receiver.answer = hang
    async with dispatching(timeout=10):
        await receiver.got(2)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert await outbox.standing(told[1]) == ("pending", 0, None, (await outbox.standing(told[1]))[3])
    receiver.answer = status(200)
    async with dispatching():
        await until(outbox, told[2], "delivered")
    assert receiver.ids == [told[0], told[1], told[1], told[2]]


async def test_a_database_that_goes_away_is_waited_for(
    alice: Principal, db: Database, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    endpoint = await outbox.endpoint(alice.org_id, receiver.url)
    told = await outbox.tell(endpoint, 5)

    async def cut(received: Received, writer: asyncio.StreamWriter) -> None:
        async with await db.connect() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
            )
        await status(200)(received, writer)

    receiver.answer = cut
    async with dispatching():
        await receiver.got(1)
        receiver.answer = status(200)
        await receiver.got(5)
        await db.hot.check()
        await until(outbox, told[-1], "delivered")
    assert receiver.ids == told


async def test_the_log_names_the_endpoint_and_nothing_that_could_be_a_secret(
    alice: Principal, outbox: Outbox, receiver: Receiver, dispatching: Dispatching
) -> None:
    receiver.answer = says(b"HTTP/1.1 500 secret-reason\r\nContent-Length: 11\r\n\r\nsecret-body")
    urls = (
        f"{receiver.url}/secret-path?secret-query",
        "https://127.0.0.1:1/secret-path",
        "https://10.1.2.3/secret-path",
    )
    endpoints = [await outbox.endpoint(alice.org_id, url) for url in urls]
    with structlog.testing.capture_logs() as logs:
        async with dispatching():
            for endpoint in endpoints:
                (told,) = await outbox.tell(endpoint)
                await until(outbox, told, "retrying")
    said = json.dumps(logs, default=str)
    assert "secret" not in said
    assert "whsec" not in said
    assert "127.0.0.1" not in said
    assert [(line["name"], line["upstream_status"], line["reason"]) for line in logs] == [
        (endpoints[0].id, 500, None),
        (endpoints[1].id, None, "connect"),
        (endpoints[2].id, None, "refused"),
    ]
