"""Channels to siblings: mTLS, a deadline on every call, the request id handed down."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import grpc
import grpc.aio

from services.chassis import access
from services.chassis.tls import Tls

_MEGABYTE = 1024 * 1024
_MARGIN = 0.05
"""Seconds kept back from the caller's deadline, so that the refusal still reaches it."""

_OPTIONS = (
    ("grpc.max_receive_message_length", 40 * _MEGABYTE),
    ("grpc.max_send_message_length", 40 * _MEGABYTE),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Not a pause, whatever its name: what one attempt to connect may take, its handshake included.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
)


def _details(details: grpc.aio.ClientCallDetails, *, streaming: bool) -> grpc.aio.ClientCallDetails:
    timeout = details.timeout
    if timeout is None and not streaming:
        raise ValueError(f"{details.method!r} is called without a deadline")
    served = access.current.get(None)
    metadata = details.metadata if details.metadata is not None else grpc.aio.Metadata()
    if served is not None:
        metadata.add("x-request-id", served.request_id)
        if served.deadline is not None and timeout is not None:
            timeout = max(0.001, min(timeout, served.deadline - time.monotonic() - _MARGIN))
    return grpc.aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, details.wait_for_ready)


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(_details(client_call_details, streaming=False), request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        return await continuation(_details(client_call_details, streaming=True), request)


def connect(address: str, workload: str, tls: Tls) -> grpc.aio.Channel:
    """A channel to the workload at `address` (host:port, or `dns:///name:port` for all of its replicas). It connects by itself and again."""
    # The certificate is checked for the workload's name and not the host's, so that an address may change and no other workload can answer.
    return grpc.aio.secure_channel(
        address,
        tls.channel_credentials(),
        options=(*_OPTIONS, ("grpc.ssl_target_name_override", workload)),
        interceptors=cast("Any", [_UnaryUnary(), _UnaryStream()]),
    )
