from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChatRequest(_message.Message):
    __slots__ = ("message", "model", "stream", "conversation_id", "store", "system", "max_tokens")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    message: str
    model: str
    stream: bool
    conversation_id: str
    store: bool
    system: str
    max_tokens: int
    def __init__(self, message: _Optional[str] = ..., model: _Optional[str] = ..., stream: _Optional[bool] = ..., conversation_id: _Optional[str] = ..., store: _Optional[bool] = ..., system: _Optional[str] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class StreamChatResponse(_message.Message):
    __slots__ = ("id", "created", "run", "message", "message_delta", "usage")
    class Run(_message.Message):
        __slots__ = ("id", "type", "status", "model", "conversation_id", "created_at", "error_code", "error_message", "phi")
        ID_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        STATUS_FIELD_NUMBER: _ClassVar[int]
        MODEL_FIELD_NUMBER: _ClassVar[int]
        CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
        CREATED_AT_FIELD_NUMBER: _ClassVar[int]
        ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
        ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
        PHI_FIELD_NUMBER: _ClassVar[int]
        id: str
        type: str
        status: str
        model: str
        conversation_id: str
        created_at: str
        error_code: str
        error_message: str
        phi: PhiSummary
        def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., status: _Optional[str] = ..., model: _Optional[str] = ..., conversation_id: _Optional[str] = ..., created_at: _Optional[str] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ..., phi: _Optional[_Union[PhiSummary, _Mapping]] = ...) -> None: ...
    class Message(_message.Message):
        __slots__ = ("id", "status", "content")
        ID_FIELD_NUMBER: _ClassVar[int]
        STATUS_FIELD_NUMBER: _ClassVar[int]
        CONTENT_FIELD_NUMBER: _ClassVar[int]
        id: str
        status: str
        content: str
        def __init__(self, id: _Optional[str] = ..., status: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...
    class MessageDelta(_message.Message):
        __slots__ = ("message_id", "text")
        MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        message_id: str
        text: str
        def __init__(self, message_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_DELTA_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    created: int
    run: StreamChatResponse.Run
    message: StreamChatResponse.Message
    message_delta: StreamChatResponse.MessageDelta
    usage: ChatUsage
    def __init__(self, id: _Optional[str] = ..., created: _Optional[int] = ..., run: _Optional[_Union[StreamChatResponse.Run, _Mapping]] = ..., message: _Optional[_Union[StreamChatResponse.Message, _Mapping]] = ..., message_delta: _Optional[_Union[StreamChatResponse.MessageDelta, _Mapping]] = ..., usage: _Optional[_Union[ChatUsage, _Mapping]] = ...) -> None: ...

class ChatUsage(_message.Message):
    __slots__ = ("model", "input_tokens", "output_tokens", "sonnet_equivalent_tokens", "cost_usd")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SONNET_EQUIVALENT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    model: str
    input_tokens: float
    output_tokens: float
    sonnet_equivalent_tokens: float
    cost_usd: float
    def __init__(self, model: _Optional[str] = ..., input_tokens: _Optional[float] = ..., output_tokens: _Optional[float] = ..., sonnet_equivalent_tokens: _Optional[float] = ..., cost_usd: _Optional[float] = ...) -> None: ...

class PhiSummary(_message.Message):
    __slots__ = ("mode", "action", "entity_types", "redaction_count", "restored_count")
    MODE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPES_FIELD_NUMBER: _ClassVar[int]
    REDACTION_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESTORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    mode: str
    action: str
    entity_types: _containers.RepeatedScalarFieldContainer[str]
    redaction_count: int
    restored_count: int
    def __init__(self, mode: _Optional[str] = ..., action: _Optional[str] = ..., entity_types: _Optional[_Iterable[str]] = ..., redaction_count: _Optional[int] = ..., restored_count: _Optional[int] = ...) -> None: ...
