from buf.validate import validate_pb2 as _validate_pb2
from hasp.access.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class OpenAccountRequest(_message.Message):
    __slots__ = ("org_id", "plan", "opened_at_ms")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    plan: str
    opened_at_ms: int
    def __init__(self, org_id: _Optional[str] = ..., plan: _Optional[str] = ..., opened_at_ms: _Optional[int] = ...) -> None: ...

class OpenAccountResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("org_id",)
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    def __init__(self, org_id: _Optional[str] = ...) -> None: ...

class GetAccountResponse(_message.Message):
    __slots__ = ("plan", "next_plan", "cycle_start", "cycle_end", "allotment", "adjustments", "overage", "used", "reserved", "spend_cap", "limit")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    NEXT_PLAN_FIELD_NUMBER: _ClassVar[int]
    CYCLE_START_FIELD_NUMBER: _ClassVar[int]
    CYCLE_END_FIELD_NUMBER: _ClassVar[int]
    ALLOTMENT_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENTS_FIELD_NUMBER: _ClassVar[int]
    OVERAGE_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    SPEND_CAP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    plan: str
    next_plan: str
    cycle_start: str
    cycle_end: str
    allotment: str
    adjustments: str
    overage: str
    used: str
    reserved: str
    spend_cap: str
    limit: str
    def __init__(self, plan: _Optional[str] = ..., next_plan: _Optional[str] = ..., cycle_start: _Optional[str] = ..., cycle_end: _Optional[str] = ..., allotment: _Optional[str] = ..., adjustments: _Optional[str] = ..., overage: _Optional[str] = ..., used: _Optional[str] = ..., reserved: _Optional[str] = ..., spend_cap: _Optional[str] = ..., limit: _Optional[str] = ...) -> None: ...

class ChangePlanRequest(_message.Message):
    __slots__ = ("org_id", "plan")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    plan: str
    def __init__(self, org_id: _Optional[str] = ..., plan: _Optional[str] = ...) -> None: ...

class ChangePlanResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AddOverageRequest(_message.Message):
    __slots__ = ("org_id", "credits", "pack_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    PACK_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    credits: int
    pack_id: str
    def __init__(self, org_id: _Optional[str] = ..., credits: _Optional[int] = ..., pack_id: _Optional[str] = ...) -> None: ...

class AddOverageResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AdjustCreditsRequest(_message.Message):
    __slots__ = ("org_id", "credits", "reason", "adjustment_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENT_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    credits: str
    reason: str
    adjustment_id: str
    def __init__(self, org_id: _Optional[str] = ..., credits: _Optional[str] = ..., reason: _Optional[str] = ..., adjustment_id: _Optional[str] = ...) -> None: ...

class AdjustCreditsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ("org_id",)
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    def __init__(self, org_id: _Optional[str] = ...) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ("checked", "differences")
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    checked: int
    differences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, checked: _Optional[int] = ..., differences: _Optional[_Iterable[str]] = ...) -> None: ...
