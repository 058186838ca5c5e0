import asyncio
import base64
import hashlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.struct_pb2 import Struct
from hasp.compliance.v1 import audit_intake_service_pb2 as intake_pb
from hasp.compliance.v1 import audit_service_pb2 as audit_pb
from hasp.compliance.v1 import baa_gate_service_pb2 as gate_pb
from hasp.compliance.v1 import baa_service_pb2 as baa_pb
from hasp.compliance.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceStub
from hasp.compliance.v1.audit_service_pb2_grpc import AuditServiceStub
from hasp.compliance.v1.baa_gate_service_pb2_grpc import BaaGateServiceStub
from hasp.compliance.v1.baa_service_pb2_grpc import BaaServiceStub

from services.chassis.access import Principal
from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.contract import methods_of
from services.chassis.database import Database
from services.chassis.sealing import Sealer
from services.chassis.server import Server
from services.chassis.tls import Tls
from services.chassis.ulids import new_ulid
from services.compliance import servicer
from services.compliance.clients.destinations import Destinations, SystemResolver
from services.compliance.clients.press.press import Press
from services.compliance.clients.receivers import Receivers, trust
from services.compliance.domain.destinations import Policy
from services.compliance.usecases.compliance import Compliance, Ground
from tests.compliance.calls import as_, printed, refusal
from tests.compliance.support import SIGNERS, VERSION, example_clinic, placed, sequencing
from tests.fakes import FrozenClock, Tokens, principal_of_new_org

SIGNATURE = {
    "template_version": VERSION,
    "signer_name": "Grace Harper",
    "signer_title": "Compliance Officer",
    "signer_email": "grace@clinic.example",
    "accept": True,
}


@pytest.fixture
async def port(
    db: Database,
    clock: FrozenClock,
    sealer: Sealer,
    press: Press,
    alice: Principal,
    mallory: Principal,
    tls_dir: Path,
) -> AsyncIterator[int]:
    reader = principal_of_new_org(clock, scopes=frozenset({"control:read"}))
    agent = replace(alice, kind="agent", scopes=frozenset({"ai:chat"}), agent_id="agent")
    tokens = Tokens({"alice": alice, "mallory": mallory, "reader": reader, "agent": agent})
    destinations = Destinations(Policy(), SystemResolver())
    receivers = Receivers(destinations, trust(None))
    compliance = Compliance(
        Ground(
            db=db,
            clock=clock,
            sealer=sealer,
            signers=SIGNERS,
            endorsements=[],
            authority=None,
            press=press,
            name_of=example_clinic,
            destinations=destinations,
            send=receivers.send,
            deployment="hasp.example",
            baa_signatory="Otto Operator",
        )
    )
    boundary = Boundary(
        methods=methods_of(servicer.SERVICES), authenticator=tokens, clock=clock, answers=compliance.idempotency
    )
    server = Server(listen="127.0.0.1:0", tls=Tls.from_dir(tls_dir, "compliance"), boundary=boundary, drain=1)
    servicer.register(server, compliance)
    await server.start()
    yield server.port
    await server.stop()
    await receivers.close()


@pytest.fixture
async def edge(port: int, tls_dir: Path) -> AsyncIterator[grpc.aio.Channel]:
    """A channel as the edge has it."""
    async with connect(f"127.0.0.1:{port}", "compliance", Tls.from_dir(tls_dir, "edge")) as channel:
        yield channel


@pytest.fixture
async def inference(port: int, tls_dir: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with connect(f"127.0.0.1:{port}", "compliance", Tls.from_dir(tls_dir, "inference")) as channel:
        yield channel


def told(org_id: str, clock: FrozenClock, **metadata: Any) -> intake_pb.AuditEvent:
    values = Struct()
    values.update(metadata)
    return intake_pb.AuditEvent(
        id=new_ulid(clock),
        org_id=org_id,
        action="api_key.created",
        entity_type="api_key",
        entity_id="key",
        user_id="alice",
        actor_type="agent",
        actor_id="agent",
        credential_id="credential",
        delegation_path=["alice", "credential"],
        metadata=values,
        occurred_at_ms=1_778_500_800_000,
    )


async def test_the_agreement_is_shown_and_signed(edge: grpc.aio.Channel) -> None:
    baa = BaaServiceStub(edge)
    before = printed(await baa.GetBaa(baa_pb.GetBaaRequest(), **as_("alice")))
    assert before["success"] is True
    assert before["data"]["status"] == "unsigned"
    assert before["data"]["acceptance"] is None
    assert before["data"]["template"]["version"] == VERSION
    assert "164.504(e)" in before["data"]["template"]["body_markdown"]
    assert before["data"]["template"]["effective_at"] == "2026-04-01T00:00:00+00:00"
    assert before["data"]["signing"] == {"method": "POST", "path": "/v1/compliance/baa/acceptances"}
    assert before["meta"]["request_id"].startswith("req_")

    call = baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("alice"))
    signed = printed(await call)["data"]
    assert dict(await call.initial_metadata())["x-http-status"] == "201"
    assert re.fullmatch(r"[0-9a-f]{64}", signed["pdf_sha256"])
    assert signed | {"id": "", "ip_address": "", "audit_entry_id": "", "pdf_sha256": ""} == {
        "id": "",
        "template_version": VERSION,
        "template_sha256": before["data"]["template"]["sha256"],
        "status": "active",
        "signer_name": "Grace Harper",
        "signer_title": "Compliance Officer",
        "signer_email": "grace@clinic.example",
        "signed_at": "2026-05-11T12:00:00+00:00",
        "countersigned_at": "2026-05-11T12:00:00+00:00",
        "countersigned_by": "Otto Operator",
        "effective_at": "2026-05-11T12:00:00+00:00",
        "expires_at": None,
        "ip_address": "",
        "pdf_sha256": "",
        "audit_entry_id": "",
    }
    after = printed(await baa.GetBaa(baa_pb.GetBaaRequest(), **as_("alice")))["data"]
    assert after["status"] == "active"
    assert after["acceptance"] == signed
    fetched = await baa.GetAcceptance(baa_pb.GetAcceptanceRequest(acceptance_id=signed["id"]), **as_("alice"))
    assert printed(fetched)["data"] == signed
    listed = printed(await baa.ListAcceptances(baa_pb.ListAcceptancesRequest(), **as_("alice")))
    assert listed["data"] == [signed]
    assert (listed["meta"]["next_cursor"], listed["meta"]["has_more"]) == (None, False)


async def test_inference_is_told_of_the_open_gate(
    edge: grpc.aio.Channel, inference: grpc.aio.Channel, alice: Principal
) -> None:
    gate = BaaGateServiceStub(inference)
    closed = await gate.GetGate(gate_pb.GetGateRequest(org_id=alice.org_id), timeout=5)
    assert (closed.open, closed.status, closed.closes_at_ms, closed.seq) == (False, "unsigned", 0, 0)
    await BaaServiceStub(edge).AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("alice"))
    opened = await gate.GetGate(gate_pb.GetGateRequest(org_id=alice.org_id), timeout=5)
    assert (opened.open, opened.status, opened.closes_at_ms, opened.seq) == (True, "active", 0, 1)


@pytest.mark.parametrize(
    ("param", "changed"),
    [
        ("template_version", {"template_version": "1999-01-01"}),
        ("template_version", {"template_version": ""}),
        ("signer_name", {"signer_name": "G"}),
        ("signer_name", {"signer_name": "   "}),
        ("signer_name", {"signer_name": "Grace\x00Harper"}),
        ("signer_name", {"signer_name": "Grace\u202eHarper"}),
        ("signer_title", {"signer_title": ""}),
        ("signer_title", {"signer_title": "Officer\nof everything"}),
        ("signer_email", {"signer_email": "not an address"}),
        ("accept", {"accept": False}),
    ],
)
async def test_a_signature_that_is_not_whole_is_refused_by_the_name_of_its_field(
    edge: grpc.aio.Channel, param: str, changed: dict[str, Any]
) -> None:
    request = baa_pb.AcceptBaaRequest(**SIGNATURE | changed)
    reason, metadata = await refusal(BaaServiceStub(edge).AcceptBaa(request, **as_("alice")))
    assert (reason, metadata["http_status"], metadata["param"]) == ("VALIDATION_FAILED", "422", param)


async def test_the_document_of_a_signature_is_downloaded(edge: grpc.aio.Channel) -> None:
    baa = BaaServiceStub(edge)
    signed = printed(await baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("alice")))["data"]
    request = baa_pb.DownloadAcceptanceRequest(acceptance_id=signed["id"])
    for _ in range(2):
        call = baa.DownloadAcceptance(request, **as_("alice"))
        body = await call
        assert body.content_type == "application/pdf"
        assert hashlib.sha256(body.data).hexdigest() == signed["pdf_sha256"]
        headers = dict(await call.initial_metadata())
        assert headers["content-disposition"] == f'attachment; filename="baa-{VERSION}-{signed["id"]}.pdf"'
    reason, metadata = await refusal(baa.DownloadAcceptance(request, **as_("mallory")))
    assert (reason, metadata["http_status"]) == ("RESOURCE_NOT_FOUND", "404")
    reason, metadata = await refusal(baa.DownloadAcceptance(request, **as_("agent")))
    assert (reason, metadata["http_status"]) == ("AGENT_NOT_PERMITTED", "403")


async def test_an_expired_certificate_of_the_operator_is_503_and_the_same_call_may_come_again(
    edge: grpc.aio.Channel, clock: FrozenClock
) -> None:
    baa, decade = BaaServiceStub(edge), timedelta(days=4000)
    call = as_("alice", **{"idempotency-key": "sign-when-you-can"})
    clock.advance(decade)
    reason, metadata = await refusal(baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **call))
    assert (reason, metadata["http_status"], metadata["retryable"]) == ("SERVICE_UNAVAILABLE", "503", "true")
    assert printed(await baa.GetBaa(baa_pb.GetBaaRequest(), **as_("alice")))["data"]["status"] == "unsigned"
    clock.advance(-decade)
    signed = await baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **call)
    assert signed.data.status == "active"


async def test_signing_twice_with_one_key_signs_once(edge: grpc.aio.Channel) -> None:
    baa = BaaServiceStub(edge)
    headers = {"idempotency-key": "sign-1"}
    first = await baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("alice", **headers))
    again = await baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("alice", **headers))
    assert again == first
    listed = await baa.ListAcceptances(baa_pb.ListAcceptancesRequest(), **as_("alice"))
    assert len(listed.data) == 1


async def test_signing_needs_a_key_that_may_write(edge: grpc.aio.Channel) -> None:
    baa = BaaServiceStub(edge)
    reason, metadata = await refusal(baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("reader")))
    assert (reason, metadata["http_status"]) == ("MISSING_SCOPE", "403")
    await baa.GetBaa(baa_pb.GetBaaRequest(), **as_("reader"))
    reason, _ = await refusal(baa.GetBaa(baa_pb.GetBaaRequest(), **as_("nobody")))
    assert reason == "INVALID_API_KEY"


async def test_another_organizations_rows_are_not_found(
    edge: grpc.aio.Channel, inference: grpc.aio.Channel, clock: FrozenClock, alice: Principal
) -> None:
    signed = await BaaServiceStub(edge).AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("alice"))
    event = told(alice.org_id, clock)
    await AuditIntakeServiceStub(inference).AppendEvents(intake_pb.AppendEventsRequest(events=[event]), timeout=5)
    for call in (
        BaaServiceStub(edge).GetAcceptance(baa_pb.GetAcceptanceRequest(acceptance_id=signed.data.id), **as_("mallory")),
        AuditServiceStub(edge).GetAuditEntry(audit_pb.GetAuditEntryRequest(entry_id=event.id), **as_("mallory")),
    ):
        reason, metadata = await refusal(call)
        assert (reason, metadata["http_status"]) == ("RESOURCE_NOT_FOUND", "404")


async def test_the_audit_prints_what_siblings_told(
    edge: grpc.aio.Channel, inference: grpc.aio.Channel, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    event = told(alice.org_id, clock, count=3, entity_types=["PERSON"])
    appended = intake_pb.AppendEventsRequest(events=[event, event])
    await AuditIntakeServiceStub(inference).AppendEvents(appended, timeout=5)
    audit = AuditServiceStub(edge)
    fetched = await audit.GetAuditEntry(audit_pb.GetAuditEntryRequest(entry_id=event.id), **as_("alice"))
    waits = printed(fetched)["data"]
    assert (waits["seq"], waits["integrity_hash"]) == (None, "")
    async with sequencing(db):
        await placed(db)
    page = printed(await audit.ListAuditEntries(audit_pb.ListAuditEntriesRequest(), **as_("alice")))
    [entry] = page["data"]
    assert len(entry["integrity_hash"]) == 64
    assert entry | {"integrity_hash": ""} == {
        "id": event.id,
        "seq": 0,
        "action": "api_key.created",
        "entity_type": "api_key",
        "entity_id": "key",
        "user_id": "alice",
        "actor": {
            "type": "agent",
            "id": "agent",
            "credential_id": "credential",
            "delegation_path": ["alice", "credential"],
        },
        "ip_address": None,
        "request_id": None,
        "metadata": {"count": 3, "entity_types": ["PERSON"]},
        "integrity_hash": "",
        "created_at": "2026-05-11T12:00:00+00:00",
    }
    assert page["meta"]["next_cursor"] is None


async def test_the_audit_is_read_page_by_page(
    edge: grpc.aio.Channel, inference: grpc.aio.Channel, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    events = [told(alice.org_id, clock) for _ in range(120)]
    intake = AuditIntakeServiceStub(inference)
    await intake.AppendEvents(intake_pb.AppendEventsRequest(events=events), timeout=5)
    async with sequencing(db):
        await placed(db)
    audit = AuditServiceStub(edge)
    sizes, seqs, cursor = [], [], ""
    while True:
        page = printed(await audit.ListAuditEntries(audit_pb.ListAuditEntriesRequest(cursor=cursor), **as_("alice")))
        sizes.append(len(page["data"]))
        seqs += [entry["seq"] for entry in page["data"]]
        assert page["meta"]["has_more"] is (page["meta"]["next_cursor"] is not None)
        if not page["meta"]["has_more"]:
            break
        cursor = page["meta"]["next_cursor"]
    assert sizes == [50, 50, 20]
    assert seqs == list(range(119, -1, -1))
    for limit in (1, 119, 120, 200):
        page = printed(await audit.ListAuditEntries(audit_pb.ListAuditEntriesRequest(limit=limit), **as_("alice")))
        assert [entry["seq"] for entry in page["data"]] == list(range(119, -1, -1))[:limit]
        assert page["meta"]["has_more"] is (limit < 120)


async def test_a_cursor_of_another_organization_or_list_is_refused(
    edge: grpc.aio.Channel,
    inference: grpc.aio.Channel,
    db: Database,
    clock: FrozenClock,
    alice: Principal,
    mallory: Principal,
) -> None:
    audit, intake = AuditServiceStub(edge), AuditIntakeServiceStub(inference)
    async with sequencing(db):
        for _ in range(2):
            events = [told(principal.org_id, clock) for principal in (alice, mallory)]
            await intake.AppendEvents(intake_pb.AppendEventsRequest(events=events), timeout=5)
            await placed(db)
    entries = await audit.ListAuditEntries(audit_pb.ListAuditEntriesRequest(limit=1), **as_("alice"))
    signed = await audit.ListCheckpoints(audit_pb.ListCheckpointsRequest(limit=1), **as_("alice"))
    of_entries, of_checkpoints = entries.meta.next_cursor.string_value, signed.meta.next_cursor.string_value
    assert of_entries
    assert of_checkpoints
    for call in (
        audit.ListAuditEntries(audit_pb.ListAuditEntriesRequest(cursor=of_entries), **as_("mallory")),
        audit.ListAuditEntries(audit_pb.ListAuditEntriesRequest(cursor=of_checkpoints), **as_("alice")),
        audit.ListCheckpoints(audit_pb.ListCheckpointsRequest(cursor=of_checkpoints), **as_("mallory")),
        audit.ListCheckpoints(audit_pb.ListCheckpointsRequest(cursor=of_entries), **as_("alice")),
    ):
        reason, metadata = await refusal(call)
        assert (reason, metadata["http_status"], metadata["param"]) == ("VALIDATION_FAILED", "422", "cursor")
    # A cursor goes with whatever filters the next page is asked with.
    request = audit_pb.ListAuditEntriesRequest(
        cursor=of_entries, action="api_key.created", since="2026-05-11T12:00:00Z"
    )
    assert [entry.seq.number_value for entry in (await audit.ListAuditEntries(request, **as_("alice"))).data] == [0]


async def test_what_an_agent_did_through_others_tells_the_whole_path(
    edge: grpc.aio.Channel, inference: grpc.aio.Channel, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    event = told(alice.org_id, clock)
    del event.delegation_path[:]
    event.delegation_path.extend(["alice", "root", "child", "credential"])
    await AuditIntakeServiceStub(inference).AppendEvents(intake_pb.AppendEventsRequest(events=[event]), timeout=5)
    audit = AuditServiceStub(edge)
    shown = printed(await audit.GetAuditEntry(audit_pb.GetAuditEntryRequest(entry_id=event.id), **as_("alice")))["data"]
    async with sequencing(db):
        await placed(db)
    request = audit_pb.ListAuditEntriesRequest(actor_id="agent", entity_id="key")
    (listed,) = printed(await audit.ListAuditEntries(request, **as_("alice")))["data"]
    for entry in (shown, listed):
        assert entry["user_id"] == "alice"
        assert entry["actor"] == {
            "type": "agent",
            "id": "agent",
            "credential_id": "credential",
            "delegation_path": ["alice", "root", "child", "credential"],
        }


async def test_an_export_is_in_the_audit_by_who_took_what(
    edge: grpc.aio.Channel, inference: grpc.aio.Channel, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    audit = AuditServiceStub(edge)
    events = [told(alice.org_id, clock) for _ in range(3)]
    async with sequencing(db):
        await AuditIntakeServiceStub(inference).AppendEvents(intake_pb.AppendEventsRequest(events=events), timeout=5)
        await placed(db)
        request = audit_pb.ExportAuditRequest(since="2026-05-11T14:00:00+02:00", until="2026-05-12T00:00:00Z")
        stream: Any = audit.ExportAudit(request, **as_("alice"))
        first = await stream.read()
        await placed(db)
        stream.cancel()  # what was sent is out, whether or not the rest is fetched
    assert first.data
    request = audit_pb.ListAuditEntriesRequest(action="audit.exported")
    (entry,) = printed(await audit.ListAuditEntries(request, **as_("alice")))["data"]
    assert (entry["actor"]["id"], entry["user_id"]) == (alice.id, alice.user_id)
    assert entry["request_id"].startswith("req_")
    assert entry["metadata"] == {
        "since": "2026-05-11T12:00:00+00:00",
        "until": "2026-05-12T00:00:00+00:00",
        "first": 0,
        "count": 3,
        "tree_size": 3,
    }


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("since", {"since": "yesterday"}),
        ("since", {"since": "2026-05-11T12:00:00"}),
        ("until", {"until": "0000-00-00"}),
        ("cursor", {"cursor": "!!!"}),
        ("cursor", {"cursor": "YWJj"}),
        ("cursor", {"cursor": base64.urlsafe_b64encode(b"9" * 40).decode()}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": 201}),
        ("action", {"action": "x" * 101}),
        ("entity_id", {"entity_id": "a\x00"}),
    ],
)
async def test_a_query_that_cannot_be_read_is_refused_by_the_name_of_its_parameter(
    edge: grpc.aio.Channel, param: str, fields: dict[str, Any]
) -> None:
    request = audit_pb.ListAuditEntriesRequest(**fields)
    reason, metadata = await refusal(AuditServiceStub(edge).ListAuditEntries(request, **as_("alice")))
    assert (reason, metadata["http_status"], metadata["param"]) == ("VALIDATION_FAILED", "422", param)


async def test_a_time_with_any_offset_is_understood(edge: grpc.aio.Channel) -> None:
    for since in ("2026-05-11T12:00:00+02:00", "2026-05-11T12:00:00Z", "2026-05-11T12:00:00.123456+00:00"):
        request = audit_pb.ListAuditEntriesRequest(since=since, until=since)
        await AuditServiceStub(edge).ListAuditEntries(request, **as_("alice"))


async def test_a_number_that_is_not_whole_refuses_the_call_for_the_sender_to_split(
    inference: grpc.aio.Channel, clock: FrozenClock, alice: Principal
) -> None:
    request = intake_pb.AppendEventsRequest(events=[told(alice.org_id, clock, cost=0.5)])
    reason, metadata = await refusal(AuditIntakeServiceStub(inference).AppendEvents(request, timeout=5))
    assert (reason, metadata["param"]) == ("VALIDATION_FAILED", "metadata")


async def test_only_siblings_reach_the_internal_services(edge: grpc.aio.Channel, alice: Principal) -> None:
    for call in (
        AuditIntakeServiceStub(edge).AppendEvents(intake_pb.AppendEventsRequest(), **as_("alice")),
        BaaGateServiceStub(edge).GetGate(gate_pb.GetGateRequest(org_id=alice.org_id), **as_("alice")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() in {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}


async def test_signatures_are_listed_page_by_page(edge: grpc.aio.Channel, clock: FrozenClock) -> None:
    baa = BaaServiceStub(edge)
    signed = []
    for _ in range(3):
        answer = await baa.AcceptBaa(baa_pb.AcceptBaaRequest(**SIGNATURE), **as_("alice"))
        signed.append(answer.data.id)
        clock.advance(timedelta(seconds=1))
    first = await baa.ListAcceptances(baa_pb.ListAcceptancesRequest(limit=2), **as_("alice"))
    assert [item.id for item in first.data] == [signed[2], signed[1]]
    assert first.meta.has_more
    request = baa_pb.ListAcceptancesRequest(limit=2, cursor=first.meta.next_cursor.string_value)
    second = await baa.ListAcceptances(request, **as_("alice"))
    assert [item.id for item in second.data] == [signed[0]]
    assert not second.meta.has_more
    broken = baa.ListAcceptances(baa_pb.ListAcceptancesRequest(cursor="YWJj"), **as_("alice"))
    assert (await refusal(broken))[1]["param"] == "cursor"


async def test_throughput_of_the_intake(inference: grpc.aio.Channel, clock: FrozenClock, alice: Principal) -> None:
    """A figure, with a floor far below it: mTLS, boundary and client share two cores with PostgreSQL."""
    intake = AuditIntakeServiceStub(inference)
    calls = [
        intake_pb.AppendEventsRequest(events=[told(alice.org_id, clock, model="m", input_tokens=7) for _ in range(100)])
        for _ in range(100)
    ]

    async def caller() -> None:
        while calls:
            await intake.AppendEvents(calls.pop(), timeout=30)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(8)))
    rate = 10_000 / (time.perf_counter() - started)
    print(f"over gRPC, 8 callers × 100: {rate:.0f} acknowledged/s")
    assert rate > 300
