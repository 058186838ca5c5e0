import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.chassis.access import Principal
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.errors import ValidationFailed
from services.chassis.sealing import Sealer
from services.chassis.ulids import new_ulid
from services.compliance.domain.webhooks import MAX_BODY, Occurrence, WantedEndpoint
from services.compliance.usecases.audit_log import AuditIntake
from services.compliance.usecases.fan_out import FanOut
from services.compliance.usecases.publishing import Publishing
from services.compliance.usecases.webhooks import Webhooks
from tests.compliance.hooks import URL, rows, told
from tests.compliance.support import event, placed, sequencing
from tests.fakes import FrozenClock

EVERYTHING = WantedEndpoint(URL, ("*",))


def published(at: datetime, name: str = "record.created", **more: Any) -> Occurrence:
    fields: dict[str, Any] = {"id": new_ulid(SystemClock()), "event": name, "at": at, "data": {}, "published": True}
    return Occurrence(**fields | more)


async def test_events_are_queued_in_the_order_told(
    webhooks: Webhooks, publishing: Publishing, db: Database, sealer: Sealer, clock: FrozenClock, alice: Principal
) -> None:
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    events = [published(clock.now(), data={"n": number}) for number in range(100)]
    events.sort(key=lambda each: each.id[-1])
    await publishing.publish(alice, events[:60])
    await publishing.publish(alice, events[60:])
    bodies = await told(db, sealer, alice.org_id, endpoint_id)
    assert [body["id"] for body in bodies] == [each.id for each in events]
    assert bodies[0] == {
        "id": events[0].id,
        "event": "record.created",
        "app_id": None,
        "entity_key": None,
        "timestamp": "2026-05-11T12:00:00+00:00",
        "data": events[0].data,
    }


async def test_only_who_wants_an_event_is_told(
    webhooks: Webhooks,
    publishing: Publishing,
    db: Database,
    sealer: Sealer,
    clock: FrozenClock,
    alice: Principal,
    mallory: Principal,
) -> None:
    wants = {
        "all": WantedEndpoint(URL, ("*",)),
        "records": WantedEndpoint(URL, ("record.*",)),
        "schemas": WantedEndpoint(URL, ("schema.updated",)),
        "ehr": WantedEndpoint(URL, ("*",), app_id="ehr"),
    }
    ids = {name: (await webhooks.create(alice, wanted)).endpoint.id for name, wanted in wants.items()}
    theirs = (await webhooks.create(mallory, EVERYTHING)).endpoint.id
    now = clock.now()
    of_ehr = published(now, app_id="ehr", entity_key="patient/7")
    of_none, schema = published(now, "record.deleted"), published(now, "schema.updated", app_id="crm")
    await publishing.publish(alice, [of_ehr, of_none, schema])
    heard = {
        name: [body["id"] for body in await told(db, sealer, alice.org_id, endpoint_id)]
        for name, endpoint_id in ids.items()
    }
    assert heard == {
        "all": [of_ehr.id, of_none.id, schema.id],
        "records": [of_ehr.id, of_none.id],
        "schemas": [schema.id],
        "ehr": [of_ehr.id],
    }
    assert await told(db, sealer, mallory.org_id, theirs) == []


async def test_an_event_told_again_is_queued_once(
    webhooks: Webhooks,
    publishing: Publishing,
    db: Database,
    sealer: Sealer,
    clock: FrozenClock,
    alice: Principal,
    mallory: Principal,
) -> None:
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    theirs = (await webhooks.create(mallory, EVERYTHING)).endpoint.id
    events = [published(clock.now()) for _ in range(20)]
    twice_at_once = [publishing.publish(alice, each) for each in (events, events[::-1], events[5:], events * 2)]
    await asyncio.gather(*twice_at_once)
    await publishing.publish(alice, events)
    # The same ids are somebody else's own events.
    await publishing.publish(mallory, events)
    for org_id, endpoint in ((alice.org_id, endpoint_id), (mallory.org_id, theirs)):
        bodies = await told(db, sealer, org_id, endpoint)
        assert sorted(body["id"] for body in bodies) == sorted(each.id for each in events)


async def test_what_nobody_wants_is_not_kept(
    webhooks: Webhooks, publishing: Publishing, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    event_before = published(clock.now() - timedelta(seconds=1))
    await publishing.publish(alice, [event_before])
    await webhooks.create(alice, WantedEndpoint(URL, ("agent.*",)))
    await publishing.publish(alice, [event_before, published(clock.now())])
    await rows(db, "UPDATE webhook_endpoints SET events = '{*}', is_active = false RETURNING 1")
    await publishing.publish(alice, [published(clock.now())])
    assert await rows(db, "SELECT count(*) FROM webhook_events") == [(0,)]


async def test_what_is_published_does_not_take_an_audit_entrys_place(
    webhooks: Webhooks,
    publishing: Publishing,
    fan_out: FanOut,
    db: Database,
    sealer: Sealer,
    intake: AuditIntake,
    clock: FrozenClock,
    alice: Principal,
) -> None:
    """An entry's id can be read before it is fanned out: whoever publishes under it must not keep the entry from being told."""
    endpoint_id = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    entry = event(alice.org_id)
    await publishing.publish(alice, [published(clock.now(), id=entry.id)])
    async with sequencing(db):
        await intake.append([entry])
        await placed(db)
    await fan_out.look()
    bodies = await told(db, sealer, alice.org_id, endpoint_id)
    assert [body["event"] for body in bodies if body["id"] == entry.id] == ["record.created", "api_key.created"]


@pytest.mark.parametrize(
    ("changed", "param"), [({"id": "i" * 26}, "events[1].id"), ({"data": {"text": "x" * MAX_BODY}}, "events[1].data")]
)
async def test_a_wrong_event_is_named_and_none_is_queued(
    webhooks: Webhooks,
    publishing: Publishing,
    db: Database,
    clock: FrozenClock,
    alice: Principal,
    changed: dict[str, Any],
    param: str,
) -> None:
    await webhooks.create(alice, EVERYTHING)
    with pytest.raises(ValidationFailed) as refused:
        await publishing.publish(alice, [published(clock.now()), published(clock.now(), **changed)])
    assert refused.value.param == param
    assert await rows(db, "SELECT count(*) FROM webhook_events") == [(0,)]


async def test_endpoints_that_come_and_go_while_events_are_published_neither_miss_nor_double(
    webhooks: Webhooks, publishing: Publishing, db: Database, sealer: Sealer, clock: FrozenClock, alice: Principal
) -> None:
    stayed = (await webhooks.create(alice, EVERYTHING)).endpoint.id
    events = [published(clock.now(), data={"n": number}) for number in range(60)]

    async def come_and_go() -> None:
        for _ in range(12):
            passing = (await webhooks.create(alice, EVERYTHING)).endpoint.id
            await webhooks.delete(alice, passing)

    async def publish(part: int) -> None:
        for each in events[part::3]:
            await publishing.publish(alice, [each])

    await asyncio.gather(come_and_go(), *map(publish, range(3)))
    bodies = await told(db, sealer, alice.org_id, stayed)
    numbers = [body["data"]["n"] for body in bodies]
    assert sorted(numbers) == list(range(60))
    for part in range(3):
        assert [number for number in numbers if number % 3 == part] == list(range(part, 60, 3))
