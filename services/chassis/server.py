"""One process' gRPC server: mTLS, health, graceful stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, runtime_checkable

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.chassis.boundary import Boundary
from services.chassis.tls import Tls

log = structlog.get_logger()

S = TypeVar("S")

_MEGABYTE = 1024 * 1024
_OPTIONS = (
    # Over the edge's 32 MiB: a body the edge lets through must not fail here as a gRPC limit.
    ("grpc.max_receive_message_length", 40 * _MEGABYTE),
    ("grpc.max_send_message_length", 40 * _MEGABYTE),
    # Two servers on one port would share its connections in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_connection_age_ms", 10 * 60 * 1000),
    ("grpc.max_connection_age_grace_ms", 15 * 60 * 1000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    # A process that was stopped for a while pings more often than that when it goes on.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


@runtime_checkable
class Endless(Protocol):
    """A servicer whose streams go on until the other side leaves: asked to end them, they do not hold up a stop."""

    def end_streams(self) -> None: ...


class Server:
    """`listen` is host:port; port 0 takes a free one, in `port` after start(). `drain` is how long running calls may go on after SIGTERM, seconds."""

    def __init__(self, *, listen: str, tls: Tls, boundary: Boundary, drain: float = 20.0) -> None:
        self._server = grpc.aio.server(interceptors=[boundary], options=_OPTIONS)
        self._health = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]: its stubs lack aio
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._drain = drain
        self._endless: list[Endless] = []
        self._listen = listen
        self._credentials = tls.server_credentials()
        self.port = 0

    def add(self, register: Callable[[S, grpc.aio.Server], None], servicer: S) -> None:
        """`register` is the generated add_XServicer_to_server."""
        register(servicer, self._server)
        if isinstance(servicer, Endless):
            self._endless.append(servicer)

    async def start(self) -> None:
        self.port = self._server.add_secure_port(self._listen, self._credentials)
        await self._server.start()
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        log.info("serving", address=f"{self._listen.rpartition(':')[0]}:{self.port}")

    async def set_serving(self, serving: bool) -> None:
        """What health checks are told, while a part this process cannot do without is missing."""
        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", state)

    async def stop(self, *, announce: float = 0.0) -> None:
        """NOT_SERVING, `announce` seconds for the balancers to see it, then no new calls and time for the running ones."""
        await self._health.enter_graceful_shutdown()
        if announce:
            await asyncio.sleep(announce)
        draining = asyncio.create_task(self._server.stop(self._drain))
        await asyncio.sleep(0)  # from here on no new call begins
        for servicer in self._endless:
            servicer.end_streams()
        await draining

    async def serve_until_stopped(
        self, *, announce: float = 0.0, on_stop: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Start, and stop on SIGTERM or SIGINT. `on_stop` runs after the last call has ended."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        await self.start()
        await stopped.wait()
        log.info("stopping")
        await self.stop(announce=announce)
        if on_stop is not None:
            await on_stop()
