"""The record of one request: what was asked, what was found, what was answered, what it used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from services.chassis.access import OrgId, Principal
from services.inference.domain.phi import Redaction
from services.inference.domain.usage import Usage


class Status(StrEnum):
    DISPATCHED = "dispatched"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Surface(StrEnum):
    NATIVE = "native"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked, as the record keeps it."""

    principal_kind: str
    principal_id: str
    agent_id: str | None
    user_id: str
    delegation_path: tuple[str, ...]
    ip_address: str | None

    @classmethod
    def of(cls, principal: Principal, ip_address: str | None) -> "Caller":
        return cls(
            principal.kind,
            principal.id,
            principal.agent_id,
            principal.user_id,
            tuple(principal.delegation_path),
            ip_address,
        )


@dataclass(frozen=True, slots=True)
class Opening:
    """A record at the moment before the request leaves. `request` and `detections` are sealed; None where contents are not kept,
    and where nothing was found. `phi` is readable: types and counts.
    """

    org_id: OrgId
    request_id: str
    surface: Surface
    stream: bool
    store: bool
    model: str
    catalogue_version: str
    conversation_id: str | None
    caller: Caller
    owner_id: str
    input_bound: int
    request: bytes | None
    detections: bytes | None
    phi: dict[str, Any]
    phi_ms: float
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended. `answer` and `turn` are sealed; None where contents are not kept."""

    org_id: OrgId
    request_id: str
    owner_id: str
    status: Status
    usage: Usage
    restored_count: int
    answer: bytes | None
    provider_message_id: str | None
    stop_reason: str | None
    error_code: str | None
    audit_id: str
    upstream_ms: float | None
    total_ms: float | None
    completed_at: datetime
    conversation_id: str | None = None
    turn: bytes | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record. `request`, `answer` and `detections` are sealed."""

    org_id: OrgId
    request_id: str
    surface: str
    status: str
    stream: bool
    store: bool
    model: str
    catalogue_version: str
    conversation_id: str | None
    principal_kind: str
    principal_id: str
    agent_id: str | None
    user_id: str
    delegation_path: list[str]
    ip_address: str | None
    owner_id: str
    input_bound: int
    request: bytes | None
    answer: bytes | None
    detections: bytes | None
    phi: dict[str, Any]
    restored_count: int
    basis: str | None
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    provider_message_id: str | None
    stop_reason: str | None
    error_code: str | None
    audit_ids: list[str]
    phi_ms: float | None
    upstream_ms: float | None
    total_ms: float | None
    created_at: datetime
    completed_at: datetime | None

    @property
    def usage(self) -> Usage:
        return Usage(self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens)


@dataclass(slots=True)
class Conversation:
    """A stored conversation as its people saw it. `placeholders` is the map's JSON: PHI."""

    conversation_id: str
    version: int
    placeholders: str
    turns: list[tuple[str, str]] = field(default_factory=list)
    """(what the user said, what was answered), oldest first."""


def pack_detections(redactions: Sequence[Redaction]) -> bytes:
    """What the guard found, one by one, as one value to seal: kinds and places, no values."""
    return orjson.dumps(
        [[r.path, r.entity_type, r.placeholder, r.score, r.recognizer, *(r.place or ())] for r in redactions]
    )


def unpack_detections(packed: bytes) -> list[Redaction]:
    return [
        Redaction(*described, place=(place[0], place[1]) if place else None)
        for *described, place in ([*each[:5], each[5:]] for each in orjson.loads(packed))
    ]


def pack_request(original: bytes, masked: bytes) -> bytes:
    """Both sides of a request as one value to seal."""
    return len(original).to_bytes(4) + original + masked


def unpack_request(packed: bytes) -> tuple[bytes, bytes]:
    """(original, masked)."""
    length = int.from_bytes(packed[:4])
    return packed[4 : 4 + length], packed[4 + length :]
