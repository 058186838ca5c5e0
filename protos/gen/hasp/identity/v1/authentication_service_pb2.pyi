from buf.validate import validate_pb2 as _validate_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Principal(_message.Message):
    __slots__ = ("org_id", "kind", "id", "user_id", "scopes", "agent_id", "delegation_path", "granted_tool_ids", "expires_at_ms", "test_mode")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_PATH_FIELD_NUMBER: _ClassVar[int]
    GRANTED_TOOL_IDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    TEST_MODE_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    kind: str
    id: str
    user_id: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    agent_id: str
    delegation_path: _containers.RepeatedScalarFieldContainer[str]
    granted_tool_ids: _containers.RepeatedScalarFieldContainer[str]
    expires_at_ms: int
    test_mode: bool
    def __init__(self, org_id: _Optional[str] = ..., kind: _Optional[str] = ..., id: _Optional[str] = ..., user_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., agent_id: _Optional[str] = ..., delegation_path: _Optional[_Iterable[str]] = ..., granted_tool_ids: _Optional[_Iterable[str]] = ..., expires_at_ms: _Optional[int] = ..., test_mode: _Optional[bool] = ...) -> None: ...

class AuthenticateRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class AuthenticateResponse(_message.Message):
    __slots__ = ("principal", "seq")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    seq: int
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class RecordUseRequest(_message.Message):
    __slots__ = ("uses",)
    class Use(_message.Message):
        __slots__ = ("org_id", "principal_id", "used_at_ms")
        ORG_ID_FIELD_NUMBER: _ClassVar[int]
        PRINCIPAL_ID_FIELD_NUMBER: _ClassVar[int]
        USED_AT_MS_FIELD_NUMBER: _ClassVar[int]
        org_id: str
        principal_id: str
        used_at_ms: int
        def __init__(self, org_id: _Optional[str] = ..., principal_id: _Optional[str] = ..., used_at_ms: _Optional[int] = ...) -> None: ...
    USES_FIELD_NUMBER: _ClassVar[int]
    uses: _containers.RepeatedCompositeFieldContainer[RecordUseRequest.Use]
    def __init__(self, uses: _Optional[_Iterable[_Union[RecordUseRequest.Use, _Mapping]]] = ...) -> None: ...

class RecordUseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
