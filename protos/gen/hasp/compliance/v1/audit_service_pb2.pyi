from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from hasp.envelope.v1 import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuditEntry(_message.Message):
    __slots__ = ("id", "seq", "action", "entity_type", "entity_id", "user_id", "actor", "ip_address", "request_id", "metadata", "integrity_hash", "created_at")
    class Actor(_message.Message):
        __slots__ = ("type", "id", "credential_id", "delegation_path")
        TYPE_FIELD_NUMBER: _ClassVar[int]
        ID_FIELD_NUMBER: _ClassVar[int]
        CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
        DELEGATION_PATH_FIELD_NUMBER: _ClassVar[int]
        type: str
        id: str
        credential_id: str
        delegation_path: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., credential_id: _Optional[str] = ..., delegation_path: _Optional[_Iterable[str]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    INTEGRITY_HASH_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    seq: _struct_pb2.Value
    action: str
    entity_type: str
    entity_id: str
    user_id: _struct_pb2.Value
    actor: AuditEntry.Actor
    ip_address: _struct_pb2.Value
    request_id: _struct_pb2.Value
    metadata: _struct_pb2.Struct
    integrity_hash: str
    created_at: str
    def __init__(self, id: _Optional[str] = ..., seq: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., action: _Optional[str] = ..., entity_type: _Optional[str] = ..., entity_id: _Optional[str] = ..., user_id: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., actor: _Optional[_Union[AuditEntry.Actor, _Mapping]] = ..., ip_address: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., request_id: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., integrity_hash: _Optional[str] = ..., created_at: _Optional[str] = ...) -> None: ...

class ListAuditEntriesRequest(_message.Message):
    __slots__ = ("action", "entity_type", "entity_id", "actor_id", "since", "until", "cursor", "limit")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    action: str
    entity_type: str
    entity_id: str
    actor_id: str
    since: str
    until: str
    cursor: str
    limit: int
    def __init__(self, action: _Optional[str] = ..., entity_type: _Optional[str] = ..., entity_id: _Optional[str] = ..., actor_id: _Optional[str] = ..., since: _Optional[str] = ..., until: _Optional[str] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListAuditEntriesResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    meta: _envelope_pb2.CursorMeta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., meta: _Optional[_Union[_envelope_pb2.CursorMeta, _Mapping]] = ...) -> None: ...

class GetAuditEntryRequest(_message.Message):
    __slots__ = ("entry_id",)
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    def __init__(self, entry_id: _Optional[str] = ...) -> None: ...

class GetAuditEntryResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: AuditEntry
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[AuditEntry, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class GetInclusionProofRequest(_message.Message):
    __slots__ = ("entry_id",)
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    def __init__(self, entry_id: _Optional[str] = ...) -> None: ...

class GetInclusionProofResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: InclusionProof
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[InclusionProof, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class InclusionProof(_message.Message):
    __slots__ = ("leaf_index", "tree_size", "leaf_hash", "hashes", "checkpoint", "leaf", "tlog_proof")
    LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    TLOG_PROOF_FIELD_NUMBER: _ClassVar[int]
    leaf_index: float
    tree_size: float
    leaf_hash: str
    hashes: _containers.RepeatedScalarFieldContainer[str]
    checkpoint: str
    leaf: str
    tlog_proof: str
    def __init__(self, leaf_index: _Optional[float] = ..., tree_size: _Optional[float] = ..., leaf_hash: _Optional[str] = ..., hashes: _Optional[_Iterable[str]] = ..., checkpoint: _Optional[str] = ..., leaf: _Optional[str] = ..., tlog_proof: _Optional[str] = ...) -> None: ...

class GetConsistencyProofRequest(_message.Message):
    __slots__ = ("from_size", "to_size")
    FROM_SIZE_FIELD_NUMBER: _ClassVar[int]
    TO_SIZE_FIELD_NUMBER: _ClassVar[int]
    from_size: int
    to_size: int
    def __init__(self, from_size: _Optional[int] = ..., to_size: _Optional[int] = ...) -> None: ...

class GetConsistencyProofResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: ConsistencyProof
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[ConsistencyProof, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class ConsistencyProof(_message.Message):
    __slots__ = ("from_size", "to_size", "hashes", "checkpoint")
    FROM_SIZE_FIELD_NUMBER: _ClassVar[int]
    TO_SIZE_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    from_size: float
    to_size: float
    hashes: _containers.RepeatedScalarFieldContainer[str]
    checkpoint: str
    def __init__(self, from_size: _Optional[float] = ..., to_size: _Optional[float] = ..., hashes: _Optional[_Iterable[str]] = ..., checkpoint: _Optional[str] = ...) -> None: ...

class GetLogCheckpointRequest(_message.Message):
    __slots__ = ("from_size",)
    FROM_SIZE_FIELD_NUMBER: _ClassVar[int]
    from_size: int
    def __init__(self, from_size: _Optional[int] = ...) -> None: ...

class GetLogCheckpointResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: ConsistencyProof
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[ConsistencyProof, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("cursor", "limit")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    limit: int
    def __init__(self, cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    meta: _envelope_pb2.CursorMeta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., meta: _Optional[_Union[_envelope_pb2.CursorMeta, _Mapping]] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("tree_size", "root_hash", "note", "created_at")
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_HASH_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    tree_size: float
    root_hash: str
    note: str
    created_at: str
    def __init__(self, tree_size: _Optional[float] = ..., root_hash: _Optional[str] = ..., note: _Optional[str] = ..., created_at: _Optional[str] = ...) -> None: ...

class ExportAuditRequest(_message.Message):
    __slots__ = ("since", "until", "from_size")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    FROM_SIZE_FIELD_NUMBER: _ClassVar[int]
    since: str
    until: str
    from_size: int
    def __init__(self, since: _Optional[str] = ..., until: _Optional[str] = ..., from_size: _Optional[int] = ...) -> None: ...
