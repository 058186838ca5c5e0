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

class BaaTemplate(_message.Message):
    __slots__ = ("version", "title", "sha256", "body_markdown", "effective_at")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    BODY_MARKDOWN_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    version: str
    title: str
    sha256: str
    body_markdown: str
    effective_at: str
    def __init__(self, version: _Optional[str] = ..., title: _Optional[str] = ..., sha256: _Optional[str] = ..., body_markdown: _Optional[str] = ..., effective_at: _Optional[str] = ...) -> None: ...

class BaaAcceptance(_message.Message):
    __slots__ = ("id", "template_version", "template_sha256", "status", "signer_name", "signer_title", "signer_email", "signed_at", "countersigned_at", "countersigned_by", "effective_at", "expires_at", "ip_address", "pdf_sha256", "audit_entry_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_SHA256_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SIGNER_NAME_FIELD_NUMBER: _ClassVar[int]
    SIGNER_TITLE_FIELD_NUMBER: _ClassVar[int]
    SIGNER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    SIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNED_BY_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PDF_SHA256_FIELD_NUMBER: _ClassVar[int]
    AUDIT_ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    template_version: str
    template_sha256: str
    status: str
    signer_name: str
    signer_title: str
    signer_email: str
    signed_at: str
    countersigned_at: str
    countersigned_by: str
    effective_at: str
    expires_at: _struct_pb2.Value
    ip_address: _struct_pb2.Value
    pdf_sha256: _struct_pb2.Value
    audit_entry_id: str
    def __init__(self, id: _Optional[str] = ..., template_version: _Optional[str] = ..., template_sha256: _Optional[str] = ..., status: _Optional[str] = ..., signer_name: _Optional[str] = ..., signer_title: _Optional[str] = ..., signer_email: _Optional[str] = ..., signed_at: _Optional[str] = ..., countersigned_at: _Optional[str] = ..., countersigned_by: _Optional[str] = ..., effective_at: _Optional[str] = ..., expires_at: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., ip_address: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., pdf_sha256: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., audit_entry_id: _Optional[str] = ...) -> None: ...

class GetBaaRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBaaResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: BaaStatus
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[BaaStatus, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class BaaStatus(_message.Message):
    __slots__ = ("status", "template", "acceptance", "signing")
    class Signing(_message.Message):
        __slots__ = ("method", "path")
        METHOD_FIELD_NUMBER: _ClassVar[int]
        PATH_FIELD_NUMBER: _ClassVar[int]
        method: str
        path: str
        def __init__(self, method: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTANCE_FIELD_NUMBER: _ClassVar[int]
    SIGNING_FIELD_NUMBER: _ClassVar[int]
    status: str
    template: BaaTemplate
    acceptance: _struct_pb2.Value
    signing: BaaStatus.Signing
    def __init__(self, status: _Optional[str] = ..., template: _Optional[_Union[BaaTemplate, _Mapping]] = ..., acceptance: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., signing: _Optional[_Union[BaaStatus.Signing, _Mapping]] = ...) -> None: ...

class AcceptBaaRequest(_message.Message):
    __slots__ = ("template_version", "signer_name", "signer_title", "signer_email", "accept")
    TEMPLATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIGNER_NAME_FIELD_NUMBER: _ClassVar[int]
    SIGNER_TITLE_FIELD_NUMBER: _ClassVar[int]
    SIGNER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    template_version: str
    signer_name: str
    signer_title: str
    signer_email: str
    accept: bool
    def __init__(self, template_version: _Optional[str] = ..., signer_name: _Optional[str] = ..., signer_title: _Optional[str] = ..., signer_email: _Optional[str] = ..., accept: _Optional[bool] = ...) -> None: ...

class AcceptBaaResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: BaaAcceptance
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[BaaAcceptance, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class ListAcceptancesRequest(_message.Message):
    __slots__ = ("cursor", "limit")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    limit: int
    def __init__(self, cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListAcceptancesResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: _containers.RepeatedCompositeFieldContainer[BaaAcceptance]
    meta: _envelope_pb2.CursorMeta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Iterable[_Union[BaaAcceptance, _Mapping]]] = ..., meta: _Optional[_Union[_envelope_pb2.CursorMeta, _Mapping]] = ...) -> None: ...

class GetAcceptanceRequest(_message.Message):
    __slots__ = ("acceptance_id",)
    ACCEPTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    acceptance_id: str
    def __init__(self, acceptance_id: _Optional[str] = ...) -> None: ...

class GetAcceptanceResponse(_message.Message):
    __slots__ = ("success", "data", "meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    data: BaaAcceptance
    meta: _envelope_pb2.Meta
    def __init__(self, success: _Optional[bool] = ..., data: _Optional[_Union[BaaAcceptance, _Mapping]] = ..., meta: _Optional[_Union[_envelope_pb2.Meta, _Mapping]] = ...) -> None: ...

class DownloadAcceptanceRequest(_message.Message):
    __slots__ = ("acceptance_id",)
    ACCEPTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    acceptance_id: str
    def __init__(self, acceptance_id: _Optional[str] = ...) -> None: ...
