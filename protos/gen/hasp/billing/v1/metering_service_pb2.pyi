from buf.validate import validate_pb2 as _validate_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReserveRequest(_message.Message):
    __slots__ = ("org_id", "request_id", "principal_id", "agent_id", "model", "catalogue_version", "input_tokens_bound", "max_tokens", "count_only")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_BOUND_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    request_id: str
    principal_id: str
    agent_id: str
    model: str
    catalogue_version: str
    input_tokens_bound: int
    max_tokens: int
    count_only: bool
    def __init__(self, org_id: _Optional[str] = ..., request_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., model: _Optional[str] = ..., catalogue_version: _Optional[str] = ..., input_tokens_bound: _Optional[int] = ..., max_tokens: _Optional[int] = ..., count_only: _Optional[bool] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ("reserved", "opus_not_enabled", "rate_limited", "exhausted", "retry_after_seconds", "cycle_reset_at", "requests", "tokens")
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    OPUS_NOT_ENABLED_FIELD_NUMBER: _ClassVar[int]
    RATE_LIMITED_FIELD_NUMBER: _ClassVar[int]
    EXHAUSTED_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CYCLE_RESET_AT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    reserved: bool
    opus_not_enabled: bool
    rate_limited: bool
    exhausted: bool
    retry_after_seconds: int
    cycle_reset_at: str
    requests: RateLimit
    tokens: RateLimit
    def __init__(self, reserved: _Optional[bool] = ..., opus_not_enabled: _Optional[bool] = ..., rate_limited: _Optional[bool] = ..., exhausted: _Optional[bool] = ..., retry_after_seconds: _Optional[int] = ..., cycle_reset_at: _Optional[str] = ..., requests: _Optional[_Union[RateLimit, _Mapping]] = ..., tokens: _Optional[_Union[RateLimit, _Mapping]] = ...) -> None: ...

class RateLimit(_message.Message):
    __slots__ = ("limit", "remaining", "reset_at")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESET_AT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    remaining: int
    reset_at: str
    def __init__(self, limit: _Optional[int] = ..., remaining: _Optional[int] = ..., reset_at: _Optional[str] = ...) -> None: ...

class RequestRef(_message.Message):
    __slots__ = ("org_id", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RequestRef]
    def __init__(self, requests: _Optional[_Iterable[_Union[RequestRef, _Mapping]]] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SettleRequest(_message.Message):
    __slots__ = ("settlements",)
    SETTLEMENTS_FIELD_NUMBER: _ClassVar[int]
    settlements: _containers.RepeatedCompositeFieldContainer[Settlement]
    def __init__(self, settlements: _Optional[_Iterable[_Union[Settlement, _Mapping]]] = ...) -> None: ...

class Settlement(_message.Message):
    __slots__ = ("org_id", "request_id", "principal_id", "agent_id", "model", "catalogue_version", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "basis", "occurred_at_ms", "undelivered")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    UNDELIVERED_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    request_id: str
    principal_id: str
    agent_id: str
    model: str
    catalogue_version: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    basis: str
    occurred_at_ms: int
    undelivered: bool
    def __init__(self, org_id: _Optional[str] = ..., request_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., model: _Optional[str] = ..., catalogue_version: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., basis: _Optional[str] = ..., occurred_at_ms: _Optional[int] = ..., undelivered: _Optional[bool] = ...) -> None: ...

class SettleResponse(_message.Message):
    __slots__ = ("booked",)
    BOOKED_FIELD_NUMBER: _ClassVar[int]
    booked: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, booked: _Optional[_Iterable[int]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RequestRef]
    def __init__(self, requests: _Optional[_Iterable[_Union[RequestRef, _Mapping]]] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetEntitlementsRequest(_message.Message):
    __slots__ = ("org_id",)
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    def __init__(self, org_id: _Optional[str] = ...) -> None: ...

class GetEntitlementsResponse(_message.Message):
    __slots__ = ("opus_enabled", "plan", "seq")
    OPUS_ENABLED_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    opus_enabled: bool
    plan: str
    seq: int
    def __init__(self, opus_enabled: _Optional[bool] = ..., plan: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...
