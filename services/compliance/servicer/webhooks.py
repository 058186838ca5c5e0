"""WebhookService and EventPublisherService."""

import grpc.aio
from hasp.compliance.v1 import event_publisher_service_pb2 as publisher_pb
from hasp.compliance.v1 import webhook_service_pb2 as pb
from hasp.compliance.v1.event_publisher_service_pb2_grpc import EventPublisherServiceServicer
from hasp.compliance.v1.webhook_service_pb2_grpc import WebhookServiceServicer
from hasp.envelope.v1.envelope_pb2 import CursorMeta

from services.chassis.access import answer_with, call, caller, meta
from services.chassis.paging import nullable
from services.chassis.timestamps import iso
from services.compliance import wire
from services.compliance.domain.webhooks import Status, WantedEndpoint
from services.compliance.servicer.parameters import before_id, cursor_of, moment
from services.compliance.usecases.publishing import Publishing
from services.compliance.usecases.webhooks import Again, Webhooks

_DEFAULT_LIMIT = 50


class WebhookServicer(WebhookServiceServicer):
    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def ListWebhooks(
        self, request: pb.ListWebhooksRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListWebhooksResponse:
        limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
        found = await self._webhooks.list(caller(), before=before_id("webhooks", request.cursor), limit=limit + 1)
        page, more = found[:limit], len(found) > limit
        return pb.ListWebhooksResponse(
            success=True,
            data=[wire.webhook(endpoint) for endpoint in page],
            meta=_meta(cursor_of("webhooks", page[-1].id) if more else None),
        )

    async def CreateWebhook(
        self, request: pb.CreateWebhookRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateWebhookResponse:
        wanted = WantedEndpoint(
            url=request.url,
            events=tuple(request.events),
            app_id=request.app_id if request.HasField("app_id") else None,
            description=request.description if request.HasField("description") else None,
        )
        issued = await self._webhooks.create(caller(), wanted)
        answer_with(http_status=201)
        return pb.CreateWebhookResponse(success=True, data=wire.webhook_with_secret(issued), meta=meta())

    async def DeleteWebhook(
        self, request: pb.DeleteWebhookRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteWebhookResponse:
        deleted_at = await self._webhooks.delete(caller(), request.endpoint_id)
        deleted = pb.DeletedWebhook(id=request.endpoint_id, deleted_at=iso(deleted_at))
        return pb.DeleteWebhookResponse(success=True, data=deleted, meta=meta())

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: grpc.aio.ServicerContext
    ) -> pb.RotateWebhookSecretResponse:
        issued = await self._webhooks.rotate_secret(caller(), request.endpoint_id)
        return pb.RotateWebhookSecretResponse(success=True, data=wire.webhook_with_secret(issued), meta=meta())

    async def TestWebhook(
        self, request: pb.TestWebhookRequest, context: grpc.aio.ServicerContext
    ) -> pb.TestWebhookResponse:
        queued = await self._webhooks.test(caller(), request.endpoint_id)
        return pb.TestWebhookResponse(success=True, data=wire.delivery(queued), meta=meta())

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListDeliveriesResponse:
        limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
        listed = f"deliveries/{request.endpoint_id}"
        found = await self._webhooks.list_deliveries(
            caller(), request.endpoint_id, before=before_id(listed, request.cursor), limit=limit + 1
        )
        page, more = found[:limit], len(found) > limit
        return pb.ListDeliveriesResponse(
            success=True,
            data=[wire.delivery(delivery) for delivery in page],
            meta=_meta(cursor_of(listed, page[-1].id) if more else None),
        )

    async def ReplayDeliveries(
        self, request: pb.ReplayDeliveriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReplayDeliveriesResponse:
        again = Again(
            since=moment(request.since, "since"),
            until=moment(request.until, "until"),
            status=Status(request.status) if request.HasField("status") else None,
        )
        replayed = await self._webhooks.replay(caller(), request.endpoint_id, again)
        return pb.ReplayDeliveriesResponse(success=True, data=pb.Replayed(replayed=replayed), meta=meta())


class EventPublisherServicer(EventPublisherServiceServicer):
    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing

    async def PublishEvents(
        self, request: publisher_pb.PublishEventsRequest, context: grpc.aio.ServicerContext
    ) -> publisher_pb.PublishEventsResponse:
        told = [wire.published(number, event) for number, event in enumerate(request.events)]
        await self._publishing.publish(caller(), told)
        return publisher_pb.PublishEventsResponse()


def _meta(cursor: str | None) -> CursorMeta:
    """`cursor` is None when there is nothing behind the page."""
    return CursorMeta(request_id=call().request_id, next_cursor=nullable(cursor), has_more=cursor is not None)
