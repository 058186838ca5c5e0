from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from hasp.envelope.v1 import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetUsageRequest(_message.Message):
    __slots__ = ("start", "end", "group_by")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    start: str
    end: str
    group_by: str
    def __init__(self, start: _Optional[str] = ..., end: _Optional[str] = ..., group_by: _Optional[str] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: Usage
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[Usage, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("period", "credits", "requests", "by_model", "series")
    class Period(_message.Message):
        __slots__ = ("start", "end")
        START_FIELD_NUMBER: _ClassVar[int]
        END_FIELD_NUMBER: _ClassVar[int]
        start: str
        end: str
        def __init__(self, start: _Optional[str] = ..., end: _Optional[str] = ...) -> None: ...
    class Credits(_message.Message):
        __slots__ = ("allotment", "used", "remaining", "reserved", "overage_purchased", "overage_consumed")
        ALLOTMENT_FIELD_NUMBER: _ClassVar[int]
        USED_FIELD_NUMBER: _ClassVar[int]
        REMAINING_FIELD_NUMBER: _ClassVar[int]
        RESERVED_FIELD_NUMBER: _ClassVar[int]
        OVERAGE_PURCHASED_FIELD_NUMBER: _ClassVar[int]
        OVERAGE_CONSUMED_FIELD_NUMBER: _ClassVar[int]
        allotment: float
        used: float
        remaining: float
        reserved: float
        overage_purchased: float
        overage_consumed: float
        def __init__(self, allotment: _Optional[float] = ..., used: _Optional[float] = ..., remaining: _Optional[float] = ..., reserved: _Optional[float] = ..., overage_purchased: _Optional[float] = ..., overage_consumed: _Optional[float] = ...) -> None: ...
    class Requests(_message.Message):
        __slots__ = ("total",)
        TOTAL_FIELD_NUMBER: _ClassVar[int]
        total: int
        def __init__(self, total: _Optional[int] = ...) -> None: ...
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BY_MODEL_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    period: Usage.Period
    credits: Usage.Credits
    requests: Usage.Requests
    by_model: _containers.RepeatedCompositeFieldContainer[ModelUsage]
    series: _struct_pb2.ListValue
    def __init__(self, period: _Optional[_Union[Usage.Period, _Mapping]] = ..., credits: _Optional[_Union[Usage.Credits, _Mapping]] = ..., requests: _Optional[_Union[Usage.Requests, _Mapping]] = ..., by_model: _Optional[_Iterable[_Union[ModelUsage, _Mapping]]] = ..., series: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class ModelUsage(_message.Message):
    __slots__ = ("model", "requests", "input_tokens", "output_tokens", "credits")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    model: str
    requests: int
    input_tokens: float
    output_tokens: float
    credits: float
    def __init__(self, model: _Optional[str] = ..., requests: _Optional[int] = ..., input_tokens: _Optional[float] = ..., output_tokens: _Optional[float] = ..., credits: _Optional[float] = ...) -> None: ...
