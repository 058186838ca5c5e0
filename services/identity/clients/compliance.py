"""Compliance, as identity's outbox talks to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import grpc.aio
from hasp.compliance.v1.audit_intake_service_pb2 import AppendEventsRequest, AuditEvent
from hasp.compliance.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceStub

from services.chassis.outbox import OutboxRow

_DEADLINE = 5.0


class AuditIntake:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = AuditIntakeServiceStub(channel)

    async def append(self, rows: Sequence[OutboxRow]) -> Collection[str]:
        """Append the rows' events, all of them or none: a Relay's Deliver."""
        events = [AuditEvent.FromString(row.payload) for row in rows]
        await self._stub.AppendEvents(AppendEventsRequest(events=events), timeout=_DEADLINE)
        return [row.id for row in rows]
