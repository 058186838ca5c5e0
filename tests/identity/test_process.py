"""Identity as processes: replicas, kills, graceful stop, settings."""

import asyncio
import base64
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent
from hasp.identity.v1 import api_key_service_pb2 as keys_pb
from hasp.identity.v1 import organization_service_pb2 as organizations_pb
from hasp.identity.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from hasp.identity.v1.organization_service_pb2_grpc import OrganizationServiceStub

from cli.processes import free_port
from services.chassis.authentication import RemoteAuthenticator
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.errors import InvalidApiKey
from services.chassis.tls import Tls
from services.chassis.watching import Watch
from tests.postgres import DatabaseFactory, DatabaseUrls

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "services.identity")
TIMEOUT = 10


@pytest.fixture
def urls(database_factory: DatabaseFactory) -> DatabaseUrls:
    return database_factory("identity")


@pytest.fixture
def environment(urls: DatabaseUrls, tls_dir: Path, tmp_path: Path) -> dict[str, str]:
    for name in ("kek", "pepper"):
        (tmp_path / name).write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    nobody = f"127.0.0.1:{free_port()}"
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
        "HASP_IDENTITY_LISTEN": f"127.0.0.1:{free_port()}",
        "HASP_IDENTITY_DATABASE_URL": urls.app_url,
        "HASP_COMPLIANCE_ADDRESS": nobody,
        "HASP_BILLING_ADDRESS": nobody,
        "HASP_TLS_DIR": str(tls_dir),
        "HASP_TOKEN_PEPPER_FILE": str(tmp_path / "pepper"),
        "HASP_KEK_FILE": str(tmp_path / "kek"),
        "HASP_LOG_LEVEL": "ERROR",
    }


@asynccontextmanager
async def running(environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*COMMAND, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def channel(environment: Mapping[str, str], workload: str) -> AsyncIterator[grpc.aio.Channel]:
    tls = Tls.from_dir(Path(environment["HASP_TLS_DIR"]), workload)
    opened = connect(environment["HASP_IDENTITY_LISTEN"], "identity", tls)
    try:
        health = health_pb2_grpc.HealthStub(opened)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True)
        yield opened
    finally:
        await opened.close(None)


async def first_key(environment: Mapping[str, str]) -> str:
    """Of a new organization, with both control scopes."""
    async with channel(environment, "cli") as cli:
        stub = OrganizationServiceStub(cli)
        wanted = organizations_pb.CreateOrganizationRequest(name=secrets.token_hex(8), plan="scale")
        org_id = (await stub.CreateOrganization(wanted, timeout=TIMEOUT)).organization.id
        user = organizations_pb.CreateUserRequest(org_id=org_id, email="a@b.test", name="A", role="owner")
        user_id = (await stub.CreateUser(user, timeout=TIMEOUT)).user.id
        key = organizations_pb.IssueApiKeyRequest(
            org_id=org_id, user_id=user_id, name="first", scopes=["control:read", "control:write"]
        )
        return (await stub.IssueApiKey(key, timeout=TIMEOUT)).plaintext


class Keys:
    """The API of one replica, with a key that may use it."""

    def __init__(self, edge: grpc.aio.Channel, token: str) -> None:
        self._stub = ApiKeyServiceStub(edge)
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def create(self) -> keys_pb.CreatedApiKey:
        request = keys_pb.CreateApiKeyRequest(name="k", scopes=["control:read"])
        return (await self._stub.CreateApiKey(request, metadata=self._metadata, timeout=TIMEOUT)).data

    async def revoke(self, key_id: str) -> None:
        request = keys_pb.RevokeApiKeyRequest(key_id=key_id)
        await self._stub.RevokeApiKey(request, metadata=self._metadata, timeout=TIMEOUT)


@dataclass(frozen=True)
class Sibling:
    """A process of another service, as far as it authenticates."""

    watch: Watch
    authenticator: RemoteAuthenticator

    async def accepts(self, token: str) -> bool:
        try:
            await self.authenticator.authenticate(token)
        except InvalidApiKey:
            return False
        return True


@asynccontextmanager
async def sibling(environment: Mapping[str, str]) -> AsyncIterator[Sibling]:
    async with channel(environment, "inference") as opened:
        watch = Watch(opened, name="identity")
        task = asyncio.create_task(watch.run())
        try:
            async with asyncio.timeout(10):
                while not watch.live:  # noqa: ASYNC110 - a clock is read
                    await asyncio.sleep(0.01)
            yield Sibling(watch, RemoteAuthenticator(opened, watch, SystemClock()))
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_no_replica_of_a_sibling_accepts_a_key_once_any_replica_has_revoked_it(
    environment: dict[str, str],
) -> None:
    other = environment | {"HASP_IDENTITY_LISTEN": f"127.0.0.1:{free_port()}"}
    async with AsyncExitStack() as stack:
        for replica in (environment, other):
            await stack.enter_async_context(running(replica))
        token = await first_key(environment)
        apis = [
            Keys(await stack.enter_async_context(channel(replica, "edge")), token) for replica in (environment, other)
        ]
        siblings = [await stack.enter_async_context(sibling(replica)) for replica in (environment, other) * 2]
        made = [await apis[n % 2].create() for n in range(30)]
        revoked: set[str] = set()
        accepted_late: list[str] = []
        accepted = 0

        async def use(one: Sibling) -> None:
            nonlocal accepted
            while True:
                for key in made:
                    was_revoked = key.id in revoked
                    if await one.accepts(key.plaintext):
                        accepted += 1
                        if was_revoked:
                            accepted_late.append(key.id)
                await asyncio.sleep(0.001)

        users = [asyncio.create_task(use(one)) for one in siblings]
        await asyncio.sleep(0.5)
        took = []
        for n, key in enumerate(made):
            began = time.monotonic()
            await apis[n % 2].revoke(key.id)
            took.append(time.monotonic() - began)
            revoked.add(key.id)
        await asyncio.sleep(0.2)
        for user in users:
            assert not user.done()
            user.cancel()
        await asyncio.wait(users)
        assert accepted_late == []
        assert accepted > 100
        assert max(took) < 2.5  # a second for a silent watcher, and a busy machine


async def test_a_sibling_goes_on_from_memory_for_a_second_and_then_asks(environment: dict[str, str]) -> None:
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(running(environment))
        token = await first_key(environment)
        one = await stack.enter_async_context(sibling(environment))
        assert await one.accepts(token)
        process.kill()
        await process.wait()
        assert one.watch.live
        assert await one.accepts(token)
        await asyncio.sleep(1.05)
        assert not one.watch.live
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await one.accepts(token)
        assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        await stack.enter_async_context(running(environment))
        async with asyncio.timeout(20):
            while not one.watch.live:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await one.accepts(token)


async def test_a_kill_loses_and_doubles_nothing_that_was_acknowledged(
    environment: dict[str, str], urls: DatabaseUrls
) -> None:
    created: dict[str, str] = {}
    revoked: set[str] = set()
    asked: set[str] = set()
    async with running(environment):
        token = await first_key(environment)
    for _ in range(3):
        async with running(environment) as process, channel(environment, "edge") as edge:
            keys = Keys(edge, token)
            killing = asyncio.get_running_loop().call_later(0.7, process.kill)
            try:
                while True:
                    key = await keys.create()
                    created[key.id] = key.plaintext
                    if len(created) % 2:
                        asked.add(key.id)
                        await keys.revoke(key.id)
                        revoked.add(key.id)
            except grpc.aio.AioRpcError:
                killing.cancel()
    db = Database(urls.app_url)
    await db.open()
    async with db.hot.connection() as connection:
        rows = await (await connection.execute("SELECT id, revoked_at IS NOT NULL FROM api_keys")).fetchall()
        cursor = await connection.execute("SELECT payload FROM outbox WHERE topic = 'compliance.audit'")
        events = [AuditEvent.FromString(row[0]) for row in await cursor.fetchall()]
    await db.close()
    stored = dict(rows)
    assert created.keys() <= stored.keys()
    assert revoked <= {key for key, ended in stored.items() if ended} <= asked
    audited = sorted((event.action, event.entity_id) for event in events if event.entity_type == "api_key")
    assert audited == sorted(
        [("api_key.created", key) for key in stored]
        + [("api_key.revoked", key) for key, ended in stored.items() if ended]
    )
    async with running(environment), sibling(environment) as one:
        for key, plaintext in list(created.items())[-20:]:
            assert await one.accepts(plaintext) is not stored[key]


async def test_it_stops_in_peace_with_watchers_connected(environment: dict[str, str]) -> None:
    async with running(environment) as process, sibling(environment):
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
        assert time.monotonic() - began < 8


async def test_missing_settings_are_named_all_at_once(environment: dict[str, str]) -> None:
    kept = {name: value for name, value in environment.items() if not name.startswith("HASP_")}
    process = await asyncio.create_subprocess_exec(*COMMAND, env=kept, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    _, told = await process.communicate()
    assert process.returncode not in {0, None}
    for name in environment:
        if name.startswith("HASP_") and name != "HASP_LOG_LEVEL":
            assert name.encode() in told


async def test_migrating_by_hand_is_a_command(environment: dict[str, str], urls: DatabaseUrls) -> None:
    owner = environment | {"HASP_IDENTITY_OWNER_DATABASE_URL": urls.owner_url}
    process = await asyncio.create_subprocess_exec(*COMMAND, "migrate", env=owner, cwd=ROOT)
    assert await process.wait() == 0
