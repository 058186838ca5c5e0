"""Audit events of the current call, written to the outbox in the transaction of the effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from google.protobuf.struct_pb2 import Struct
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from services.chassis import access, outbox
from services.chassis.access import OrgId
from services.chassis.clock import Clock, unix_ms
from services.chassis.database import Tx
from services.chassis.ulids import new_ulid

TOPIC = "compliance.audit"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted. `type` is `api_key`, `agent`, `operator` or `system`."""

    type: str
    id: str
    user_id: str = ""
    credential_id: str = ""
    delegation_path: Sequence[str] = ()


class Trail(Protocol):
    """Where use cases record: AuditTrail, or compliance's own intake."""

    async def record(
        self,
        tx: Tx,
        *,
        org_id: OrgId,
        action: str,
        entity_type: str,
        entity_id: str,
        metadata: Mapping[str, object] | None = None,
        actor: Actor | None = None,
    ) -> str: ...


def actor_of_call() -> Actor:
    """The caller of the current call; an operator for internal methods; the system outside of any call."""
    call = access.current.get(None)
    if call is None:
        return Actor(type="system", id="system")
    principal = call.principal
    if principal is None:
        return Actor(type="operator", id=call.workload or "unknown")
    if principal.kind == "agent":
        return Actor(
            type="agent",
            id=principal.agent_id or principal.id,
            user_id=principal.user_id,
            credential_id=principal.id,
            delegation_path=principal.delegation_path,
        )
    return Actor(type="api_key", id=principal.id, user_id=principal.user_id)


def build(
    clock: Clock,
    *,
    org_id: OrgId,
    action: str,
    entity_type: str,
    entity_id: str,
    metadata: Mapping[str, object] | None = None,
    actor: Actor | None = None,
) -> AuditEvent:
    """One event of the current call. `metadata` holds ids, types and whole counts: never PHI, secrets or text that a person typed."""
    actor = actor or actor_of_call()
    call = access.current.get(None)
    values = Struct()
    values.update(cast("Any", metadata or {}))
    return AuditEvent(
        id=new_ulid(clock),
        org_id=org_id,
        action=action,
        entity_type=entity_type,
        entity_id=entity_id,
        user_id=actor.user_id,
        actor_type=actor.type,
        actor_id=actor.id,
        credential_id=actor.credential_id,
        delegation_path=actor.delegation_path,
        ip_address=(call.ip_address or "") if call else "",
        request_id=call.request_id if call else "",
        metadata=values,
        occurred_at_ms=unix_ms(clock.now()),
    )


@dataclass(frozen=True, slots=True)
class Effect:
    """What one of many events of a call says."""

    action: str
    entity_type: str
    entity_id: str
    metadata: Mapping[str, object]


class AuditTrail:
    """Records through the outbox."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def record(
        self,
        tx: Tx,
        *,
        org_id: OrgId,
        action: str,
        entity_type: str,
        entity_id: str,
        metadata: Mapping[str, object] | None = None,
        actor: Actor | None = None,
    ) -> str:
        """Returns the event's id, which becomes the entry's."""
        event = build(
            self._clock,
            org_id=org_id,
            action=action,
            entity_type=entity_type,
            entity_id=entity_id,
            metadata=metadata,
            actor=actor,
        )
        await outbox.enqueue(tx, message_id=event.id, org_id=org_id, topic=TOPIC, message=event)
        return event.id

    async def record_all(self, tx: Tx, *, org_id: OrgId, effects: Iterable[Effect]) -> None:
        """As record, any number of events without waiting for each."""
        events = [
            build(
                self._clock,
                org_id=org_id,
                action=effect.action,
                entity_type=effect.entity_type,
                entity_id=effect.entity_id,
                metadata=effect.metadata,
            )
            for effect in effects
        ]
        await outbox.enqueue_all(
            tx, [outbox.Owed(event.id, org_id, TOPIC, event.SerializeToString()) for event in events]
        )
