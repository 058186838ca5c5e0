from buf.validate import validate_pb2 as _validate_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PhiSpan(_message.Message):
    __slots__ = ("start", "end", "entity_type", "score", "recognizer", "category", "placeholder")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RECOGNIZER_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDER_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    entity_type: str
    score: float
    recognizer: str
    category: str
    placeholder: str
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., entity_type: _Optional[str] = ..., score: _Optional[float] = ..., recognizer: _Optional[str] = ..., category: _Optional[str] = ..., placeholder: _Optional[str] = ...) -> None: ...

class PhiSpans(_message.Message):
    __slots__ = ("spans",)
    SPANS_FIELD_NUMBER: _ClassVar[int]
    spans: _containers.RepeatedCompositeFieldContainer[PhiSpan]
    def __init__(self, spans: _Optional[_Iterable[_Union[PhiSpan, _Mapping]]] = ...) -> None: ...

class ScanRequest(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class ScanResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PhiSpans]
    def __init__(self, results: _Optional[_Iterable[_Union[PhiSpans, _Mapping]]] = ...) -> None: ...

class RedactRequest(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class RedactResponse(_message.Message):
    __slots__ = ("texts", "placeholders", "results")
    class PlaceholdersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    placeholders: _containers.ScalarMap[str, str]
    results: _containers.RepeatedCompositeFieldContainer[PhiSpans]
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., placeholders: _Optional[_Mapping[str, str]] = ..., results: _Optional[_Iterable[_Union[PhiSpans, _Mapping]]] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("texts", "placeholders")
    class PlaceholdersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDERS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    placeholders: _containers.ScalarMap[str, str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., placeholders: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RestoreResponse(_message.Message):
    __slots__ = ("texts", "restored_count")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    RESTORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    restored_count: int
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., restored_count: _Optional[int] = ...) -> None: ...

class ScanStreamRequest(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ScanStreamResponse(_message.Message):
    __slots__ = ("spans",)
    SPANS_FIELD_NUMBER: _ClassVar[int]
    spans: _containers.RepeatedCompositeFieldContainer[PhiSpan]
    def __init__(self, spans: _Optional[_Iterable[_Union[PhiSpan, _Mapping]]] = ...) -> None: ...
