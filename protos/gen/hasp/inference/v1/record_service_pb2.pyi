from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from hasp.envelope.v1 import envelope_pb2 as _envelope_pb2
from hasp.inference.v1 import chat_service_pb2 as _chat_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetRecordRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetRecordResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: InferenceRecord
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[InferenceRecord, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class InferenceRecord(_message.Message):
    __slots__ = ("id", "request_id", "message_id", "surface", "status", "model", "provider_message_id", "stop_reason", "conversation_id", "messages", "content", "store", "usage", "phi", "audit", "latency_ms", "created_at", "completed_at")
    class RecordPhi(_message.Message):
        __slots__ = ("mode", "action", "entity_types", "redaction_count", "redactions", "restored_count", "policy")
        MODE_FIELD_NUMBER: _ClassVar[int]
        ACTION_FIELD_NUMBER: _ClassVar[int]
        ENTITY_TYPES_FIELD_NUMBER: _ClassVar[int]
        REDACTION_COUNT_FIELD_NUMBER: _ClassVar[int]
        REDACTIONS_FIELD_NUMBER: _ClassVar[int]
        RESTORED_COUNT_FIELD_NUMBER: _ClassVar[int]
        POLICY_FIELD_NUMBER: _ClassVar[int]
        mode: str
        action: str
        entity_types: _containers.RepeatedScalarFieldContainer[str]
        redaction_count: int
        redactions: _containers.RepeatedCompositeFieldContainer[InferenceRecord.Redaction]
        restored_count: int
        policy: str
        def __init__(self, mode: _Optional[str] = ..., action: _Optional[str] = ..., entity_types: _Optional[_Iterable[str]] = ..., redaction_count: _Optional[int] = ..., redactions: _Optional[_Iterable[_Union[InferenceRecord.Redaction, _Mapping]]] = ..., restored_count: _Optional[int] = ..., policy: _Optional[str] = ...) -> None: ...
    class Redaction(_message.Message):
        __slots__ = ("path", "entity_type", "placeholder", "score", "recognizer", "category", "start", "end")
        PATH_FIELD_NUMBER: _ClassVar[int]
        ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
        PLACEHOLDER_FIELD_NUMBER: _ClassVar[int]
        SCORE_FIELD_NUMBER: _ClassVar[int]
        RECOGNIZER_FIELD_NUMBER: _ClassVar[int]
        CATEGORY_FIELD_NUMBER: _ClassVar[int]
        START_FIELD_NUMBER: _ClassVar[int]
        END_FIELD_NUMBER: _ClassVar[int]
        path: str
        entity_type: str
        placeholder: str
        score: float
        recognizer: str
        category: str
        start: _struct_pb2.Value
        end: _struct_pb2.Value
        def __init__(self, path: _Optional[str] = ..., entity_type: _Optional[str] = ..., placeholder: _Optional[str] = ..., score: _Optional[float] = ..., recognizer: _Optional[str] = ..., category: _Optional[str] = ..., start: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., end: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    class RecordAudit(_message.Message):
        __slots__ = ("entry_ids",)
        ENTRY_IDS_FIELD_NUMBER: _ClassVar[int]
        entry_ids: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, entry_ids: _Optional[_Iterable[str]] = ...) -> None: ...
    class Latency(_message.Message):
        __slots__ = ("phi", "upstream", "total")
        PHI_FIELD_NUMBER: _ClassVar[int]
        UPSTREAM_FIELD_NUMBER: _ClassVar[int]
        TOTAL_FIELD_NUMBER: _ClassVar[int]
        phi: _struct_pb2.Value
        upstream: _struct_pb2.Value
        total: _struct_pb2.Value
        def __init__(self, phi: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., upstream: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., total: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PHI_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    request_id: str
    message_id: str
    surface: str
    status: str
    model: str
    provider_message_id: _struct_pb2.Value
    stop_reason: _struct_pb2.Value
    conversation_id: _struct_pb2.Value
    messages: _struct_pb2.Value
    content: _struct_pb2.Value
    store: bool
    usage: _chat_service_pb2.ChatUsage
    phi: InferenceRecord.RecordPhi
    audit: InferenceRecord.RecordAudit
    latency_ms: InferenceRecord.Latency
    created_at: str
    completed_at: _struct_pb2.Value
    def __init__(self, id: _Optional[str] = ..., request_id: _Optional[str] = ..., message_id: _Optional[str] = ..., surface: _Optional[str] = ..., status: _Optional[str] = ..., model: _Optional[str] = ..., provider_message_id: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., stop_reason: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., conversation_id: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., messages: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., content: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., store: _Optional[bool] = ..., usage: _Optional[_Union[_chat_service_pb2.ChatUsage, _Mapping]] = ..., phi: _Optional[_Union[InferenceRecord.RecordPhi, _Mapping]] = ..., audit: _Optional[_Union[InferenceRecord.RecordAudit, _Mapping]] = ..., latency_ms: _Optional[_Union[InferenceRecord.Latency, _Mapping]] = ..., created_at: _Optional[str] = ..., completed_at: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
