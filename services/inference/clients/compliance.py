"""Compliance: the gate before inference, and the audit log behind it."""

from collections.abc import Collection, Sequence

import grpc.aio
from hasp.compliance.v1 import audit_intake_service_pb2 as audit_pb
from hasp.compliance.v1 import baa_gate_service_pb2 as gate_pb
from hasp.compliance.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceStub
from hasp.compliance.v1.baa_gate_service_pb2_grpc import BaaGateServiceStub

from services.chassis.access import OrgId
from services.chassis.clock import from_unix_ms
from services.chassis.outbox import OutboxRow
from services.chassis.watching import Loaded
from services.inference.domain.errors import BaaRequired

_DEADLINE = 2.0


class Compliance:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._gate = BaaGateServiceStub(channel)
        self._intake = AuditIntakeServiceStub(channel)

    async def open_gate(self, org_id: OrgId) -> Loaded[None]:
        """Raises BaaRequired when the gate is closed: only an open one is worth remembering."""
        answer = await self._gate.GetGate(gate_pb.GetGateRequest(org_id=org_id), timeout=_DEADLINE)
        if not answer.open:
            raise BaaRequired
        closes_at = from_unix_ms(answer.closes_at_ms) if answer.closes_at_ms else None
        return Loaded(value=None, seq=answer.seq, org_id=org_id, expires_at=closes_at)

    async def append(self, rows: Sequence[OutboxRow]) -> Collection[str]:
        """Deliver audit events from the outbox; all of them are durable once this returns."""
        events = [audit_pb.AuditEvent.FromString(row.payload) for row in rows]
        await self._intake.AppendEvents(audit_pb.AppendEventsRequest(events=events), timeout=_DEADLINE * 2)
        return {row.id for row in rows}
