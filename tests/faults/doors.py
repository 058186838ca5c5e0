"""Every way in: each replica of each service at its own port, as the edge calls it, and the edge itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import grpc.aio
import httpx
from hasp.billing.v1.usage_service_pb2 import GetUsageRequest
from hasp.billing.v1.usage_service_pb2_grpc import UsageServiceStub
from hasp.compliance.v1.baa_service_pb2 import GetBaaRequest
from hasp.compliance.v1.baa_service_pb2_grpc import BaaServiceStub
from hasp.identity.v1.api_key_service_pb2 import ListApiKeysRequest
from hasp.identity.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from hasp.inference.v1.model_service_pb2 import ListModelsRequest
from hasp.inference.v1.model_service_pb2_grpc import ModelServiceStub

from cli.databases import SERVICES
from cli.suite import Suite
from cli.table import replica_names, service_of
from services.chassis.channels import connect
from services.chassis.tls import Tls

PATIENCE = 10.0
"""Seconds that a caller waits: longer than any process is stopped."""
PATHS = ("/v1/api_keys", "/v1/usage", "/v1/compliance/baa", "/v1/models")


class Verdict(Enum):
    ACCEPTED = "accepted"
    """Whose token it is was believed, whether or not it may do what was asked."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """503, or no answer."""


Said = int | grpc.StatusCode | str
"""HTTP status, gRPC code, or why there was none."""


@dataclass(frozen=True)
class Door:
    """`ask(token)`: what is somebody with that token told?"""

    name: str
    ask: Callable[[str], Awaitable[Said]]


_VERDICTS = {
    200: Verdict.ACCEPTED,
    403: Verdict.ACCEPTED,
    401: Verdict.REFUSED,
    grpc.StatusCode.OK: Verdict.ACCEPTED,
    grpc.StatusCode.PERMISSION_DENIED: Verdict.ACCEPTED,
    grpc.StatusCode.UNAUTHENTICATED: Verdict.REFUSED,
}


def _probe(service: str, channel: grpc.aio.Channel) -> tuple[Callable[..., Any], Any]:
    """A method that reads and costs little, and its request."""
    return {
        "identity": lambda: (ApiKeyServiceStub(channel).ListApiKeys, ListApiKeysRequest(limit=1)),
        "inference": lambda: (ModelServiceStub(channel).ListModels, ListModelsRequest()),
        "compliance": lambda: (BaaServiceStub(channel).GetBaa, GetBaaRequest()),
        "billing": lambda: (UsageServiceStub(channel).GetUsage, GetUsageRequest()),
    }[service]()


def _replica(name: str, channel: grpc.aio.Channel) -> Door:
    method, request = _probe(service_of(name), channel)

    async def ask(token: str) -> Said:
        try:
            await method(request, metadata=(("authorization", f"Bearer {token}"),), timeout=PATIENCE)
        except grpc.aio.AioRpcError as refusal:
            return refusal.code()
        return grpc.StatusCode.OK

    return Door(name, ask)


def _edge(path: str, http: httpx.AsyncClient) -> Door:
    async def ask(token: str) -> Said:
        try:
            return (await http.get(path, headers={"authorization": f"Bearer {token}"})).status_code
        except httpx.HTTPError as failure:
            return repr(failure)

    return Door(f"edge {path}", ask)


@asynccontextmanager
async def doors(suite: Suite) -> AsyncIterator[list[Door]]:
    """All of them: the replicas first, then the edge's."""
    tls = Tls.from_dir(suite.places.tls, "edge")
    names = [name for service in SERVICES for name in replica_names(service, suite.replicas)]
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(client(suite))
        channels = [connect(suite.places.address(name), service_of(name), tls) for name in names]
        for channel in channels:
            stack.push_async_callback(channel.close, None)
        yield [
            *(_replica(name, channel) for name, channel in zip(names, channels, strict=True)),
            *(_edge(path, http) for path in PATHS),
        ]


def client(suite: Suite, key: str | None = None) -> httpx.AsyncClient:
    """Of the edge."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    return httpx.AsyncClient(base_url=suite.base_url, headers=headers, timeout=PATIENCE, trust_env=False, limits=limits)


@dataclass
class Crowd:
    """Callers at every door, with every token there is, who never stop; and what happened to them."""

    doors: Sequence[Door]
    tokens: list[str] = field(default_factory=list)
    """In use: changed while they run."""
    revoked: set[str] = field(default_factory=set)
    """Tokens whose revocation has returned."""
    late: list[str] = field(default_factory=list)
    """Where a token got in by a call that began after its revocation had returned."""
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    """Where there was no verdict, and what was said instead."""

    async def ask(self, door: Door, token: str) -> Verdict:
        was_revoked = token in self.revoked
        said = await door.ask(token)
        verdict = _VERDICTS.get(said, Verdict.UNKNOWN)
        self.verdicts[verdict] += 1
        if verdict is Verdict.UNKNOWN:
            self.unknown[f"{door.name}: {said}"] += 1
        if was_revoked and verdict is Verdict.ACCEPTED:
            self.late.append(door.name)
        return verdict

    def door(self, name: str) -> Door:
        (found,) = (door for door in self.doors if door.name == name)
        return found

    async def until(self, verdict: Verdict, token: str) -> None:
        """That is what everybody says; some may have to be reached again, or to be told."""
        async with asyncio.timeout(20):
            while set(await self.ask_everywhere(token)) != {verdict}:  # noqa: ASYNC110 - it asks
                await asyncio.sleep(0.1)

    async def ask_everywhere(self, token: str) -> list[Verdict]:
        return await asyncio.gather(*(self.ask(door, token) for door in self.doors))

    @asynccontextmanager
    async def asking(self, *, callers: int = 2, pause: float = 0.02) -> AsyncIterator[None]:
        """`callers` at each door; each waits `pause` seconds between two calls."""

        async def keep_asking(door: Door, at: int) -> None:
            while True:
                at += 1
                if self.tokens:
                    await self.ask(door, self.tokens[at % len(self.tokens)])
                await asyncio.sleep(pause)

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(keep_asking(door, number)) for number in range(callers) for door in self.doors]
            yield
            for task in running:
                task.cancel()
