"""WebhookService and EventPublisherService as callers meet them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.struct_pb2 import Struct
from hasp.compliance.v1 import event_publisher_service_pb2 as publisher_pb
from hasp.compliance.v1 import webhook_service_pb2 as pb
from hasp.compliance.v1.event_publisher_service_pb2_grpc import (
    EventPublisherServiceStub,
    add_EventPublisherServiceServicer_to_server,
)
from hasp.compliance.v1.webhook_service_pb2_grpc import WebhookServiceStub, add_WebhookServiceServicer_to_server

from services.chassis.access import Principal
from services.chassis.clock import unix_ms
from services.chassis.database import Database
from services.chassis.idempotency import Idempotency
from services.chassis.sealing import Sealer
from services.chassis.ulids import new_ulid
from services.compliance.servicer.webhooks import EventPublisherServicer, WebhookServicer
from services.compliance.usecases.publishing import Publishing
from services.compliance.usecases.webhooks import Webhooks
from tests.compliance.calls import as_, printed, refusal
from tests.compliance.hooks import URL, rows, told
from tests.fakes import FrozenClock, Tokens, principal_of_new_org, serve

WANTED: dict[str, Any] = {"url": URL, "events": ["agent.*", "baa.signed"], "app_id": "ehr", "description": "Intake"}


@pytest.fixture
async def channel(
    db: Database,
    clock: FrozenClock,
    sealer: Sealer,
    webhooks: Webhooks,
    publishing: Publishing,
    alice: Principal,
    mallory: Principal,
    tls_dir: Path,
) -> AsyncIterator[grpc.aio.Channel]:
    reader = principal_of_new_org(clock, scopes=frozenset({"ai:chat", "control:read", "control:write"}))
    agent = Principal(alice.org_id, "agent", new_ulid(clock), alice.user_id, frozenset(), agent_id=new_ulid(clock))
    files = (pb.DESCRIPTOR, publisher_pb.DESCRIPTOR)
    async with serve(
        (add_WebhookServiceServicer_to_server, WebhookServicer(webhooks)),
        (add_EventPublisherServiceServicer_to_server, EventPublisherServicer(publishing)),
        services=[service for file in files for service in file.services_by_name.values()],
        authenticator=Tokens({"alice": alice, "mallory": mallory, "reader": reader, "agent": agent}),
        clock=clock,
        tls_dir=tls_dir,
        workload="compliance",
        answers=Idempotency(db, clock, sealer),
    ) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return WebhookServiceStub(channel)


@pytest.fixture
def publisher(channel: grpc.aio.Channel) -> Any:
    return EventPublisherServiceStub(channel)


async def create(stub: Any, who: str = "alice", **changed: Any) -> pb.WebhookWithSecret:
    return (await stub.CreateWebhook(pb.CreateWebhookRequest(**WANTED | changed), **as_(who))).data


async def test_an_endpoint_reads_as_it_was_registered_and_its_secret_is_shown_once(stub: Any) -> None:
    call = stub.CreateWebhook(pb.CreateWebhookRequest(**WANTED), **as_("alice"))
    created = printed(await call)
    assert dict(await call.initial_metadata())["x-http-status"] == "201"
    secret = created["data"].pop("secret")
    assert secret.startswith("whsec_")
    assert created["data"] == {
        "id": created["data"]["id"],
        "app_id": "ehr",
        "url": URL,
        "events": ["agent.*", "baa.signed"],
        "is_active": True,
        "description": "Intake",
        "created_at": "2026-05-11T12:00:00+00:00",
    }
    listed = printed(await stub.ListWebhooks(pb.ListWebhooksRequest(), **as_("alice")))
    assert listed["data"] == [created["data"]]
    assert (listed["meta"]["next_cursor"], listed["meta"]["has_more"]) == (None, False)


async def test_what_was_not_given_is_null(stub: Any) -> None:
    await create(stub, app_id=None, description=None)
    [listed] = printed(await stub.ListWebhooks(pb.ListWebhooksRequest(), **as_("alice")))["data"]
    assert (listed["app_id"], listed["description"]) == (None, None)


async def test_a_repeated_registration_answers_with_the_first_secret(stub: Any, db: Database) -> None:
    request = pb.CreateWebhookRequest(**WANTED)
    answers = [await stub.CreateWebhook(request, **as_("alice", **{"idempotency-key": "once"})) for _ in range(2)]
    assert answers[0].data == answers[1].data
    assert await rows(db, "SELECT count(*) FROM webhook_endpoints") == [(1,)]
    [(kept,)] = await rows(db, "SELECT answer FROM idempotency_keys")
    assert answers[0].data.secret.encode() not in kept


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": f"https://93.184.215.14/{'x' * 2048}"}, "url"),
        ({"url": "https://user:word@93.184.215.14/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["*", "*"]}, "events"),
        ({"events": ["*", "agents.*"]}, "events[1]"),
        ({"events": ["webhook.test"]}, "events[0]"),
        ({"events": ["x" * 101]}, "events[0]"),
        ({"app_id": ""}, "app_id"),
        ({"app_id": "x" * 101}, "app_id"),
        ({"description": "x" * 256}, "description"),
        ({"description": "a\nb"}, "description"),
    ],
)
async def test_a_wrong_field_is_named(stub: Any, db: Database, changed: dict[str, Any], param: str) -> None:
    call = stub.CreateWebhook(pb.CreateWebhookRequest(**WANTED | changed), **as_("alice"))
    reason, metadata = await refusal(call)
    assert (reason, metadata["http_status"], metadata["param"]) == ("VALIDATION_FAILED", "422", param)
    assert await rows(db, "SELECT count(*) FROM webhook_endpoints") == [(0,)]


async def test_endpoints_and_deliveries_are_listed_page_by_page(stub: Any, clock: FrozenClock) -> None:
    made = []
    for _ in range(3):
        made.append((await create(stub)).id)
        clock.advance(timedelta(seconds=1))
    first = await stub.ListWebhooks(pb.ListWebhooksRequest(limit=2), **as_("alice"))
    cursor = first.meta.next_cursor.string_value
    second = await stub.ListWebhooks(pb.ListWebhooksRequest(limit=2, cursor=cursor), **as_("alice"))
    assert [[each.id for each in page.data] for page in (first, second)] == [[made[2], made[1]], [made[0]]]
    assert (first.meta.has_more, second.meta.has_more) == (True, False)
    queued = []
    for _ in range(3):
        queued.insert(0, (await stub.TestWebhook(pb.TestWebhookRequest(endpoint_id=made[0]), **as_("alice"))).data)
        clock.advance(timedelta(seconds=1))
    asked = pb.ListDeliveriesRequest(endpoint_id=made[0], limit=2)
    first = await stub.ListDeliveries(asked, **as_("alice"))
    asked.cursor = first.meta.next_cursor.string_value
    second = await stub.ListDeliveries(asked, **as_("alice"))
    assert [*first.data, *second.data] == queued
    for call in (
        stub.ListWebhooks(pb.ListWebhooksRequest(cursor="YWJj"), **as_("alice")),
        stub.ListDeliveries(pb.ListDeliveriesRequest(endpoint_id=made[0], cursor="YWJj"), **as_("alice")),
    ):
        assert (await refusal(call))[1]["param"] == "cursor"


async def test_a_test_reads_as_a_delivery_that_waits(stub: Any) -> None:
    endpoint_id = (await create(stub)).id
    queued = printed(await stub.TestWebhook(pb.TestWebhookRequest(endpoint_id=endpoint_id), **as_("alice")))["data"]
    assert queued == {
        "id": queued["id"],
        "endpoint_id": endpoint_id,
        "event": "webhook.test",
        "status": "pending",
        "attempts": 0,
        "last_status": None,
        "next_attempt_at": "2026-05-11T12:00:00+00:00",
        "created_at": "2026-05-11T12:00:00+00:00",
        "delivered_at": None,
    }


async def test_rotating_shows_a_new_secret(stub: Any) -> None:
    created = await create(stub)
    request = pb.RotateWebhookSecretRequest(endpoint_id=created.id)
    rotated = (await stub.RotateWebhookSecret(request, **as_("alice"))).data
    assert rotated.secret.startswith("whsec_")
    assert rotated.secret != created.secret
    rotated.secret = created.secret
    assert rotated == created


async def test_deleting_says_when(stub: Any, clock: FrozenClock) -> None:
    endpoint_id = (await create(stub)).id
    clock.advance(timedelta(seconds=1))
    request = pb.DeleteWebhookRequest(endpoint_id=endpoint_id)
    deleted = (await stub.DeleteWebhook(request, **as_("alice"))).data
    assert (deleted.id, deleted.deleted_at) == (endpoint_id, "2026-05-11T12:00:01+00:00")
    assert (await refusal(stub.DeleteWebhook(request, **as_("alice"))))[0] == "RESOURCE_NOT_FOUND"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-05-11T12:00:00"}, "until"),
        ({"since": "2026-05-11T12:00:00Z", "until": "2026-05-11T14:00:00+02:00"}, "until"),
        ({"status": "pending"}, "status"),
        ({"status": ""}, "status"),
        ({"endpoint_id": ""}, "endpoint_id"),
    ],
)
async def test_a_wrong_replay_is_refused(stub: Any, asked: dict[str, str], param: str) -> None:
    request = pb.ReplayDeliveriesRequest(**{"endpoint_id": (await create(stub)).id} | asked)
    reason, metadata = await refusal(stub.ReplayDeliveries(request, **as_("alice")))
    assert (reason, metadata["http_status"], metadata["param"]) == ("VALIDATION_FAILED", "422", param)


async def test_a_replay_says_how_many(stub: Any, db: Database) -> None:
    endpoint_id = (await create(stub)).id
    await stub.TestWebhook(pb.TestWebhookRequest(endpoint_id=endpoint_id), **as_("alice"))
    ended = "UPDATE webhook_deliveries SET status = 'dead', due_at = 'infinity', ended_at = now() RETURNING 1"
    await rows(db, ended)
    request = pb.ReplayDeliveriesRequest(endpoint_id=endpoint_id, status="dead", since="2026-05-11T12:00:00Z")
    assert (await stub.ReplayDeliveries(request, **as_("alice"))).data.replayed == 1


def naming(stub: Any, endpoint_id: str, who: str) -> list[Any]:
    """A call of every method that names an endpoint."""
    return [
        stub.DeleteWebhook(pb.DeleteWebhookRequest(endpoint_id=endpoint_id), **as_(who)),
        stub.RotateWebhookSecret(pb.RotateWebhookSecretRequest(endpoint_id=endpoint_id), **as_(who)),
        stub.TestWebhook(pb.TestWebhookRequest(endpoint_id=endpoint_id), **as_(who)),
        stub.ListDeliveries(pb.ListDeliveriesRequest(endpoint_id=endpoint_id), **as_(who)),
        stub.ReplayDeliveries(pb.ReplayDeliveriesRequest(endpoint_id=endpoint_id), **as_(who)),
    ]


async def test_another_organization_knows_no_such_endpoint(stub: Any, clock: FrozenClock) -> None:
    theirs = (await create(stub)).id
    for call, same in zip(naming(stub, theirs, "mallory"), naming(stub, new_ulid(clock), "mallory"), strict=True):
        assert (await refusal(call))[0] == (await refusal(same))[0] == "RESOURCE_NOT_FOUND"
    assert list((await stub.ListWebhooks(pb.ListWebhooksRequest(), **as_("mallory"))).data) == []


@pytest.mark.parametrize(
    ("who", "reason"), [("nobody", "INVALID_API_KEY"), ("reader", "MISSING_SCOPE"), ("agent", "AGENT_NOT_PERMITTED")]
)
async def test_only_keys_with_the_scope_are_admitted(stub: Any, publisher: Any, who: str, reason: str) -> None:
    calls = [
        stub.ListWebhooks(pb.ListWebhooksRequest(), **as_(who)),
        stub.CreateWebhook(pb.CreateWebhookRequest(**WANTED), **as_(who)),
        *naming(stub, "01J0000000000000000000NONE", who),
        publisher.PublishEvents(publisher_pb.PublishEventsRequest(), **as_(who)),
    ]
    assert {(await refusal(call))[0] for call in calls} == {reason}


def record(clock: FrozenClock, data: dict[str, Any] | None = None, **changed: Any) -> publisher_pb.WebhookEvent:
    fields = Struct()
    fields.update(data or {})
    told: dict[str, Any] = {
        "id": new_ulid(clock),
        "event": "record.created",
        "data": fields,
        "occurred_at_ms": unix_ms(clock.now()),
    }
    return publisher_pb.WebhookEvent(**told | changed)


async def test_what_is_published_is_what_is_told(
    stub: Any, publisher: Any, db: Database, sealer: Sealer, clock: FrozenClock, alice: Principal
) -> None:
    endpoint = await create(stub, events=["record.*"])
    data = {"count": 3, "ids": ["a", "b"], "nested": {"deep": True, "none": None}}
    event = record(clock, data, app_id="ehr", entity_key="patient/7")
    await publisher.PublishEvents(publisher_pb.PublishEventsRequest(events=[event]), **as_("alice"))
    [body] = await told(db, sealer, alice.org_id, endpoint.id)
    assert body == {
        "id": event.id,
        "event": "record.created",
        "app_id": "ehr",
        "entity_key": "patient/7",
        "timestamp": "2026-05-11T12:00:00+00:00",
        "data": data,
    }


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"id": "short"}, "events[1].id"),
        ({"id": "l" * 26}, "events[1].id"),
        ({"event": "agent.archived"}, "events[1].event"),
        ({"app_id": "x" * 101}, "events[1].app_id"),
        ({"entity_key": "x" * 201}, "events[1].entity_key"),
        ({"occurred_at_ms": 0}, "events[1].occurred_at_ms"),
        ({"occurred_at_ms": 2**62}, "events[1].occurred_at_ms"),
        ({"data": {"cost": 0.5}}, "events[1].data"),
        ({"data": {"much": 2.0**60}}, "events[1].data"),
    ],
)
async def test_a_wrong_event_is_named(
    stub: Any, publisher: Any, db: Database, clock: FrozenClock, changed: dict[str, Any], param: str
) -> None:
    await create(stub, events=["*"])
    events = [record(clock), record(clock, changed.pop("data", None), **changed)]
    call = publisher.PublishEvents(publisher_pb.PublishEventsRequest(events=events), **as_("alice"))
    reason, metadata = await refusal(call)
    assert (reason, metadata["param"]) == ("VALIDATION_FAILED", param)
    assert await rows(db, "SELECT count(*) FROM webhook_deliveries") == [(0,)]


async def test_a_thousand_events_are_one_call_and_more_are_not(
    stub: Any, publisher: Any, db: Database, clock: FrozenClock
) -> None:
    await create(stub, events=["record.created"], app_id=None)
    events = [record(clock) for _ in range(1001)]
    await publisher.PublishEvents(publisher_pb.PublishEventsRequest(events=events[:1000]), **as_("alice"))
    call = publisher.PublishEvents(publisher_pb.PublishEventsRequest(events=events), **as_("alice"))
    assert (await refusal(call))[1]["param"] == "events"
    assert await rows(db, "SELECT count(*) FROM webhook_deliveries") == [(1000,)]
