"""Domain → wire: one function a message."""

from collections.abc import Iterable
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.struct_pb2 import NULL_VALUE, Value
from hasp.inference.v1 import chat_service_pb2 as chat_pb
from hasp.inference.v1 import model_service_pb2 as model_pb
from hasp.inference.v1 import phi_service_pb2 as phi_pb
from hasp.inference.v1 import record_service_pb2 as record_pb
from hasp.inference.v1 import settings_service_pb2 as settings_pb

from services.chassis.timestamps import iso
from services.inference.domain.catalogue import Model
from services.inference.domain.chat import (
    ChatAnswer,
    ChatEvent,
    ChatTurn,
    DeltaEvent,
    MessageEvent,
    PhiSummary,
    RunEvent,
    UsageEvent,
    UsageSummary,
)
from services.inference.domain.phi import (
    Hash,
    Keep,
    Mask,
    Operator,
    Placeholder,
    Redact,
    RedactedTexts,
    Redaction,
    Replace,
    Span,
)
from services.inference.domain.settings import Settings
from services.inference.usecases.records import OpenedRecord

API_VERSION = "2026-04-01"


def turn(request: chat_pb.ChatRequest) -> ChatTurn:
    given = {
        name: getattr(request, name)
        for name in ("model", "stream", "conversation_id", "store", "system", "max_tokens")
        if request.HasField(name)
    }
    return ChatTurn(message=request.message, **given)


def chat_answer(answer: ChatAnswer, request_id: str) -> bytes:
    """The native JSON answer. `request_id` is `req_<ulid>`."""
    return orjson.dumps(
        {
            "success": True,
            "data": {
                "message": {"id": f"msg_{answer.request_id}", "role": "assistant", "content": answer.content},
                "conversation_id": answer.conversation_id,
            },
            "meta": {"request_id": request_id, "usage": answer.usage, "phi": answer.phi},
        }
    )


def chat_event(event: ChatEvent, event_id: str, created: int) -> bytes:
    """One server-sent event of the native surface; `created` in Unix seconds."""
    match event:
        case RunEvent():
            kind, data = event.type, _run(event)
        case MessageEvent():
            kind, data = event.type, {"object": _message(event)}
        case DeltaEvent():
            delta = {"type": "text_delta", "text": event.text}
            kind, data = "message.delta", {"message_id": f"msg_{event.request_id}", "index": 0, "delta": delta}
        case UsageEvent():
            kind, data = "usage.updated", event.usage
        case _:
            return b": ping\n\n"
    body = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "api_version": API_VERSION,
        "created": created,
        "data": data,
    }
    return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), event_id.encode(), orjson.dumps(body))


def _run(event: RunEvent) -> dict[str, Any]:
    data: dict[str, Any] = {
        "object": {
            "id": f"req_{event.request_id}",
            "object": "run",
            "status": event.status,
            "model": event.model,
            "conversation_id": event.conversation_id,
            "created_at": iso(event.created_at),
        }
    }
    if event.type == "run.started":
        data |= {"request_id": f"req_{event.request_id}", "message_id": f"msg_{event.request_id}"}
    if event.phi is not None:
        data["phi"] = event.phi
    if event.error is not None:
        data["error"] = event.error
    return data


def _message(event: MessageEvent) -> dict[str, Any]:
    return {
        "id": f"msg_{event.request_id}",
        "object": "message",
        "role": "assistant",
        "status": event.status,
        "content": event.content,
    }


def stream_response(event: ChatEvent, event_id: str, created: int) -> chat_pb.StreamChatResponse | None:
    """The typed twin of chat_event; None for what only HTTP needs."""
    response = chat_pb.StreamChatResponse(id=event_id, created=created)
    match event:
        case RunEvent():
            response.run.CopyFrom(
                chat_pb.StreamChatResponse.Run(
                    id=f"req_{event.request_id}",
                    type=event.type,
                    status=event.status,
                    model=event.model,
                    conversation_id=event.conversation_id or "",
                    created_at=iso(event.created_at),
                    error_code=event.error["code"] if event.error else "",
                    error_message=event.error["message"] if event.error else "",
                    phi=phi_summary(event.phi) if event.phi else None,
                )
            )
        case MessageEvent():
            response.message.id = f"msg_{event.request_id}"
            response.message.status = event.status
            response.message.content = event.content
        case DeltaEvent():
            response.message_delta.message_id = f"msg_{event.request_id}"
            response.message_delta.text = event.text
        case UsageEvent():
            response.usage.CopyFrom(usage(event.usage))
        case _:
            return None
    return response


def usage(summary: UsageSummary) -> chat_pb.ChatUsage:
    return chat_pb.ChatUsage(
        model=summary.model,
        input_tokens=summary.input_tokens,
        output_tokens=summary.output_tokens,
        sonnet_equivalent_tokens=summary.sonnet_equivalent_tokens,
        cost_usd=summary.cost_usd,
    )


def phi_summary(summary: PhiSummary) -> chat_pb.PhiSummary:
    return chat_pb.PhiSummary(
        mode=summary.mode,
        action=summary.action,
        entity_types=summary.entity_types,
        redaction_count=summary.redaction_count,
        restored_count=summary.restored_count,
    )


def record(opened: OpenedRecord) -> record_pb.InferenceRecord:
    stored = opened.record
    phi = stored.phi
    return record_pb.InferenceRecord(
        id=stored.request_id,
        request_id=f"req_{stored.request_id}",
        message_id=f"msg_{stored.request_id}",
        surface=stored.surface,
        status=stored.status,
        model=stored.model,
        provider_message_id=value(stored.provider_message_id),
        stop_reason=value(stored.stop_reason),
        conversation_id=value(stored.conversation_id),
        messages=value(opened.messages),
        content=value(opened.content),
        store=stored.store,
        usage=usage(opened.usage),
        phi=record_pb.InferenceRecord.RecordPhi(
            mode=phi["mode"],
            action=phi["action"],
            entity_types=phi["entity_types"],
            redaction_count=phi["redaction_count"],
            restored_count=stored.restored_count,
            policy=phi.get("policy", ""),
            redactions=map(_redaction, opened.detections),
        ),
        audit=record_pb.InferenceRecord.RecordAudit(entry_ids=stored.audit_ids),
        latency_ms=record_pb.InferenceRecord.Latency(
            phi=value(stored.phi_ms), upstream=value(stored.upstream_ms), total=value(stored.total_ms)
        ),
        created_at=iso(stored.created_at),
        completed_at=value(iso(stored.completed_at) if stored.completed_at else None),
    )


def _redaction(found: Redaction) -> record_pb.InferenceRecord.Redaction:
    start, end = found.place or (None, None)
    return record_pb.InferenceRecord.Redaction(
        path=found.path,
        entity_type=found.entity_type,
        placeholder=found.placeholder,
        score=found.score,
        recognizer=found.recognizer,
        category=found.category,
        start=value(start),
        end=value(end),
    )


def spans(found: Iterable[Span]) -> phi_pb.PhiSpans:
    return phi_pb.PhiSpans(
        spans=[
            phi_pb.PhiSpan(
                start=span.start,
                end=span.end,
                entity_type=span.entity_type,
                score=span.score,
                recognizer=span.recognizer,
                category=span.category,
            )
            for span in found
        ]
    )


def operator(asked: phi_pb.Operator) -> Operator:
    match asked.WhichOneof("kind"):
        case "replace":
            return Replace(asked.replace.new_value)
        case "redact":
            return Redact()
        case "mask":
            how = asked.mask
            count = how.chars_to_mask if how.HasField("chars_to_mask") else None
            return Mask(how.masking_char or "*", count, how.from_end)
        case "hash":
            return Hash()
        case "keep":
            return Keep()
        case _:
            return Placeholder()


def redacted(batch: RedactedTexts) -> phi_pb.RedactResponse:
    return phi_pb.RedactResponse(
        texts=batch.texts,
        placeholders=batch.map.by_placeholder(),
        results=[phi_pb.PhiSpans(spans=map(_replaced, redactions)) for redactions in batch.redactions],
        restorable=batch.restorable,
    )


def _replaced(redaction: Redaction) -> phi_pb.PhiSpan:
    start, end = redaction.place or (0, 0)
    return phi_pb.PhiSpan(
        start=start,
        end=end,
        entity_type=redaction.entity_type,
        score=redaction.score,
        recognizer=redaction.recognizer,
        category=redaction.category,
        placeholder=redaction.placeholder,
        operator=redaction.operator,
    )


def settings(current: Settings) -> settings_pb.Settings:
    return settings_pb.Settings(
        phi_mode=current.phi_mode,
        phi_restore=current.phi_restore,
        storage_mode=current.storage_mode,
        image_policy=current.image_policy,
        default_system=value(current.default_system),
        retention_days=current.retention_days,
    )


def model(listed: Model) -> model_pb.Model:
    return model_pb.Model(type="model", id=listed.id, display_name=listed.display_name, created_at=listed.created_at)


def model_page(page: list[Model], *, has_more: bool) -> model_pb.ListModelsResponse:
    return model_pb.ListModelsResponse(
        data=[model(listed) for listed in page],
        has_more=has_more,
        first_id=value(page[0].id if page else None),
        last_id=value(page[-1].id if page else None),
    )


def value(anything: Any) -> Value:
    """Any JSON value; None is null."""
    if anything is None:
        return Value(null_value=NULL_VALUE)
    return json_format.ParseDict(anything, Value())
