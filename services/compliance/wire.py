"""Domain → protobuf, and the audit's events back."""

import base64
import math
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value
from hasp.compliance.v1 import audit_intake_service_pb2 as intake_pb
from hasp.compliance.v1 import audit_service_pb2 as audit_pb
from hasp.compliance.v1 import baa_gate_service_pb2 as gate_pb
from hasp.compliance.v1 import baa_service_pb2 as baa_pb
from hasp.compliance.v1 import event_publisher_service_pb2 as publisher_pb
from hasp.compliance.v1 import webhook_service_pb2 as webhook_pb

from services.chassis.clock import from_unix_ms, unix_ms
from services.chassis.errors import ValidationFailed
from services.chassis.paging import nullable
from services.chassis.timestamps import iso
from services.compliance.domain.agreements import Gate, Template
from services.compliance.domain.checkpoints import Checkpoint
from services.compliance.domain.leaves import MAX_INTEGER, Actor, Entry, Event
from services.compliance.domain.webhooks import Delivery, Endpoint, Occurrence
from services.compliance.usecases.agreements import Judged, Standing
from services.compliance.usecases.proofs import Consistency, Inclusion
from services.compliance.usecases.webhooks import Issued

_SIGNING = baa_pb.BaaStatus.Signing(method="POST", path="/v1/compliance/baa/acceptances")


def template(signable: Template) -> baa_pb.BaaTemplate:
    return baa_pb.BaaTemplate(
        version=signable.version,
        title=signable.title,
        sha256=signable.sha256,
        body_markdown=signable.body_markdown,
        effective_at=iso(signable.effective_at),
    )


def acceptance(judged: Judged) -> baa_pb.BaaAcceptance:
    signed = judged.acceptance
    return baa_pb.BaaAcceptance(
        id=signed.id,
        template_version=signed.template_version,
        template_sha256=signed.template_sha256,
        status=judged.status,
        signer_name=signed.signer_name,
        signer_title=signed.signer_title,
        signer_email=signed.signer_email,
        signed_at=iso(signed.signed_at),
        countersigned_at=iso(signed.countersigned_at),
        countersigned_by=signed.countersigned_by,
        effective_at=iso(signed.effective_at),
        expires_at=nullable(None if signed.expires_at is None else iso(signed.expires_at)),
        ip_address=nullable(signed.ip_address),
        pdf_sha256=nullable(judged.pdf_sha256),
        audit_entry_id=signed.audit_entry_id,
    )


def status(standing: Standing) -> baa_pb.BaaStatus:
    return baa_pb.BaaStatus(
        status=standing.status,
        template=template(standing.template),
        acceptance=nullable(None) if standing.acceptance is None else _object(acceptance(standing.acceptance)),
        signing=_SIGNING,
    )


def _object(message: baa_pb.BaaAcceptance) -> Value:
    """The message as the JSON object it prints as, where the contract has an object or null."""
    fields = Struct()
    fields.update(MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
    return Value(struct_value=fields)


def gate(position: Gate, seq: int) -> gate_pb.GetGateResponse:
    return gate_pb.GetGateResponse(
        open=position.open,
        status=position.status,
        closes_at_ms=0 if position.closes_at is None else unix_ms(position.closes_at),
        seq=seq,
    )


def entry(found: Entry) -> audit_pb.AuditEntry:
    event = found.event
    metadata = Struct()
    metadata.update(event.metadata)
    return audit_pb.AuditEntry(
        id=event.id,
        seq=nullable(found.seq),
        action=event.action,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        user_id=nullable(event.user_id),
        actor=audit_pb.AuditEntry.Actor(
            type=event.actor.type,
            id=event.actor.id,
            credential_id=event.actor.credential_id,
            delegation_path=event.actor.delegation_path,
        ),
        ip_address=nullable(event.ip_address),
        request_id=nullable(event.request_id),
        metadata=metadata,
        integrity_hash="" if found.leaf_hash is None else found.leaf_hash.hex(),
        created_at=iso(event.created_at),
    )


def checkpoint(signed: Checkpoint) -> audit_pb.Checkpoint:
    return audit_pb.Checkpoint(
        tree_size=signed.tree_size,
        root_hash=signed.root_hash.hex(),
        note=signed.note,
        created_at=iso(signed.created_at),
    )


def inclusion(proof: Inclusion) -> audit_pb.InclusionProof:
    return audit_pb.InclusionProof(
        leaf_index=proof.index,
        tree_size=proof.checkpoint.tree_size,
        leaf_hash=proof.leaf_hash.hex(),
        hashes=[hashed.hex() for hashed in proof.hashes],
        checkpoint=proof.checkpoint.note,
        leaf=base64.b64encode(proof.leaf).decode(),
        tlog_proof=proof.tlog_proof,
    )


def consistency(proof: Consistency) -> audit_pb.ConsistencyProof:
    return audit_pb.ConsistencyProof(
        from_size=proof.earlier,
        to_size=proof.checkpoint.tree_size,
        hashes=[hashed.hex() for hashed in proof.hashes],
        checkpoint=proof.checkpoint.note,
    )


def webhook(endpoint: Endpoint) -> webhook_pb.Webhook:
    return webhook_pb.Webhook(
        id=endpoint.id,
        app_id=nullable(endpoint.app_id),
        url=endpoint.url,
        events=endpoint.events,
        is_active=endpoint.is_active,
        description=nullable(endpoint.description),
        created_at=iso(endpoint.created_at),
    )


def webhook_with_secret(issued: Issued) -> webhook_pb.WebhookWithSecret:
    endpoint = issued.endpoint
    return webhook_pb.WebhookWithSecret(
        id=endpoint.id,
        app_id=nullable(endpoint.app_id),
        url=endpoint.url,
        events=endpoint.events,
        is_active=endpoint.is_active,
        description=nullable(endpoint.description),
        created_at=iso(endpoint.created_at),
        secret=issued.secret,
    )


def delivery(queued: Delivery) -> webhook_pb.Delivery:
    next_attempt_at, delivered_at = queued.next_attempt_at, queued.delivered_at
    return webhook_pb.Delivery(
        id=queued.id,
        endpoint_id=queued.endpoint_id,
        event=queued.event,
        status=queued.status,
        attempts=queued.attempts,
        last_status=nullable(queued.last_status),
        next_attempt_at=nullable(None if next_attempt_at is None else iso(next_attempt_at)),
        created_at=iso(queued.created_at),
        delivered_at=nullable(None if delivered_at is None else iso(delivered_at)),
    )


def published(number: int, told: publisher_pb.WebhookEvent) -> Occurrence:
    """Of the `number`th event of a call, from 0. Raises ValidationFailed when its data holds a number that is not whole."""
    return Occurrence(
        id=told.id,
        event=told.event,
        at=from_unix_ms(told.occurred_at_ms),
        data=_fields(told.data, f"events[{number}].data"),
        app_id=told.app_id or None,
        entity_key=told.entity_key or None,
        published=True,
    )


def event(told: intake_pb.AuditEvent) -> Event:
    """Raises ValidationFailed when `metadata` holds a number that is not whole."""
    return Event(
        id=told.id,
        org_id=told.org_id,
        action=told.action,
        entity_type=told.entity_type,
        entity_id=told.entity_id,
        user_id=told.user_id or None,
        actor=Actor(told.actor_type, told.actor_id, told.credential_id or None, tuple(told.delegation_path)),
        ip_address=told.ip_address or None,
        request_id=told.request_id or None,
        metadata=_fields(told.metadata, "metadata"),
        created_at=from_unix_ms(told.occurred_at_ms),
    )


def _fields(struct: Struct, param: str) -> dict[str, Any]:
    return {name: _value(value, param) for name, value in struct.fields.items()}


def _value(value: Value, param: str) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        # What is hashed or signed has no floating-point numbers: readers of JSON do not agree on how to write them.
        if not math.isfinite(value.number_value) or value.number_value != int(value.number_value):
            raise ValidationFailed("A number in an event is whole.", param=param)
        if abs(value.number_value) > MAX_INTEGER:
            raise ValidationFailed("A number in an event is below 2^53.", param=param)
        return int(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return _fields(value.struct_value, param)
    if kind == "list_value":
        return [_value(item, param) for item in value.list_value.values]
    return None
