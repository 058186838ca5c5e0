import asyncio
import base64
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hasp.billing.v1 import account_admin_service_pb2 as admin_pb
from hasp.billing.v1 import metering_service_pb2 as pb
from hasp.billing.v1.account_admin_service_pb2_grpc import AccountAdminServiceStub
from hasp.billing.v1.metering_service_pb2_grpc import MeteringServiceStub

from services.chassis.channels import connect
from services.chassis.clock import SystemClock, unix_ms
from services.chassis.tls import Tls
from services.chassis.ulids import new_ulid
from tests.billing.conftest import CATALOGUE
from tests.billing.requests import SONNET, VERSION
from tests.postgres import DatabaseUrls

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "services.billing")
CLOCK = SystemClock()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def environment(urls: DatabaseUrls, tls_dir: Path, tmp_path: Path) -> dict[str, str]:
    kek = tmp_path / "kek"
    kek.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
        "HASP_BILLING_LISTEN": f"127.0.0.1:{free_port()}",
        "HASP_BILLING_DATABASE_URL": urls.app_url,
        "HASP_IDENTITY_ADDRESS": f"127.0.0.1:{free_port()}",
        "HASP_COMPLIANCE_ADDRESS": f"127.0.0.1:{free_port()}",
        "HASP_CATALOGUE": str(CATALOGUE),
        "HASP_TLS_DIR": str(tls_dir),
        "HASP_KEK_FILE": str(kek),
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
    async with connect(environment["HASP_BILLING_LISTEN"], "billing", tls) as opened:
        health = health_pb2_grpc.HealthStub(opened)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        yield opened


async def test_killed_at_random_it_books_each_settlement_exactly_once(environment: dict[str, str]) -> None:
    """A sender that tells every settlement until it is booked, as the outbox does, while the receiver is killed again and again."""
    org_id = new_ulid(CLOCK)
    reserved: dict[str, pb.Settlement] = {}
    owed: dict[str, pb.Settlement] = {}

    async def client(inference: grpc.aio.Channel) -> None:
        metering = MeteringServiceStub(inference)
        while True:
            request = pb.ReserveRequest(
                org_id=org_id,
                request_id=new_ulid(CLOCK),
                principal_id="key",
                model=SONNET,
                catalogue_version=VERSION,
                max_tokens=100,
            )
            settlement = pb.Settlement(
                org_id=org_id,
                request_id=request.request_id,
                principal_id="key",
                model=SONNET,
                catalogue_version=VERSION,
                output_tokens=40,
                basis="reported",
                occurred_at_ms=unix_ms(CLOCK.now()),
            )
            reserved[request.request_id] = settlement
            await metering.Reserve(request, timeout=5)
            owed[request.request_id] = settlement
            booked = await metering.Settle(pb.SettleRequest(settlements=[settlement]), timeout=5)
            if booked.booked:
                owed.pop(request.request_id)

    for life in range(4):
        async with running(environment) as process, channel(environment, "cli") as cli:
            opening = admin_pb.OpenAccountRequest(org_id=org_id, plan="enterprise", opened_at_ms=unix_ms(CLOCK.now()))
            await AccountAdminServiceStub(cli).OpenAccount(opening, timeout=10)
            async with channel(environment, "inference") as inference:
                clients = [asyncio.create_task(client(inference)) for _ in range(16)]
                await asyncio.sleep(0.3 + 0.1 * life)
                process.kill()
                for outcome in await asyncio.gather(*clients, return_exceptions=True):
                    assert isinstance(outcome, grpc.aio.AioRpcError)
    async with running(environment) as process:
        async with channel(environment, "inference") as inference, channel(environment, "cli") as cli:
            # What was reserved and never acknowledged is settled too, as inference does for what it finds dispatched.
            pending = list((reserved | owed).values())
            for first in range(0, len(pending), 500):
                batch = pending[first : first + 500]
                answer = await MeteringServiceStub(inference).Settle(pb.SettleRequest(settlements=batch), timeout=10)
                assert list(answer.booked) == list(range(len(batch)))
            report = await AccountAdminServiceStub(cli).Reconcile(admin_pb.ReconcileRequest(), timeout=10)
            assert list(report.differences) == []
            report = await AccountAdminServiceStub(cli).Reconcile(admin_pb.ReconcileRequest(org_id=org_id), timeout=10)
            assert report.checked == 1
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    assert len(reserved) > 50


async def test_it_does_not_start_with_another_catalogue_under_a_known_version(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(environment), channel(environment, "cli"):
        pass
    changed = tmp_path / "catalogue.json"
    changed.write_text(CATALOGUE.read_text().replace('"credit_ratio": "5.0"', '"credit_ratio": "4.0"'))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=environment | {"HASP_CATALOGUE": str(changed)}, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    with suppress(TimeoutError):
        _, errors = await asyncio.wait_for(process.communicate(), 20)
        assert b"CatalogueChanged" in errors
    assert process.returncode == 1


async def test_missing_settings_are_named_all_at_once(environment: dict[str, str]) -> None:
    kept = {name: value for name, value in environment.items() if not name.startswith("HASP_")}
    process = await asyncio.create_subprocess_exec(*COMMAND, env=kept, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    for name in environment:
        if name.startswith("HASP_"):
            assert name in errors.decode()
