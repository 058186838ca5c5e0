"""Identity behind real gRPC, and what calls of it look like."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.contract import methods_of
from services.chassis.server import Server
from services.chassis.statuses import error_info_of
from services.chassis.tls import Tls
from services.identity import servicer
from services.identity.usecases.identity import Identity

TIMEOUT = 5


@asynccontextmanager
async def serving(identity: Identity, tls_dir: Path) -> AsyncIterator[str]:
    """Identity as its `__main__` builds it; yields its address."""
    boundary = Boundary(
        methods=methods_of(servicer.SERVICES),
        authenticator=identity.authentication,
        clock=identity.clock,
        answers=identity.answers,
    )
    server = Server(listen="127.0.0.1:0", tls=Tls.from_dir(tls_dir, "identity"), boundary=boundary, drain=0.2)
    servicer.register(server, identity)
    running = asyncio.create_task(identity.changes.run())
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()
        running.cancel()
        await asyncio.wait([running])


@asynccontextmanager
async def channel_of(workload: str, address: str, tls_dir: Path) -> AsyncIterator[grpc.aio.Channel]:
    channel = connect(address, "identity", Tls.from_dir(tls_dir, workload))
    try:
        yield channel
    finally:
        await channel.close(None)


def bearing(token: str, **headers: str) -> dict[str, Any]:
    metadata = [
        ("authorization", f"Bearer {token}"),
        *((key.replace("_", "-"), value) for key, value in headers.items()),
    ]
    return {"metadata": tuple(metadata), "timeout": TIMEOUT}


async def refused(call: Any) -> tuple[str, str, str | None]:
    """HTTP status, reason and param of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    info = error_info_of(failure.value)
    assert info is not None
    return info.metadata["http_status"], info.reason, info.metadata.get("param")
