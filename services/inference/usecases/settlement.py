"""What an ended request owes the siblings: billing its settlement, the audit log its event."""

from datetime import datetime

from hasp.billing.v1.metering_service_pb2 import Settlement
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from services.chassis import audit
from services.chassis.audit import Actor
from services.chassis.clock import Clock, unix_ms
from services.chassis.outbox import Owed
from services.inference.clients.metering import SETTLE_TOPIC, Wanted
from services.inference.domain.phi import by_category
from services.inference.domain.record import Caller, Opening, Status
from services.inference.domain.usage import Basis, Usage

ENTITY = "inference_record"


def settlement(opening: Opening, usage: Usage, *, occurred_at: datetime, undelivered: bool) -> Owed:
    """`undelivered`: nothing was used, the reservation is only ended."""
    message = Settlement(
        org_id=opening.org_id,
        request_id=opening.request_id,
        principal_id=opening.caller.principal_id,
        agent_id=opening.caller.agent_id or "",
        model=opening.model,
        catalogue_version=opening.catalogue_version,
        input_tokens=0 if undelivered else usage.input_tokens,
        output_tokens=0 if undelivered else usage.output_tokens,
        cache_read_tokens=0 if undelivered else usage.cache_read_tokens,
        cache_write_tokens=0 if undelivered else usage.cache_write_tokens,
        basis=usage.basis.value,
        occurred_at_ms=unix_ms(occurred_at),
        undelivered=undelivered,
    )
    return Owed(opening.request_id, opening.org_id, SETTLE_TOPIC, message.SerializeToString())


def release_of(wanted: Wanted, at: datetime, *, after: datetime) -> Owed:
    """Ends a reservation whose request never left; told from `after` on."""
    message = Settlement(
        org_id=wanted.org_id,
        request_id=wanted.request_id,
        principal_id=wanted.principal_id,
        agent_id=wanted.agent_id,
        model=wanted.model,
        catalogue_version=wanted.catalogue_version,
        basis=Basis.UNKNOWN.value,
        occurred_at_ms=unix_ms(at),
        undelivered=True,
    )
    return Owed(wanted.request_id, wanted.org_id, SETTLE_TOPIC, message.SerializeToString(), after)


def actor_of(caller: Caller) -> Actor:
    if caller.principal_kind == "agent":
        return Actor(
            type="agent",
            id=caller.agent_id or caller.principal_id,
            user_id=caller.user_id,
            credential_id=caller.principal_id,
            delegation_path=caller.delegation_path,
        )
    return Actor(type="api_key", id=caller.principal_id, user_id=caller.user_id)


def audit_event(
    clock: Clock,
    opening: Opening,
    status: Status,
    usage: Usage,
    *,
    error_code: str | None,
    restored_count: int,
    recovered: bool = False,
) -> AuditEvent:
    """`inference.completed`, `.failed` or `.cancelled`. Ids, types and counts; nothing that was said."""
    metadata: dict[str, object] = {
        "surface": opening.surface.value,
        "model": opening.model,
        "stream": opening.stream,
        "store": opening.store,
        "basis": usage.basis.value,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "phi_mode": opening.phi["mode"],
        "phi_policy": opening.phi.get("policy"),
        "phi_action": opening.phi["action"],
        "entity_types": opening.phi["entity_types"],
        "redaction_count": opening.phi["redaction_count"],
        "redactions_by_type": opening.phi.get("by_type", {}),
        "redactions_by_category": by_category(opening.phi.get("by_type", {})),
        "restored_count": restored_count,
    }
    if error_code is not None:
        metadata["error_code"] = error_code
    if recovered:
        metadata["recovered"] = True
    event = audit.build(
        clock,
        org_id=opening.org_id,
        action=f"inference.{status}",
        entity_type=ENTITY,
        entity_id=opening.request_id,
        metadata=metadata,
        actor=actor_of(opening.caller),
    )
    # The record's, and not the current call's: endings also run after their call, or in its place.
    event.request_id = f"req_{opening.request_id}"
    event.ip_address = opening.caller.ip_address or ""
    return event
