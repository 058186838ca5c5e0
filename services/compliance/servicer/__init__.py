"""Compliance's proto services: request → use case → response."""

from hasp.compliance.v1 import (
    audit_intake_service_pb2,
    audit_service_pb2,
    baa_gate_service_pb2,
    baa_service_pb2,
    event_publisher_service_pb2,
    webhook_service_pb2,
)
from hasp.compliance.v1.audit_intake_service_pb2_grpc import add_AuditIntakeServiceServicer_to_server
from hasp.compliance.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from hasp.compliance.v1.baa_gate_service_pb2_grpc import add_BaaGateServiceServicer_to_server
from hasp.compliance.v1.baa_service_pb2_grpc import add_BaaServiceServicer_to_server
from hasp.compliance.v1.event_publisher_service_pb2_grpc import add_EventPublisherServiceServicer_to_server
from hasp.compliance.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
from hasp.watch.v1 import watch_service_pb2
from hasp.watch.v1.watch_service_pb2_grpc import add_WatchServiceServicer_to_server

from services.chassis.server import Server
from services.chassis.watch import WatchServicer
from services.compliance.servicer.agreements import BaaGateServicer, BaaServicer
from services.compliance.servicer.audit import AuditIntakeServicer, AuditServicer
from services.compliance.servicer.webhooks import EventPublisherServicer, WebhookServicer
from services.compliance.usecases.compliance import Compliance

SERVICES = tuple(
    service
    for file in (
        baa_service_pb2,
        baa_gate_service_pb2,
        audit_service_pb2,
        audit_intake_service_pb2,
        webhook_service_pb2,
        event_publisher_service_pb2,
        watch_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)
"""What this process serves: the boundary admits the methods of these and no other."""


def register(server: Server, compliance: Compliance) -> None:
    c = compliance
    server.add(add_BaaServiceServicer_to_server, BaaServicer(c.agreements, c.documents))
    server.add(add_BaaGateServiceServicer_to_server, BaaGateServicer(c.gates))
    server.add(add_AuditServiceServicer_to_server, AuditServicer(c.log, c.proofs, c.exports))
    server.add(add_AuditIntakeServiceServicer_to_server, AuditIntakeServicer(c.intake))
    server.add(add_WatchServiceServicer_to_server, WatchServicer(c.changes))
    server.add(add_WebhookServiceServicer_to_server, WebhookServicer(c.webhooks))
    server.add(add_EventPublisherServiceServicer_to_server, EventPublisherServicer(c.publishing))
