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

class Credential(_message.Message):
    __slots__ = ("id", "agent_id", "name", "description", "prefix", "last_four", "granted_scopes", "delegating_user_id", "parent_credential_id", "delegation_path", "chain_depth", "expires_at", "revocation_policy", "max_concurrent_invocations", "status", "created_at", "revoked_at", "last_used_at", "revocation_reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    LAST_FOUR_FIELD_NUMBER: _ClassVar[int]
    GRANTED_SCOPES_FIELD_NUMBER: _ClassVar[int]
    DELEGATING_USER_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_PATH_FIELD_NUMBER: _ClassVar[int]
    CHAIN_DEPTH_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_POLICY_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_AT_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    agent_id: str
    name: str
    description: _struct_pb2.Value
    prefix: str
    last_four: str
    granted_scopes: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    delegating_user_id: str
    parent_credential_id: _struct_pb2.Value
    delegation_path: _containers.RepeatedScalarFieldContainer[str]
    chain_depth: int
    expires_at: str
    revocation_policy: str
    max_concurrent_invocations: int
    status: str
    created_at: str
    revoked_at: _struct_pb2.Value
    last_used_at: _struct_pb2.Value
    revocation_reason: _struct_pb2.Value
    def __init__(self, id: _Optional[str] = ..., agent_id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., prefix: _Optional[str] = ..., last_four: _Optional[str] = ..., granted_scopes: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., delegating_user_id: _Optional[str] = ..., parent_credential_id: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., delegation_path: _Optional[_Iterable[str]] = ..., chain_depth: _Optional[int] = ..., expires_at: _Optional[str] = ..., revocation_policy: _Optional[str] = ..., max_concurrent_invocations: _Optional[int] = ..., status: _Optional[str] = ..., created_at: _Optional[str] = ..., revoked_at: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., last_used_at: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., revocation_reason: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class IssueCredentialRequest(_message.Message):
    __slots__ = ("agent_id", "name", "description", "granted_scopes", "expires_at", "revocation_policy", "max_concurrent_invocations", "test_mode")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    GRANTED_SCOPES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_POLICY_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    TEST_MODE_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    name: str
    description: str
    granted_scopes: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    expires_at: str
    revocation_policy: str
    max_concurrent_invocations: int
    test_mode: bool
    def __init__(self, agent_id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., granted_scopes: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., expires_at: _Optional[str] = ..., revocation_policy: _Optional[str] = ..., max_concurrent_invocations: _Optional[int] = ..., test_mode: _Optional[bool] = ...) -> None: ...

class IssueCredentialResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: IssuedCredential
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[IssuedCredential, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class IssuedCredential(_message.Message):
    __slots__ = ("credential", "token")
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    credential: Credential
    token: str
    def __init__(self, credential: _Optional[_Union[Credential, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class ListCredentialsRequest(_message.Message):
    __slots__ = ("agent_id", "status", "cursor", "limit")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    status: str
    cursor: str
    limit: int
    def __init__(self, agent_id: _Optional[str] = ..., status: _Optional[str] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListCredentialsResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: _containers.RepeatedCompositeFieldContainer[Credential]
    meta: _envelope_pb2.CursorMeta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Iterable[_Union[Credential, _Mapping]]] = ..., meta: _Optional[_Union[_envelope_pb2.CursorMeta, _Mapping]] = ...) -> None: ...

class GetCredentialRequest(_message.Message):
    __slots__ = ("agent_id", "credential_id")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    credential_id: str
    def __init__(self, agent_id: _Optional[str] = ..., credential_id: _Optional[str] = ...) -> None: ...

class GetCredentialResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: CredentialData
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[CredentialData, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class CredentialData(_message.Message):
    __slots__ = ("credential",)
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    credential: Credential
    def __init__(self, credential: _Optional[_Union[Credential, _Mapping]] = ...) -> None: ...

class RevokeCredentialRequest(_message.Message):
    __slots__ = ("agent_id", "credential_id", "reason")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    credential_id: str
    reason: str
    def __init__(self, agent_id: _Optional[str] = ..., credential_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeCredentialResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: RevokedCredential
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[RevokedCredential, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class RevokedCredential(_message.Message):
    __slots__ = ("credential", "cascade_revoked_credential_ids")
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CASCADE_REVOKED_CREDENTIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    credential: Credential
    cascade_revoked_credential_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, credential: _Optional[_Union[Credential, _Mapping]] = ..., cascade_revoked_credential_ids: _Optional[_Iterable[str]] = ...) -> None: ...
