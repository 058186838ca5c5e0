from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Agents(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENTS_UNSPECIFIED: _ClassVar[Agents]
    AGENTS_PERMITTED: _ClassVar[Agents]
    AGENTS_ONLY: _ClassVar[Agents]

class Idempotency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDEMPOTENCY_UNSPECIFIED: _ClassVar[Idempotency]
    IDEMPOTENCY_ANSWER: _ClassVar[Idempotency]
    IDEMPOTENCY_RECORD: _ClassVar[Idempotency]

class Surface(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SURFACE_UNSPECIFIED: _ClassVar[Surface]
    SURFACE_ANTHROPIC: _ClassVar[Surface]
AGENTS_UNSPECIFIED: Agents
AGENTS_PERMITTED: Agents
AGENTS_ONLY: Agents
IDEMPOTENCY_UNSPECIFIED: Idempotency
IDEMPOTENCY_ANSWER: Idempotency
IDEMPOTENCY_RECORD: Idempotency
SURFACE_UNSPECIFIED: Surface
SURFACE_ANTHROPIC: Surface
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _descriptor.FieldDescriptor

class Access(_message.Message):
    __slots__ = ("scope", "callers", "agents", "baa", "idempotency", "surface", "draining")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    BAA_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    scope: str
    callers: _containers.RepeatedScalarFieldContainer[str]
    agents: Agents
    baa: bool
    idempotency: Idempotency
    surface: Surface
    draining: bool
    def __init__(self, scope: _Optional[str] = ..., callers: _Optional[_Iterable[str]] = ..., agents: _Optional[_Union[Agents, str]] = ..., baa: _Optional[bool] = ..., idempotency: _Optional[_Union[Idempotency, str]] = ..., surface: _Optional[_Union[Surface, str]] = ..., draining: _Optional[bool] = ...) -> None: ...
