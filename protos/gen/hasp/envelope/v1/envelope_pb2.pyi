from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Meta(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class CursorMeta(_message.Message):
    __slots__ = ("request_id", "next_cursor", "has_more")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    next_cursor: _struct_pb2.Value
    has_more: bool
    def __init__(self, request_id: _Optional[str] = ..., next_cursor: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class PageMeta(_message.Message):
    __slots__ = ("request_id", "total", "page", "last_page")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_PAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    total: int
    page: int
    last_page: int
    def __init__(self, request_id: _Optional[str] = ..., total: _Optional[int] = ..., page: _Optional[int] = ..., last_page: _Optional[int] = ...) -> None: ...
