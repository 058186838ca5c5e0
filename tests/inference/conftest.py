"""The inference service on a real database, a real gRPC server and a simulated provider; its siblings are twins of our own protocols."""

import asyncio
import base64
import json
import re
import secrets
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import orjson
import pytest
from google.api.httpbody_pb2 import HttpBody
from hasp.billing.v1.metering_service_pb2 import Settlement
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent
from hasp.inference.v1.chat_service_pb2_grpc import ChatServiceStub
from hasp.inference.v1.messages_service_pb2_grpc import MessagesServiceStub
from hasp.inference.v1.model_service_pb2_grpc import ModelServiceStub
from hasp.inference.v1.record_service_pb2_grpc import RecordServiceStub
from hasp.inference.v1.settings_service_pb2_grpc import SettingsServiceStub

from services.chassis.access import OrgId, Principal
from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.contract import methods_of
from services.chassis.database import Database
from services.chassis.outbox import OutboxRow, Relay
from services.chassis.sealing import FileKek, Sealer
from services.chassis.server import Server
from services.chassis.statuses import error_info_of
from services.chassis.tls import Tls
from services.chassis.ulids import new_ulid
from services.chassis.watch import ChangeLog
from services.chassis.watching import Loaded, Watch
from services.inference.clients.metering import Decision, Wanted
from services.inference.clients.upstream import Patience, Upstream
from services.inference.domain.catalogue import Catalogue
from services.inference.domain.errors import BaaRequired
from services.inference.domain.phi import Guard, Operators, PhiGuardUnavailable, Span, TextGuard
from services.inference.domain.phi.operators import Value
from services.inference.servicer.registration import SERVICES, servicers
from services.inference.usecases.inference import Ground, Inference, Watches
from tests.fakes import ALL_SCOPES, Tokens
from tests.postgres import DatabaseFactory

ROOT = Path(__file__).resolve().parent.parent.parent
NEVER_STALE = 2**62


class Scanner:
    """Finds John Smith and social security numbers: enough to see what the guard's answers lead to."""

    _KINDS = (("PERSON", re.compile(r"John Smith")), ("US_SSN", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")))

    def __init__(self) -> None:
        self.down = False
        self.delay = 0.0

    async def detect(self, blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        await asyncio.sleep(self.delay)
        if self.down:
            raise PhiGuardUnavailable
        return [
            [Span(m.start(), m.end(), kind, 0.9, "twin") for kind, shape in self._KINDS for m in shape.finditer(block)]
            for block in blocks
        ]

    async def read_pdf(self, data: bytes, deadline: float) -> str | None:
        return None

    async def anonymize(
        self, values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float
    ) -> list[str]:
        raise PhiGuardUnavailable  # Presidio's to do: tests put its pool in this place


class Credits:
    """Billing's twin: admits everything until it is told otherwise, and remembers what it was told."""

    def __init__(self) -> None:
        self.decision = Decision(reserved=True, headers={"x-ratelimit-limit-requests": "60"})
        self.opus = False
        self.down = False
        self.delay = 0.0
        self.wanted: list[Wanted] = []
        self.reserved: set[str] = set()
        self.released: list[str] = []
        self.renewed: list[str] = []
        self.settled: dict[str, Settlement] = {}
        self.told = 0

    async def reserve(self, wanted: Wanted) -> Decision:
        await asyncio.sleep(self.delay)
        if self.down:
            raise TimeoutError
        self.wanted.append(wanted)
        if self.decision.reserved and not wanted.count_only:
            self.reserved.add(wanted.request_id)
        return self.decision

    async def release(self, org_id: OrgId, request_id: str) -> None:
        self.released.append(request_id)
        self.reserved.discard(request_id)

    async def renew(self, running: Sequence[tuple[OrgId, str]]) -> None:
        self.renewed += [request_id for _, request_id in running]

    async def opus_enabled(self, org_id: OrgId) -> Loaded[bool]:
        return Loaded(value=self.opus, seq=NEVER_STALE, org_id=org_id)

    async def settle(self, rows: Sequence[OutboxRow]) -> Collection[str]:
        if self.down:
            raise TimeoutError
        for row in rows:
            self.told += 1
            self.settled[row.id] = Settlement.FromString(row.payload)
            self.reserved.discard(row.id)
        return {row.id for row in rows}


class Agreements:
    """Compliance's twin."""

    def __init__(self) -> None:
        self.signed = True
        self.down = False
        self.events: dict[str, AuditEvent] = {}

    async def open_gate(self, org_id: OrgId) -> Loaded[None]:
        if self.down:
            raise TimeoutError
        if not self.signed:
            raise BaaRequired
        return Loaded(value=None, seq=NEVER_STALE, org_id=org_id)

    async def append(self, rows: Sequence[OutboxRow]) -> Collection[str]:
        if self.down:
            raise TimeoutError
        for row in rows:
            self.events[row.id] = AuditEvent.FromString(row.payload)
        return {row.id for row in rows}

    def actions(self) -> list[str]:
        return sorted(event.action for event in self.events.values())


@dataclass(frozen=True)
class Simulator:
    """The simulated provider's process."""

    url: str

    def requests(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/_sim/requests", timeout=5) as answer:
            return json.load(answer)["requests"]

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request["body"]) for request in self.requests()]

    def clear(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_sim/requests", method="DELETE"), timeout=5).close()


@pytest.fixture(scope="session")
def _simulator_process() -> Iterator[Simulator]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.simulator", "--api-key", "upstream-key"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().rpartition(" ")[2].strip()
    yield Simulator(url)
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


@pytest.fixture
def simulator(_simulator_process: Simulator) -> Simulator:
    _simulator_process.clear()
    return _simulator_process


def person(kind: Any = "api_key", **more: Any) -> Principal:
    clock = SystemClock()
    values: dict[str, Any] = {
        "org_id": OrgId(new_ulid(clock)),
        "kind": kind,
        "id": new_ulid(clock),
        "user_id": new_ulid(clock),
        "scopes": ALL_SCOPES if kind == "api_key" else frozenset(),
    }
    return Principal(**(values | more))


@dataclass
class Failure:
    """An error as the edge would see it."""

    reason: str
    http_status: int
    message: str
    param: str | None
    details: dict[str, Any]
    headers: dict[str, str]

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> "Failure":
        info = error_info_of(error)
        assert info is not None, error
        metadata = dict(info.metadata)
        return cls(
            info.reason,
            int(metadata["http_status"]),
            error.details() or "",
            metadata.get("param"),
            orjson.loads(metadata.get("details", "{}")),
            {str(key): str(value) for key, value in error.initial_metadata() or ()},
        )


@dataclass
class Answered:
    """A call's whole answer."""

    data: bytes
    content_type: str
    headers: dict[str, str]
    pieces: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return orjson.loads(self.data)

    @property
    def events(self) -> list[dict[str, Any]]:
        frames = [frame for frame in self.data.split(b"\n\n") if b"data:" in frame]
        return [orjson.loads(frame.partition(b"data:")[2]) for frame in frames]


@dataclass
class House:
    """One replica, and what stands around it."""

    db: Database
    inference: Inference
    ground: Ground
    scanner: Scanner
    credits: Credits
    agreements: Agreements
    tokens: Tokens
    channel: grpc.aio.Channel
    address: str
    tasks: list[asyncio.Task[None]]

    def __post_init__(self) -> None:
        self.messages = MessagesServiceStub(self.channel)
        self.chat = ChatServiceStub(self.channel)
        self.records = RecordServiceStub(self.channel)
        self.models = ModelServiceStub(self.channel)
        self.settings = SettingsServiceStub(self.channel)

    def token_of(self, principal: Principal) -> str:
        token = f"token-{principal.id}"
        self.tokens.principals[token] = principal
        return token

    def metadata(self, principal: Principal, **headers: str) -> tuple[tuple[str, str], ...]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (("authorization", f"Bearer {self.token_of(principal)}"), *named.items())

    async def collect(self, stream: Any) -> Answered:
        try:
            pieces = [body async for body in stream]
        except grpc.aio.AioRpcError as error:
            raise Refused(Failure.of(error)) from None
        headers = {str(key): str(value) for key, value in await stream.initial_metadata()}
        data = [piece.data for piece in pieces]
        return Answered(b"".join(data), pieces[0].content_type, headers, data)

    async def create(self, principal: Principal, body: Any, **headers: str) -> Answered:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        request = HttpBody(content_type="application/json", data=data)
        metadata = self.metadata(principal, **headers)
        return await self.collect(self.messages.CreateMessage(request, metadata=metadata, timeout=60))

    async def count(self, principal: Principal, body: Any) -> Any:
        request = HttpBody(content_type="application/json", data=orjson.dumps(body))
        try:
            answer = await self.messages.CountTokens(request, metadata=self.metadata(principal), timeout=30)
        except grpc.aio.AioRpcError as error:
            raise Refused(Failure.of(error)) from None
        return orjson.loads(answer.data)

    async def eventually(self, condition: Any, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for is in another process or the database
                await asyncio.sleep(0.01)

    async def rows(self, statement: Any, *values: object) -> list[Any]:
        async with self.db.hot.connection() as connection:
            return await (await connection.execute(statement, values)).fetchall()


class Refused(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


@pytest.fixture
def alice() -> Principal:
    return person()


@pytest.fixture
def mallory() -> Principal:
    return person()


@pytest.fixture
async def house(
    database_factory: DatabaseFactory, tls_dir: Path, tmp_path: Path, simulator: Simulator
) -> AsyncIterator[House]:
    async with Replica(database_factory("inference").app_url, tls_dir, tmp_path, simulator) as built:
        yield built


class Replica:
    """`async with`: a replica on the database of `url`."""

    def __init__(self, url: str, tls_dir: Path, tmp_path: Path, simulator: Simulator, **patience: Any) -> None:
        self._url, self._tls_dir, self._tmp_path, self._simulator = url, tls_dir, tmp_path, simulator
        self._patience = patience

    async def __aenter__(self) -> House:
        kek = self._tmp_path / "kek"
        if not kek.exists():
            kek.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        clock, db = SystemClock(), Database(self._url, pool_size=2, hot_size=6)
        await db.open()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        tls = Tls.from_dir(self._tls_dir, "inference")
        self._own = connect(address, "inference", tls)
        watch = Watch(self._own, name="inference")
        scanner, billing, agreements = Scanner(), Credits(), Agreements()
        relay = Relay(db, clock, {"billing.settle": billing.settle, "compliance.audit": agreements.append})
        self._upstream = Upstream(
            api_key="upstream-key",
            base_url=self._simulator.url,
            patience=Patience(**({"answer": 5.0, "silence": 2.0, "tries": 2} | self._patience)),
        )
        ground = Ground(
            db=db,
            clock=clock,
            sealer=Sealer(db, FileKek(kek)),
            catalogue=Catalogue.read(ROOT / "catalogue" / "catalogue.json"),
            changes=ChangeLog(db, clock),
            relay=relay,
            metering=billing,
            agreements=agreements,
            provider=self._upstream,
            guard=Guard(detector=scanner, documents=scanner),
            text_guard=TextGuard(scanner, scanner),
            phi_policy="0 twin",
            phi_patience=2.0,
        )
        inference = Inference(ground, Watches(identity=watch, compliance=watch, billing=watch, own=watch))
        tokens = Tokens()
        boundary = Boundary(
            methods=methods_of(SERVICES),
            authenticator=tokens,
            clock=clock,
            answers=inference.idempotency,
            gate=inference.gate.admit,
        )
        self._server = Server(listen=address, tls=tls, boundary=boundary, drain=1)
        for add, servicer in servicers(inference, ground.changes, clock):
            self._server.add(add, servicer)
        await inference.upkeep.begin()
        await self._server.start()
        work = (
            ground.changes.run,
            watch.run,
            relay.run,
            inference.upkeep.keep_lease,
            inference.runs.checkpoint,
        )
        tasks: list[asyncio.Task[None]] = [asyncio.create_task(each()) for each in work]
        self._channel = connect(address, "inference", Tls.from_dir(self._tls_dir, "edge"))
        self._house = House(db, inference, ground, scanner, billing, agreements, tokens, self._channel, address, tasks)
        await self._house.eventually(lambda: watch.live)
        return self._house

    async def __aexit__(self, *exc: object) -> None:
        house = self._house
        await self._channel.close(None)
        house.tasks[1].cancel()  # its stream would use up the server's patience
        await self._server.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await house.inference.runs.drained()
        for task in house.tasks:
            task.cancel()
        await asyncio.gather(*house.tasks, return_exceptions=True)
        await self._own.close(None)
        await self._upstream.close()
        await house.db.close()
