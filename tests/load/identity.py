"""Authentication and revocation, measured on one identity process and a durable PostgreSQL: `python -m tests.load.identity`.

`authenticate` is what a service pays when its memory does not know a token, `create key` a management call with its commit,
`revoke` the call until it returns: its commit, the push to four watchers and their acknowledgements. `revoke, one stopped`
has one watcher under SIGSTOP that held a lease a moment before. Figures are for comparison on this machine, now.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc.aio
from hasp.identity.v1 import api_key_service_pb2 as keys_pb
from hasp.identity.v1 import authentication_service_pb2 as authentication_pb
from hasp.identity.v1 import organization_service_pb2 as organizations_pb
from hasp.identity.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from hasp.identity.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from hasp.identity.v1.organization_service_pb2_grpc import OrganizationServiceStub

from cli.certificates import ensure_certificates
from cli.databases import SERVICES, provision
from cli.postgres import EmbeddedPostgres
from cli.processes import Spawner, free_port
from cli.settings import ROOT
from cli.state import private_folder
from cli.table import Places, Upstream, service_programs
from services.chassis import migrations
from services.chassis.channels import connect
from services.chassis.tls import Tls

WATCHER = ROOT / "tests" / "chassis" / "watcher.py"
TIMEOUT = 10


@contextmanager
def identity_process(folder: Path) -> Iterator[Places]:
    """PostgreSQL that flushes to disk, and identity alone: what it owes its siblings stays in the outbox."""
    places = Places(folder, 0, {name: free_port() for name in (*SERVICES, "simulator")})
    ensure_certificates(places.tls)
    spawner = Spawner()
    postgres = EmbeddedPostgres(folder / "postgres", spawner, log=folder / "postgres.log")
    try:
        postgres.start()
        databases = provision(postgres.admin_url, private_folder(folder / "passwords"))
        migrations.upgrade(databases["identity"].owner_url, "identity")
        (program,) = [
            program
            for program in service_programs(places, databases, Upstream(api_key=""), {"HASP_LOG_LEVEL": "ERROR"})
            if program.name == "identity"
        ]
        process = spawner.start(
            program.command, log=folder / "identity.log", environment=program.environment, directory=ROOT
        )
        try:
            yield places
        finally:
            process.stop()
    finally:
        postgres.stop()
        spawner.close()


@asynccontextmanager
async def watcher(places: Places) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with a watch, once it holds a lease."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WATCHER),
        places.address("identity"),
        str(places.tls),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"},
    )
    if process.stdout is None:
        raise RuntimeError("no pipe")
    await process.stdout.readline()
    reading = asyncio.create_task(_discard(process.stdout))
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
        reading.cancel()


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


def show(name: str, took: list[float], *, seconds: float | None = None) -> None:
    took = sorted(took)
    rate = f"{len(took) / seconds:8.0f}/s" if seconds else ""
    print(
        f"{name:34} p50 {statistics.median(took):8.2f} ms   p99 {took[int(len(took) * 0.99)]:8.2f} ms   "
        f"max {took[-1]:8.2f} ms   n={len(took)} {rate}"
    )


async def crowd(call: Callable[[], Awaitable[object]], *, callers: int, each: int) -> tuple[list[float], float]:
    async def use() -> list[float]:
        return [await timed(call) for _ in range(each)]

    began = time.perf_counter()
    took = await asyncio.gather(*(use() for _ in range(callers)))
    return [one for many in took for one in many], time.perf_counter() - began


class Client:
    """Everything the measurements call, with the key that is allowed to."""

    def __init__(self, places: Places) -> None:
        def channel(workload: str) -> grpc.aio.Channel:
            return connect(places.address("identity"), "identity", Tls.from_dir(places.tls, workload))

        self._keys = ApiKeyServiceStub(channel("edge"))
        self._authentication = AuthenticationServiceStub(channel("inference"))
        self._organizations = OrganizationServiceStub(channel("cli"))
        self.token = ""

    async def begin(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    made = await self._organizations.CreateOrganization(
                        organizations_pb.CreateOrganizationRequest(name="Acme", plan="scale"), timeout=TIMEOUT
                    )
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)
        org_id = made.organization.id
        user = await self._organizations.CreateUser(
            organizations_pb.CreateUserRequest(org_id=org_id, email="a@b.test", name="A", role="owner"), timeout=TIMEOUT
        )
        wanted = organizations_pb.IssueApiKeyRequest(
            org_id=org_id, user_id=user.user.id, name="first", scopes=["control:read", "control:write"]
        )
        self.token = (await self._organizations.IssueApiKey(wanted, timeout=TIMEOUT)).plaintext

    async def authenticate(self, token: str) -> bool:
        try:
            await self._authentication.Authenticate(authentication_pb.AuthenticateRequest(token=token), timeout=TIMEOUT)
        except grpc.aio.AioRpcError as failure:
            if failure.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            return False
        return True

    async def create(self) -> str:
        request = keys_pb.CreateApiKeyRequest(name="k", scopes=["control:read"])
        return (await self._keys.CreateApiKey(request, metadata=self._bearer, timeout=TIMEOUT)).data.id

    async def revoke(self, key_id: str) -> None:
        request = keys_pb.RevokeApiKeyRequest(key_id=key_id)
        await self._keys.RevokeApiKey(request, metadata=self._bearer, timeout=TIMEOUT)

    @property
    def _bearer(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


async def measure(places: Places) -> None:
    client = Client(places)
    await client.begin()
    unknown = "wa_live_" + "0" * 32
    for _ in range(200):
        await client.authenticate(client.token)
    show("authenticate, one caller", [await timed(lambda: client.authenticate(client.token)) for _ in range(1000)])
    show("authenticate, unknown token", [await timed(lambda: client.authenticate(unknown)) for _ in range(1000)])
    took, seconds = await crowd(lambda: client.authenticate(client.token), callers=16, each=200)
    show("authenticate, 16 callers", took, seconds=seconds)
    show("create key", [await timed(client.create) for _ in range(200)])
    made = iter([await client.create() for _ in range(630)])
    show("revoke, no watchers", [await timed(lambda: client.revoke(next(made))) for _ in range(100)])
    async with watcher(places), watcher(places), watcher(places), watcher(places) as last:
        show("revoke, four watchers", [await timed(lambda: client.revoke(next(made))) for _ in range(300)])
        took, seconds = await crowd(lambda: client.revoke(next(made)), callers=8, each=25)
        show("revoke, four watchers, 8 callers", took, seconds=seconds)
        took = []
        for _ in range(10):
            os.kill(last.pid, signal.SIGSTOP)
            took.append(await timed(lambda: client.revoke(next(made))))
            os.kill(last.pid, signal.SIGCONT)
            await asyncio.sleep(1)
        show("revoke, one of four stopped", took)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hasp-bench-") as folder, identity_process(Path(folder)) as places:
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        asyncio.run(measure(places))


if __name__ == "__main__":
    main()
