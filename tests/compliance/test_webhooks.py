"""Managing endpoints: what is kept, what is refused, and that another organization's do not exist."""

import asyncio
from datetime import timedelta

import pytest

from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.sealing import Sealer
from services.chassis.ulids import new_ulid
from services.compliance.domain.webhooks import MAX_ENDPOINTS, MAX_SECRETS, Status, WantedEndpoint
from services.compliance.store.entries import Filter
from services.compliance.usecases.audit_log import AuditLog
from services.compliance.usecases.pruning import Pruning
from services.compliance.usecases.webhooks import Again, Webhooks
from tests.compliance.hooks import URL, end_all, rows, secrets_of
from tests.compliance.support import placed, sequencing
from tests.fakes import FrozenClock

WANTED = WantedEndpoint(URL, ("agent.*", "baa.signed"), app_id="ehr", description="Intake")


async def test_an_endpoint_is_listed_as_it_was_registered(webhooks: Webhooks, alice: Principal) -> None:
    issued = await webhooks.create(alice, WANTED)
    endpoint = issued.endpoint
    assert await webhooks.list(alice, before=None, limit=10) == [endpoint]
    assert (endpoint.url, endpoint.events, endpoint.app_id, endpoint.description, endpoint.is_active) == (
        URL,
        ("agent.*", "baa.signed"),
        "ehr",
        "Intake",
        True,
    )


async def test_endpoints_are_listed_newest_first(webhooks: Webhooks, clock: FrozenClock, alice: Principal) -> None:
    made = []
    for _ in range(3):
        made.append((await webhooks.create(alice, WANTED)).endpoint.id)
        clock.advance(timedelta(seconds=1))
    listed = [each.id for each in await webhooks.list(alice, before=None, limit=2)]
    assert listed == [made[2], made[1]]
    assert [each.id for each in await webhooks.list(alice, before=listed[-1], limit=2)] == [made[0]]


async def test_the_secret_is_kept_sealed(webhooks: Webhooks, db: Database, sealer: Sealer, alice: Principal) -> None:
    issued = await webhooks.create(alice, WANTED)
    [(_, sealed, expires_at)] = await rows(db, "SELECT id, sealed, expires_at FROM webhook_secrets")
    assert issued.secret.encode() not in sealed
    assert expires_at is None
    assert await secrets_of(db, sealer, alice.org_id, issued.endpoint.id) == [issued.secret]


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://10.1.2.3/x", "https://[::1]/x", "https://169.254.169.254/x"]
)
async def test_a_private_address_is_refused_and_nothing_is_kept(
    webhooks: Webhooks, db: Database, alice: Principal, url: str
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await webhooks.create(alice, WantedEndpoint(url, ("*",)))
    assert refused.value.param == "url"
    assert await rows(db, "SELECT count(*) FROM webhook_endpoints") == [(0,)]


async def test_there_are_fifty_endpoints_and_no_more_whoever_comes_at_once(
    webhooks: Webhooks, db: Database, alice: Principal, mallory: Principal
) -> None:
    for _ in range(MAX_ENDPOINTS - 2):
        await webhooks.create(alice, WANTED)
    attempts = [webhooks.create(alice, WANTED) for _ in range(5)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, ValidationFailed) for outcome in outcomes) == 3
    assert await rows(db, "SELECT count(*) FROM webhook_endpoints") == [(MAX_ENDPOINTS,)]
    await webhooks.create(mallory, WANTED)


async def test_a_rotated_secret_goes_on_signing_for_seven_days(
    webhooks: Webhooks, db: Database, sealer: Sealer, clock: FrozenClock, alice: Principal
) -> None:
    first = await webhooks.create(alice, WANTED)
    clock.advance(timedelta(hours=1))
    second = await webhooks.rotate_secret(alice, first.endpoint.id)
    assert second.endpoint == first.endpoint
    rotated_at = clock.now()
    clock.advance(timedelta(days=2))
    third = await webhooks.rotate_secret(alice, first.endpoint.id)
    assert await secrets_of(db, sealer, alice.org_id, first.endpoint.id) == [third.secret, second.secret, first.secret]
    ends = await rows(db, "SELECT expires_at FROM webhook_secrets ORDER BY id DESC")
    assert ends == [(None,), (clock.now() + timedelta(days=7),), (rotated_at + timedelta(days=7),)]
    clock.advance(timedelta(days=5))
    await Pruning(db, clock).prune()
    assert await secrets_of(db, sealer, alice.org_id, first.endpoint.id) == [third.secret, second.secret]


async def test_so_many_secrets_sign_and_no_more(webhooks: Webhooks, clock: FrozenClock, alice: Principal) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    for _ in range(MAX_SECRETS - 1):
        await webhooks.rotate_secret(alice, endpoint_id)
    with pytest.raises(ValidationFailed):
        await webhooks.rotate_secret(alice, endpoint_id)
    clock.advance(timedelta(days=7))
    await webhooks.rotate_secret(alice, endpoint_id)


async def test_a_test_event_is_queued_whatever_is_subscribed(
    webhooks: Webhooks, db: Database, sealer: Sealer, clock: FrozenClock, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    other = (await webhooks.create(alice, WantedEndpoint(URL, ("*",)))).endpoint.id
    queued = await webhooks.test(alice, endpoint_id)
    assert (queued.event, queued.status, queued.next_attempt_at) == ("webhook.test", Status.PENDING, clock.now())
    assert await webhooks.list_deliveries(alice, endpoint_id, before=None, limit=9) == [queued]
    assert await webhooks.list_deliveries(alice, other, before=None, limit=9) == []
    lanes = await rows(db, "SELECT endpoint_id, due_at < 'infinity' FROM webhook_lanes ORDER BY endpoint_id")
    assert lanes == sorted([(endpoint_id, True), (other, False)])


async def test_deliveries_are_listed_page_by_page(webhooks: Webhooks, clock: FrozenClock, alice: Principal) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    queued = []
    for _ in range(5):
        queued.insert(0, await webhooks.test(alice, endpoint_id))
        clock.advance(timedelta(seconds=1))
    first = await webhooks.list_deliveries(alice, endpoint_id, before=None, limit=3)
    second = await webhooks.list_deliveries(alice, endpoint_id, before=first[-1].id, limit=3)
    assert [*first, *second] == queued


async def test_a_replay_queues_what_has_ended_as_if_it_had_never_been_tried(
    webhooks: Webhooks, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    queued = [await webhooks.test(alice, endpoint_id) for _ in range(4)]
    elsewhere = await webhooks.test(alice, (await webhooks.create(alice, WANTED)).endpoint.id)
    await end_all(db, clock, {elsewhere.id: Status.DELIVERED})
    await end_all(db, clock, {queued[0].id: Status.DELIVERED, queued[1].id: Status.DEAD, queued[2].id: Status.RETRYING})
    before = await rows(db, "SELECT id, arrival FROM webhook_deliveries ORDER BY id")
    await rows(db, "UPDATE webhook_lanes SET due_at = 'infinity' RETURNING 1")
    clock.advance(timedelta(minutes=1))
    assert await webhooks.replay(alice, endpoint_id, Again()) == 2
    listed = {each.id: each for each in await webhooks.list_deliveries(alice, endpoint_id, before=None, limit=9)}
    for number in (0, 1):
        again = listed[queued[number].id]
        assert (again.status, again.attempts, again.last_status, again.delivered_at) == (Status.PENDING, 0, None, None)
        assert again.next_attempt_at == clock.now()
    assert (listed[queued[2].id].status, listed[queued[2].id].attempts) == (Status.RETRYING, 1)
    assert listed[queued[3].id] == queued[3]
    assert await rows(db, "SELECT id, arrival FROM webhook_deliveries ORDER BY id") == before
    tried = await rows(db, "SELECT id FROM webhook_deliveries WHERE first_attempt_at IS NOT NULL ORDER BY id")
    assert tried == sorted([(queued[2].id,), (elsewhere.id,)])
    lanes = "SELECT endpoint_id, nullif(due_at, 'infinity') FROM webhook_lanes ORDER BY 2 NULLS LAST"
    assert await rows(db, lanes) == [(endpoint_id, clock.now()), (elsewhere.endpoint_id, None)]


async def test_a_replay_chooses_by_time_and_status(
    webhooks: Webhooks, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    start, ids = clock.now(), []
    for _ in range(4):
        ids.append((await webhooks.test(alice, endpoint_id)).id)
        clock.advance(timedelta(minutes=1))
    ended = {ids[0]: Status.DELIVERED, ids[1]: Status.DEAD, ids[2]: Status.DELIVERED, ids[3]: Status.DEAD}

    async def replayed(again: Again) -> list[str]:
        await end_all(db, clock, ended)
        count = await webhooks.replay(alice, endpoint_id, again)
        found = await rows(db, "SELECT id FROM webhook_deliveries WHERE status = 'pending' ORDER BY id")
        assert len(found) == count
        return [delivery_id for (delivery_id,) in found]

    minute = timedelta(minutes=1)
    assert await replayed(Again(since=start + minute)) == ids[1:]
    assert await replayed(Again(until=start + minute)) == ids[:1]
    assert await replayed(Again(since=start + minute, until=start + 3 * minute)) == ids[1:3]
    assert await replayed(Again(status=Status.DEAD)) == [ids[1], ids[3]]
    assert await replayed(Again(since=start + minute, until=start + 3 * minute, status=Status.DELIVERED)) == [ids[2]]
    assert await replayed(Again(since=clock.now())) == []


def test_a_time_that_ends_before_it_begins_is_refused(clock: FrozenClock) -> None:
    for until in (clock.now(), clock.now() - timedelta(seconds=1)):
        with pytest.raises(ValidationFailed) as refused:
            Again(since=clock.now(), until=until)
        assert refused.value.param == "until"


async def test_nothing_is_replayed_to_a_disabled_endpoint_and_a_test_is_sent(
    webhooks: Webhooks, db: Database, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    await rows(db, "UPDATE webhook_endpoints SET is_active = false RETURNING 1")
    with pytest.raises(ValidationFailed, match="disabled"):
        await webhooks.replay(alice, endpoint_id, Again())
    assert (await webhooks.test(alice, endpoint_id)).status is Status.PENDING


@pytest.mark.parametrize("asked", ["test", "replay"])
async def test_whoever_asks_for_a_delivery_wakes_an_endpoint_that_rests(
    webhooks: Webhooks, db: Database, clock: FrozenClock, alice: Principal, asked: str
) -> None:
    asleep = "UPDATE webhook_lanes SET due_at = 'infinity', rests_until = now() + interval '5 minutes', silent = 9 RETURNING 1"
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    await rows(db, asleep)
    await (webhooks.test(alice, endpoint_id) if asked == "test" else webhooks.replay(alice, endpoint_id, Again()))
    assert await rows(db, "SELECT due_at, rests_until = '-infinity', silent FROM webhook_lanes") == [
        (clock.now(), True, 0)
    ]


async def test_a_deleted_endpoint_takes_everything_with_it(webhooks: Webhooks, db: Database, alice: Principal) -> None:
    kept = (await webhooks.create(alice, WANTED)).endpoint.id
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    for each in (kept, endpoint_id, endpoint_id):
        await webhooks.test(alice, each)
    # Somebody delivers just now.
    await rows(db, "UPDATE webhook_lanes SET leased_until = now() + interval '1 minute', epoch = 1 RETURNING 1")
    await webhooks.delete(alice, endpoint_id)
    for table in ("webhook_secrets", "webhook_lanes", "webhook_deliveries"):
        assert await rows(db, f"SELECT endpoint_id FROM {table}") == [(kept,)]
    with pytest.raises(ResourceNotFound):
        await webhooks.delete(alice, endpoint_id)
    assert [each.id for each in await webhooks.list(alice, before=None, limit=9)] == [kept]


async def test_every_change_is_in_the_audit_log_without_what_was_typed(
    webhooks: Webhooks, db: Database, log: AuditLog, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    await webhooks.rotate_secret(alice, endpoint_id)
    await webhooks.test(alice, endpoint_id)
    await webhooks.replay(alice, endpoint_id, Again())
    await webhooks.delete(alice, endpoint_id)
    async with sequencing(db):
        await placed(db)
    entries = await log.list(alice, Filter(), before=None, limit=10)
    assert [(each.event.action, each.event.entity_id, each.event.metadata) for each in reversed(entries)] == [
        ("webhook.created", endpoint_id, {"events": ["agent.*", "baa.signed"]}),
        ("webhook.secret_rotated", endpoint_id, {}),
        ("webhook.replayed", endpoint_id, {"count": 0}),
        ("webhook.deleted", endpoint_id, {"dropped_deliveries": 1}),
    ]


@pytest.mark.parametrize("whose", ["another's", "nobody's", "not an id\x00"])
async def test_what_is_not_ones_own_is_unknown(
    webhooks: Webhooks, alice: Principal, mallory: Principal, clock: FrozenClock, whose: str
) -> None:
    theirs = (await webhooks.create(alice, WANTED)).endpoint
    endpoint_id = {"another's": theirs.id, "nobody's": new_ulid(clock)}.get(whose, whose)
    for call in (
        webhooks.delete(mallory, endpoint_id),
        webhooks.rotate_secret(mallory, endpoint_id),
        webhooks.test(mallory, endpoint_id),
        webhooks.list_deliveries(mallory, endpoint_id, before=None, limit=9),
        webhooks.replay(mallory, endpoint_id, Again()),
    ):
        with pytest.raises(ResourceNotFound):
            await call
    assert await webhooks.list(mallory, before=None, limit=9) == []
    assert await webhooks.list(alice, before=None, limit=9) == [theirs]


async def test_what_ended_thirty_days_ago_is_deleted_with_its_events(
    webhooks: Webhooks, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, WANTED)).endpoint.id
    gone, young, waiting, replayed = [(await webhooks.test(alice, endpoint_id)).id for _ in range(4)]
    await end_all(db, clock, {gone: Status.DEAD, replayed: Status.DELIVERED})
    clock.advance(timedelta(days=30))
    await end_all(db, clock, {young: Status.DELIVERED})
    assert await webhooks.replay(alice, endpoint_id, Again(status=Status.DELIVERED)) == 2
    await end_all(db, clock, {young: Status.DELIVERED, replayed: Status.DEAD})
    pruning = Pruning(db, clock)
    await pruning.prune()
    assert await rows(db, "SELECT count(*) FROM webhook_deliveries") == [(4,)]
    clock.advance(timedelta(milliseconds=1))
    await pruning.prune()
    left = await rows(db, "SELECT id FROM webhook_deliveries ORDER BY id")
    assert left == sorted((each,) for each in (young, waiting, replayed))
    assert await rows(db, "SELECT count(*) FROM webhook_events") == [(3,)]
