from hasp.access.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ("start", "ping", "applied_seq")
    class Start(_message.Message):
        __slots__ = ("watcher_id",)
        WATCHER_ID_FIELD_NUMBER: _ClassVar[int]
        watcher_id: str
        def __init__(self, watcher_id: _Optional[str] = ...) -> None: ...
    class Ping(_message.Message):
        __slots__ = ("nonce",)
        NONCE_FIELD_NUMBER: _ClassVar[int]
        nonce: int
        def __init__(self, nonce: _Optional[int] = ...) -> None: ...
    START_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    APPLIED_SEQ_FIELD_NUMBER: _ClassVar[int]
    start: WatchRequest.Start
    ping: WatchRequest.Ping
    applied_seq: int
    def __init__(self, start: _Optional[_Union[WatchRequest.Start, _Mapping]] = ..., ping: _Optional[_Union[WatchRequest.Ping, _Mapping]] = ..., applied_seq: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("hello", "pong", "changes")
    class Hello(_message.Message):
        __slots__ = ("seq",)
        SEQ_FIELD_NUMBER: _ClassVar[int]
        seq: int
        def __init__(self, seq: _Optional[int] = ...) -> None: ...
    class Pong(_message.Message):
        __slots__ = ("nonce", "seq")
        NONCE_FIELD_NUMBER: _ClassVar[int]
        SEQ_FIELD_NUMBER: _ClassVar[int]
        nonce: int
        seq: int
        def __init__(self, nonce: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...
    class Changes(_message.Message):
        __slots__ = ("changes",)
        CHANGES_FIELD_NUMBER: _ClassVar[int]
        changes: _containers.RepeatedCompositeFieldContainer[Change]
        def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ...) -> None: ...
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    hello: WatchResponse.Hello
    pong: WatchResponse.Pong
    changes: WatchResponse.Changes
    def __init__(self, hello: _Optional[_Union[WatchResponse.Hello, _Mapping]] = ..., pong: _Optional[_Union[WatchResponse.Pong, _Mapping]] = ..., changes: _Optional[_Union[WatchResponse.Changes, _Mapping]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("seq", "org_id", "subject_id", "cancel")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    seq: int
    org_id: str
    subject_id: str
    cancel: bool
    def __init__(self, seq: _Optional[int] = ..., org_id: _Optional[str] = ..., subject_id: _Optional[str] = ..., cancel: _Optional[bool] = ...) -> None: ...
