import asyncio
import base64
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hasp.compliance.v1 import audit_intake_service_pb2 as intake_pb
from hasp.compliance.v1 import baa_gate_service_pb2 as gate_pb
from hasp.compliance.v1 import baa_service_pb2 as baa_pb
from hasp.compliance.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceStub
from hasp.compliance.v1.baa_gate_service_pb2_grpc import BaaGateServiceStub
from hasp.compliance.v1.baa_service_pb2_grpc import BaaServiceStub
from standardwebhooks import Webhook

from cli.audit_keys import ensure_key
from cli.signing_certificates import ensure_signing_certificate
from services.chassis.access import Principal
from services.chassis.channels import connect
from services.chassis.clock import SystemClock, unix_ms
from services.chassis.database import Database
from services.chassis.sealing import FileKek, Sealer
from services.chassis.tls import Tls
from services.chassis.ulids import new_ulid
from tests.compliance.deliveries import Outbox
from tests.compliance.receivers import Authority, Received, receiving, status
from tests.compliance.support import count, placed
from tests.postgres import DatabaseUrls

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "services.compliance")


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
        "HASP_COMPLIANCE_LISTEN": f"127.0.0.1:{free_port()}",
        "HASP_COMPLIANCE_DATABASE_URL": urls.app_url,
        "HASP_IDENTITY_ADDRESS": f"127.0.0.1:{free_port()}",
        "HASP_TLS_DIR": str(tls_dir),
        "HASP_KEK_FILE": str(kek),
        "HASP_BAA_KEY_FILE": str(tmp_path / "baa.key"),
        "HASP_BAA_CERTIFICATE_FILE": str(ensure_signing_certificate(tmp_path / "baa.key")),
        "HASP_AUDIT_KEY_FILE": str(ensure_key(tmp_path / "audit.key")),
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
    async with connect(environment["HASP_COMPLIANCE_LISTEN"], "compliance", tls) as opened:
        health = health_pb2_grpc.HealthStub(opened)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        yield opened


def an_event(principal: Principal) -> intake_pb.AuditEvent:
    clock = SystemClock()
    return intake_pb.AuditEvent(
        id=new_ulid(clock),
        org_id=principal.org_id,
        action="budget.updated",
        entity_type="budget",
        entity_id=principal.org_id,
        actor_type="system",
        actor_id="billing",
        occurred_at_ms=unix_ms(clock.now()),
    )


async def slowly(received: Received, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.02)
    await status(200)(received, writer)


async def test_it_serves_while_others_are_down_and_admits_nobody(environment: dict[str, str], alice: Principal) -> None:
    authority = {
        "HASP_TSA_URL": "http://127.0.0.1:1/",
        "HASP_TSA_CERTIFICATE_FILE": f"{environment['HASP_TLS_DIR']}/ca.pem",
    }
    async with running(environment | authority) as process:
        async with channel(environment, "inference") as inference, channel(environment, "edge") as edge:
            gate = await BaaGateServiceStub(inference).GetGate(gate_pb.GetGateRequest(org_id=alice.org_id), timeout=5)
            assert gate.status == "unsigned"
            token = [("authorization", f"Bearer wa_live_{'0' * 32}")]
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await BaaServiceStub(edge).GetBaa(baa_pb.GetBaaRequest(), metadata=token, timeout=10)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_what_was_acknowledged_before_a_kill_is_an_entry_after_it(
    environment: dict[str, str], db: Database, alice: Principal
) -> None:
    told: set[str] = set()
    for _ in range(3):
        async with running(environment) as process, channel(environment, "billing") as billing:
            intake = AuditIntakeServiceStub(billing)
            killing = asyncio.get_running_loop().call_later(0.5, process.kill)
            try:
                while True:
                    events = [an_event(alice) for _ in range(20)]
                    await intake.AppendEvents(intake_pb.AppendEventsRequest(events=events), timeout=5)
                    told |= {event.id for event in events}
            except grpc.aio.AioRpcError:
                killing.cancel()
    async with running(environment), channel(environment, "billing"):
        await placed(db)
    async with db.hot.connection() as connection:
        rows = await (await connection.execute("SELECT id, seq FROM audit_entries ORDER BY seq")).fetchall()
    assert told <= {entry_id for entry_id, _ in rows}
    assert [seq for _, seq in rows] == list(range(len(rows)))
    assert await count(db, "SELECT size FROM audit_trees") == len(rows)


async def test_each_webhook_arrives_in_order_though_replicas_are_killed(
    environment: dict[str, str], db: Database, alice: Principal, authority: Authority
) -> None:
    """From what a sibling tells to ten receivers, a thousand deliveries. One that was on its way arrives again, under its id."""
    outbox = Outbox(db, SystemClock(), Sealer(db, FileKek(Path(environment["HASP_KEK_FILE"]))))
    environment |= {
        "HASP_WEBHOOK_ALLOWED_NETWORKS": "10.9.8.0/24,127.0.0.0/8",
        "HASP_WEBHOOK_CA_FILE": str(authority.file),
    }
    listens = [environment["HASP_COMPLIANCE_LISTEN"], f"127.0.0.1:{free_port()}"]
    async with receiving(authority.context("127.0.0.1"), slowly) as receiver, AsyncExitStack() as stack:
        endpoints = [await outbox.endpoint(alice.org_id, f"{receiver.url}/{number}") for number in range(10)]
        await outbox.rows("INSERT INTO webhook_positions (org_id, seq) VALUES (%s, 0)", alice.org_id)
        start = stack.enter_async_context
        replicas = [await start(running(environment | {"HASP_COMPLIANCE_LISTEN": listen})) for listen in listens]
        async with channel(environment, "billing") as billing:
            told = [an_event(alice) for _ in range(100)]
            await AuditIntakeServiceStub(billing).AppendEvents(intake_pb.AppendEventsRequest(events=told), timeout=5)
        for kill, many in enumerate((100, 300, 600)):
            await receiver.got(many, 20)
            replicas[kill].kill()
            if kill < len(listens):  # the last one's work is left to the other
                again = environment | {"HASP_COMPLIANCE_LISTEN": listens[kill]}
                replicas.append(await start(running(again)))
        async with asyncio.timeout(30):
            while await count(db, "SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'") < 1000:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        rows = await outbox.rows(
            "SELECT endpoint_id, array_agg(id ORDER BY arrival) FROM webhook_deliveries GROUP BY endpoint_id"
        )
    expected: dict[str, list[str]] = dict(rows)
    for number, endpoint in enumerate(endpoints):
        arrived = [received for received in receiver.received if received.target == f"/{number}"]
        events = {received.id: json.loads(received.body) for received in arrived}
        assert list(events) == expected[endpoint.id]  # as each came first
        assert {event["id"] for event in events.values()} == {event.id for event in told}
        assert [event["data"]["seq"] for event in events.values()] == list(range(100))
        for received in arrived:
            assert json.loads(received.body) == events[received.id]
            assert Webhook(endpoint.secret).verify(received.body, received.header)


async def test_missing_settings_are_named_all_at_once(environment: dict[str, str]) -> None:
    kept = {name: value for name, value in environment.items() if not name.startswith("HASP_")}
    process = await asyncio.create_subprocess_exec(*COMMAND, env=kept, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    _, told = await process.communicate()
    assert process.returncode not in {0, None}
    for name in environment:
        if name.startswith("HASP_"):
            assert name.encode() in told


async def test_migrating_by_hand_is_a_command(environment: dict[str, str], urls: DatabaseUrls) -> None:
    owner = environment | {"HASP_COMPLIANCE_OWNER_DATABASE_URL": urls.owner_url}
    process = await asyncio.create_subprocess_exec(*COMMAND, "migrate", env=owner, cwd=ROOT)
    assert await process.wait() == 0
