"""What the metadata of an incoming call says: request id, caller's address, token, Idempotency-Key."""

from __future__ import annotations

import time
from collections.abc import Mapping

import grpc.aio

from services.chassis.access import Call
from services.chassis.clock import Clock
from services.chassis.tls import peer_workload
from services.chassis.ulids import is_ulid, new_ulid

_EDGE = "edge"


def call_of(method: str, context: grpc.aio.ServicerContext, clock: Clock) -> Call:
    """The call, before anybody is authenticated. A missing or misshapen request id is replaced by a new one."""
    headers = {
        key: value if isinstance(value, str) else value.decode("latin-1")
        for key, value in context.invocation_metadata() or ()
    }
    request_id = headers.get("x-request-id", "")
    if not (request_id.startswith("req_") and is_ulid(request_id[4:])):
        request_id = f"req_{new_ulid(clock)}"
    remaining = context.time_remaining()
    workload = peer_workload(context)
    return Call(
        method=method,
        request_id=request_id,
        path=headers.get("x-envoy-original-path", method).partition("?")[0],
        workload=workload,
        ip_address=_ip_address(headers, workload, context),
        idempotency_key=headers.get("idempotency-key") or None,
        headers=headers,
        deadline=None if remaining is None else time.monotonic() + remaining,
    )


def token_of(headers: Mapping[str, str]) -> str | None:
    """The bearer token, or what the older SDKs send as `x-api-key`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return headers.get("x-api-key") or None


def _ip_address(headers: Mapping[str, str], workload: str | None, context: grpc.aio.ServicerContext) -> str | None:
    """The caller's address: what the edge saw, and nobody else's word for it."""
    if workload == _EDGE:
        return headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or None
    peer = context.peer()
    if peer.startswith("ipv4:"):
        return peer[5:].rpartition(":")[0]
    if peer.startswith("ipv6:"):
        return peer[5:].rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
    return None
