"""Who calls, and what the call is. Set by the boundary interceptor; read in servicers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType, Protocol

from hasp.envelope.v1.envelope_pb2 import Meta

OrgId = NewType("OrgId", str)
"""An organization. Minted from an authenticated principal or an internal message, nowhere else."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token stands for."""

    org_id: OrgId
    kind: Literal["api_key", "agent"]
    id: str
    user_id: str
    scopes: frozenset[str]
    agent_id: str | None = None
    delegation_path: tuple[str, ...] = ()
    granted_tool_ids: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    test_mode: bool = False
    draining: bool = False
    """Revoked with `drain` while an invocation runs: admitted only where the contract says so."""


class Authenticator(Protocol):
    async def authenticate(self, token: str) -> Principal:
        """Whom the token stands for. Raises InvalidApiKey, or ServiceUnavailable when nobody can tell."""
        ...


@dataclass(slots=True)
class Call:
    """One RPC as the boundary sees it."""

    method: str
    """Full name, `/hasp.identity.v1.ApiKeyService/CreateApiKey`."""
    request_id: str
    """`req_<ulid>`."""
    path: str = ""
    """The HTTP path at the edge, without query; the method for gRPC callers."""
    principal: Principal | None = None
    workload: str | None = None
    """Name of the process that holds the peer's certificate."""
    ip_address: str | None = None
    idempotency_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    """time.monotonic() at which the caller stops waiting."""
    began: float = field(default_factory=time.monotonic)
    """time.monotonic() when it arrived, before anybody was authenticated."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    http_status: int | None = None

    @property
    def request_ulid(self) -> str:
        return self.request_id.removeprefix("req_")


current: ContextVar[Call] = ContextVar("current_call")
"""The call being served. Background work has none."""


def call() -> Call:
    return current.get()


def caller() -> Principal:
    """The authenticated principal. Raises RuntimeError in an internal method, whose contract names workloads instead."""
    principal = current.get().principal
    if principal is None:
        raise RuntimeError(f"{current.get().method} has no principal")
    return principal


def meta() -> Meta:
    return Meta(request_id=current.get().request_id)


def answer_with(*, http_status: int) -> None:
    """The HTTP status of a success that is not 200."""
    current.get().http_status = http_status


def answer_header(name: str, value: str) -> None:
    """A response header for HTTP callers, initial metadata for gRPC callers. Lower case."""
    current.get().answer_headers[name] = value
