from buf.validate import validate_pb2 as _validate_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PhiSpan(_message.Message):
    __slots__ = ("start", "end", "entity_type", "score", "recognizer", "category", "placeholder", "operator")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RECOGNIZER_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDER_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    entity_type: str
    score: float
    recognizer: str
    category: str
    placeholder: str
    operator: str
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., entity_type: _Optional[str] = ..., score: _Optional[float] = ..., recognizer: _Optional[str] = ..., category: _Optional[str] = ..., placeholder: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("texts", "operators")
    class OperatorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Operator
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Operator, _Mapping]] = ...) -> None: ...
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    OPERATORS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    operators: _containers.MessageMap[str, Operator]
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., operators: _Optional[_Mapping[str, Operator]] = ...) -> None: ...

class Operator(_message.Message):
    __slots__ = ("placeholder", "replace", "redact", "mask", "hash", "keep")
    class Placeholder(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Replace(_message.Message):
        __slots__ = ("new_value",)
        NEW_VALUE_FIELD_NUMBER: _ClassVar[int]
        new_value: str
        def __init__(self, new_value: _Optional[str] = ...) -> None: ...
    class Redact(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Mask(_message.Message):
        __slots__ = ("masking_char", "chars_to_mask", "from_end")
        MASKING_CHAR_FIELD_NUMBER: _ClassVar[int]
        CHARS_TO_MASK_FIELD_NUMBER: _ClassVar[int]
        FROM_END_FIELD_NUMBER: _ClassVar[int]
        masking_char: str
        chars_to_mask: int
        from_end: bool
        def __init__(self, masking_char: _Optional[str] = ..., chars_to_mask: _Optional[int] = ..., from_end: _Optional[bool] = ...) -> None: ...
    class Hash(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Keep(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    PLACEHOLDER_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    REDACT_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    placeholder: Operator.Placeholder
    replace: Operator.Replace
    redact: Operator.Redact
    mask: Operator.Mask
    hash: Operator.Hash
    keep: Operator.Keep
    def __init__(self, placeholder: _Optional[_Union[Operator.Placeholder, _Mapping]] = ..., replace: _Optional[_Union[Operator.Replace, _Mapping]] = ..., redact: _Optional[_Union[Operator.Redact, _Mapping]] = ..., mask: _Optional[_Union[Operator.Mask, _Mapping]] = ..., hash: _Optional[_Union[Operator.Hash, _Mapping]] = ..., keep: _Optional[_Union[Operator.Keep, _Mapping]] = ...) -> None: ...

class RedactResponse(_message.Message):
    __slots__ = ("texts", "placeholders", "results", "restorable")
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
    RESTORABLE_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    placeholders: _containers.ScalarMap[str, str]
    results: _containers.RepeatedCompositeFieldContainer[PhiSpans]
    restorable: bool
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., placeholders: _Optional[_Mapping[str, str]] = ..., results: _Optional[_Iterable[_Union[PhiSpans, _Mapping]]] = ..., restorable: _Optional[bool] = ...) -> None: ...

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
