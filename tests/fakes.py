"""Twins of what services get from outside, and a real gRPC server around a servicer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor

from services.chassis.access import Authenticator, OrgId, Principal
from services.chassis.boundary import Boundary, Gate
from services.chassis.channels import connect
from services.chassis.clock import Clock
from services.chassis.contract import methods_of
from services.chassis.errors import InvalidApiKey
from services.chassis.idempotency import Idempotency
from services.chassis.server import Server
from services.chassis.tls import Tls
from services.chassis.ulids import new_ulid

ALL_SCOPES = frozenset({"ai:chat", "control:read", "control:write", "control:webhooks"})


class FrozenClock:
    """A clock that moves when it is told to."""

    def __init__(self, at: datetime = datetime(2026, 5, 11, 12, tzinfo=UTC)) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def advance(self, by: timedelta) -> None:
        self._at += by


class Tokens:
    """An authenticator that knows the tokens it was given."""

    def __init__(self, principals: Mapping[str, Principal] | None = None) -> None:
        self.principals = dict(principals or {})

    async def authenticate(self, token: str) -> Principal:
        try:
            return self.principals[token]
        except KeyError:
            raise InvalidApiKey from None


def principal_of_new_org(clock: Clock, *, scopes: frozenset[str] = ALL_SCOPES) -> Principal:
    """An API key of an organization of its own."""
    return Principal(
        org_id=OrgId(new_ulid(clock)), kind="api_key", id=new_ulid(clock), user_id=new_ulid(clock), scopes=scopes
    )


Registered = tuple[Callable[[Any, grpc.aio.Server], None], Any]


@asynccontextmanager
async def serve(
    *registered: Registered,
    services: Sequence[ServiceDescriptor],
    authenticator: Authenticator,
    clock: Clock,
    tls_dir: Path,
    workload: str,
    caller: str = "edge",
    answers: Idempotency | None = None,
    gate: Gate | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A real server of `workload` on a free port, with mTLS and the boundary; yields a channel of the workload `caller` to it.

    `services` are the descriptors of what is registered, `registered` pairs of generated add function and servicer.
    """
    boundary = Boundary(
        methods=methods_of(services), authenticator=authenticator, clock=clock, answers=answers, gate=gate
    )
    server = Server(listen="127.0.0.1:0", tls=Tls.from_dir(tls_dir, workload), boundary=boundary, drain=1)
    for add, servicer in registered:
        server.add(add, servicer)
    await server.start()
    channel = connect(f"127.0.0.1:{server.port}", workload, Tls.from_dir(tls_dir, caller))
    try:
        yield channel
    finally:
        await channel.close(None)
        await server.stop()
