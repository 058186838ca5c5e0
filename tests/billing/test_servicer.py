import base64
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hasp.billing.v1 import account_admin_service_pb2 as admin_pb
from hasp.billing.v1 import budget_service_pb2 as budget_pb
from hasp.billing.v1 import metering_service_pb2 as metering_pb
from hasp.billing.v1 import usage_service_pb2 as usage_pb
from hasp.billing.v1.account_admin_service_pb2_grpc import (
    AccountAdminServiceStub,
    add_AccountAdminServiceServicer_to_server,
)
from hasp.billing.v1.budget_service_pb2_grpc import BudgetServiceStub, add_BudgetServiceServicer_to_server
from hasp.billing.v1.metering_service_pb2_grpc import MeteringServiceStub, add_MeteringServiceServicer_to_server
from hasp.billing.v1.usage_service_pb2_grpc import UsageServiceStub, add_UsageServiceServicer_to_server

from services.billing import servicer
from services.billing.servicer.account_admin import AccountAdminServicer
from services.billing.servicer.metering import MeteringServicer
from services.billing.servicer.own import BudgetServicer, UsageServicer
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.budgets import Budgets
from services.billing.usecases.metering import Metering
from services.billing.usecases.usage import Usages
from services.chassis.access import Principal
from services.chassis.clock import unix_ms
from services.chassis.database import Database
from services.chassis.idempotency import Idempotency
from services.chassis.sealing import FileKek, Sealer
from services.chassis.statuses import reason_of
from services.chassis.ulids import new_ulid
from tests.billing.requests import SONNET, VERSION, rows
from tests.fakes import FrozenClock, Registered, Tokens, principal_of_new_org, serve

ALICE = (("authorization", "Bearer alice"),)
MALLORY = (("authorization", "Bearer mallory"),)
READER = (("authorization", "Bearer reader"),)
AGENT = (("authorization", "Bearer agent"),)


@pytest.fixture
def registered(metering: Metering, budgets: Budgets, usages: Usages, accounts: Accounts) -> list[Registered]:
    return [
        (add_MeteringServiceServicer_to_server, MeteringServicer(metering)),
        (add_BudgetServiceServicer_to_server, BudgetServicer(budgets)),
        (add_UsageServiceServicer_to_server, UsageServicer(usages)),
        (add_AccountAdminServiceServicer_to_server, AccountAdminServicer(accounts)),
    ]


@pytest.fixture
def tokens(alice: Principal, mallory: Principal) -> Tokens:
    reader = Principal(
        org_id=alice.org_id, kind="api_key", id="reader", user_id="u", scopes=frozenset({"control:read"})
    )
    agent = Principal(org_id=alice.org_id, kind="agent", id="agent", user_id="u", scopes=alice.scopes)
    return Tokens({"alice": alice, "mallory": mallory, "reader": reader, "agent": agent})


@pytest.fixture
def answers(db: Database, clock: FrozenClock, tmp_path: Path) -> Idempotency:
    kek = tmp_path / "kek"
    kek.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    return Idempotency(db, clock, Sealer(db, FileKek(kek)))


@pytest.fixture
async def edge(
    registered: list[Registered], tokens: Tokens, answers: Idempotency, clock: FrozenClock, tls_dir: Path
) -> AsyncIterator[grpc.aio.Channel]:
    async with serve(
        *registered,
        services=servicer.SERVICES,
        authenticator=tokens,
        clock=clock,
        tls_dir=tls_dir,
        workload="billing",
        answers=answers,
    ) as channel:
        yield channel


@pytest.fixture
async def inference(
    registered: list[Registered], tokens: Tokens, answers: Idempotency, clock: FrozenClock, tls_dir: Path
) -> AsyncIterator[grpc.aio.Channel]:
    async with serve(
        *registered,
        services=servicer.SERVICES,
        authenticator=tokens,
        clock=clock,
        tls_dir=tls_dir,
        workload="billing",
        caller="inference",
        answers=answers,
    ) as channel:
        yield channel


def reserving(who: Principal, clock: FrozenClock, **changes: object) -> metering_pb.ReserveRequest:
    request = metering_pb.ReserveRequest(
        org_id=who.org_id,
        request_id=new_ulid(clock),
        principal_id=who.id,
        model=SONNET,
        catalogue_version=VERSION,
        input_tokens_bound=100,
        max_tokens=50,
    )
    request.MergeFrom(metering_pb.ReserveRequest(**changes))  # pyright: ignore[reportArgumentType]
    return request


def settling(of: metering_pb.ReserveRequest, clock: FrozenClock, **changes: object) -> metering_pb.Settlement:
    told = metering_pb.Settlement(
        org_id=of.org_id,
        request_id=of.request_id,
        principal_id=of.principal_id,
        model=of.model,
        catalogue_version=of.catalogue_version,
        input_tokens=80,
        output_tokens=20,
        basis="reported",
        occurred_at_ms=unix_ms(clock.now()),
    )
    told.MergeFrom(metering_pb.Settlement(**changes))  # pyright: ignore[reportArgumentType]
    return told


def change(**fields: object) -> budget_pb.UpdateBudgetRequest:
    body = Struct()
    body.update(fields)  # pyright: ignore[reportArgumentType]
    return budget_pb.UpdateBudgetRequest(budget=body)


async def test_inference_reserves_and_settles_and_the_organization_sees_it(
    inference: grpc.aio.Channel, edge: grpc.aio.Channel, alice: Principal, clock: FrozenClock
) -> None:
    metering = MeteringServiceStub(inference)
    request = reserving(alice, clock)
    decision = await metering.Reserve(request, timeout=5)
    assert decision.reserved
    assert decision.cycle_reset_at == "2026-06-11T12:00:00+00:00"
    assert (decision.requests.limit, decision.requests.remaining) == (500, 499)
    assert (decision.tokens.limit, decision.tokens.remaining) == (500_000, 499_850)
    assert decision.requests.reset_at == "2026-05-11T12:01:00.500+00:00"
    await metering.Renew(
        metering_pb.RenewRequest(requests=[{"org_id": alice.org_id, "request_id": request.request_id}]), timeout=5
    )
    broken = [
        settling(request, clock, basis="guessed"),
        settling(request, clock, output_tokens=-1),
        settling(request, clock, input_tokens=2**62, cache_read_tokens=2**62),
        settling(request, clock, occurred_at_ms=2**62),
        settling(request, clock, principal_id="a\0b"),
        settling(request, clock, catalogue_version="a\0b"),
        settling(request, clock, request_id="1"),
    ]
    told = metering_pb.SettleRequest(settlements=[*broken, settling(request, clock), *broken])
    assert list((await metering.Settle(told, timeout=5)).booked) == [len(broken)]

    answer = await UsageServiceStub(edge).GetUsage(usage_pb.GetUsageRequest(), timeout=5, metadata=ALICE)
    assert answer.success
    assert answer.meta.request_id.startswith("req_")
    assert MessageToDict(answer.data, preserving_proto_field_name=True, always_print_fields_with_no_presence=True) == {
        "period": {"start": "2026-05-11T12:00:00+00:00", "end": "2026-06-11T12:00:00+00:00"},
        "credits": {
            "allotment": 10_000_000,
            "used": 100,
            "remaining": 9_999_900,
            "reserved": 0,
            "overage_purchased": 0,
            "overage_consumed": 0,
        },
        "requests": {"total": 1},
        "by_model": [{"model": SONNET, "requests": 1, "input_tokens": 80, "output_tokens": 20, "credits": 100}],
    }
    other = await UsageServiceStub(edge).GetUsage(usage_pb.GetUsageRequest(), timeout=5, metadata=MALLORY)
    assert other.data.credits.used == 0
    assert not other.data.by_model


@pytest.mark.parametrize(
    ("grouping", "keys"), [("day", ["2026-05-11"]), ("model", [SONNET]), ("api_key", None), ("agent", [None])]
)
async def test_usage_is_grouped_on_request(
    inference: grpc.aio.Channel,
    edge: grpc.aio.Channel,
    alice: Principal,
    clock: FrozenClock,
    grouping: str,
    keys: list[str | None] | None,
) -> None:
    told = settling(reserving(alice, clock), clock)
    await MeteringServiceStub(inference).Settle(metering_pb.SettleRequest(settlements=[told]), timeout=5)
    answer = await UsageServiceStub(edge).GetUsage(
        usage_pb.GetUsageRequest(group_by=grouping), timeout=5, metadata=READER
    )
    series = MessageToDict(answer.data.series)
    expected = {"requests": 1, "input_tokens": 80, "output_tokens": 20, "credits": 100}
    assert series == [{grouping: key, **expected} for key in keys or [alice.id]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"start": "yesterday"}, "start"),
        ({"end": "2026-05-11T12:00:00"}, "end"),
        ({"start": "2026-06-01T00:00:00Z", "end": "2026-05-01T00:00:00Z"}, "end"),
        ({"group_by": "weather"}, "group_by"),
    ],
)
async def test_a_wrong_range_or_grouping_is_refused(
    edge: grpc.aio.Channel, alice: Principal, fields: dict[str, str], param: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await UsageServiceStub(edge).GetUsage(usage_pb.GetUsageRequest(**fields), timeout=5, metadata=ALICE)
    assert reason_of(refused.value) == "VALIDATION_FAILED"
    assert param in (refused.value.details() or "")


async def test_a_budget_is_shown_and_changed_in_part(edge: grpc.aio.Channel, changes_running: None) -> None:
    budgets = BudgetServiceStub(edge)
    shown = await budgets.GetBudget(budget_pb.GetBudgetRequest(), timeout=5, metadata=ALICE)
    assert MessageToDict(shown.data, preserving_proto_field_name=True, always_print_fields_with_no_presence=True) == {
        "spend_cap": None,
        "alert_thresholds": [],
        "credits_allotment": 10_000_000,
        "opus_enabled": False,
    }
    update = change(spend_cap=5000, alert_thresholds=[90, 50])
    changed = await budgets.UpdateBudget(update, timeout=5, metadata=ALICE)
    assert changed.data.spend_cap.number_value == 5000
    assert list(changed.data.alert_thresholds) == [50, 90]
    changed = await budgets.UpdateBudget(change(opus_enabled=True, spend_cap=None), timeout=5, metadata=ALICE)
    assert changed.data.spend_cap.HasField("null_value")
    assert list(changed.data.alert_thresholds) == [50, 90]
    assert changed.data.opus_enabled
    untouched = await budgets.UpdateBudget(change(), timeout=5, metadata=ALICE)
    assert untouched.data == changed.data
    other = await budgets.GetBudget(budget_pb.GetBudgetRequest(), timeout=5, metadata=MALLORY)
    assert not other.data.opus_enabled


async def test_a_repeated_idempotency_key_replays_the_change(
    edge: grpc.aio.Channel, db: Database, alice: Principal
) -> None:
    budgets = BudgetServiceStub(edge)
    keyed = (*ALICE, ("idempotency-key", "once"))
    first = await budgets.UpdateBudget(change(spend_cap=1), timeout=5, metadata=keyed)
    await budgets.UpdateBudget(change(spend_cap=2), timeout=5, metadata=ALICE)
    again = await budgets.UpdateBudget(change(spend_cap=1), timeout=5, metadata=keyed)
    assert again == first
    assert await rows(db, alice.org_id, "SELECT spend_cap FROM accounts") == [(2,)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await budgets.UpdateBudget(change(spend_cap=3), timeout=5, metadata=keyed)
    assert reason_of(refused.value) == "IDEMPOTENCY_KEY_REUSED"


async def test_reading_and_writing_need_their_scopes_and_agents_have_neither(edge: grpc.aio.Channel) -> None:
    budgets = BudgetServiceStub(edge)
    await budgets.GetBudget(budget_pb.GetBudgetRequest(), timeout=5, metadata=READER)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await budgets.UpdateBudget(change(spend_cap=1), timeout=5, metadata=READER)
    assert reason_of(refused.value) == "MISSING_SCOPE"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await budgets.GetBudget(budget_pb.GetBudgetRequest(), timeout=5, metadata=AGENT)
    assert reason_of(refused.value) == "AGENT_NOT_PERMITTED"


async def test_metering_is_for_inference_alone(edge: grpc.aio.Channel, alice: Principal, clock: FrozenClock) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await MeteringServiceStub(edge).Reserve(reserving(alice, clock), timeout=5, metadata=ALICE)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_entitlements_tell_what_may_be_used(
    inference: grpc.aio.Channel, edge: grpc.aio.Channel, alice: Principal, changes_running: None
) -> None:
    metering = MeteringServiceStub(inference)
    asked = metering_pb.GetEntitlementsRequest(org_id=alice.org_id)
    before = await metering.GetEntitlements(asked, timeout=5)
    assert (before.opus_enabled, before.plan) == (False, "growth")
    await BudgetServiceStub(edge).UpdateBudget(change(opus_enabled=True), timeout=5, metadata=ALICE)
    after = await metering.GetEntitlements(asked, timeout=5)
    assert after.opus_enabled
    assert after.seq == before.seq + 1


async def test_accounts_are_opened_once_and_steered_by_the_operator(
    registered: list[Registered],
    tokens: Tokens,
    answers: Idempotency,
    clock: FrozenClock,
    tls_dir: Path,
    db: Database,
) -> None:
    bob = principal_of_new_org(clock)
    async with serve(
        *registered,
        services=servicer.SERVICES,
        authenticator=tokens,
        clock=clock,
        tls_dir=tls_dir,
        workload="billing",
        caller="cli",
        answers=answers,
    ) as channel:
        admin = AccountAdminServiceStub(channel)
        opening = admin_pb.OpenAccountRequest(
            org_id=bob.org_id, plan="developer", opened_at_ms=unix_ms(clock.now() - timedelta(days=40))
        )
        await admin.OpenAccount(opening, timeout=5)
        await admin.OpenAccount(opening, timeout=5)
        assert await rows(db, bob.org_id, "SELECT count(*) FROM cycles") == [(2,)]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await admin.OpenAccount(
                admin_pb.OpenAccountRequest(org_id=new_ulid(clock), plan="gold", opened_at_ms=1), timeout=5
            )
        assert reason_of(refused.value) == "VALIDATION_FAILED"
        pack = admin_pb.AddOverageRequest(org_id=bob.org_id, credits=7, pack_id="pack-1")
        await admin.AddOverage(pack, timeout=5)
        await admin.AddOverage(pack, timeout=5)
        await admin.ChangePlan(admin_pb.ChangePlanRequest(org_id=bob.org_id, plan="scale"), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await admin.ChangePlan(admin_pb.ChangePlanRequest(org_id=new_ulid(clock), plan="scale"), timeout=5)
        assert reason_of(refused.value) == "RESOURCE_NOT_FOUND"
        adjustment = admin_pb.AdjustCreditsRequest(
            org_id=bob.org_id, credits="-2.5", reason="correction", adjustment_id="adjustment-1"
        )
        await admin.AdjustCredits(adjustment, timeout=5)
        await admin.AdjustCredits(adjustment, timeout=5)
        for name, value in (
            ("credits", "1e3"),
            ("credits", "1000000000000000"),
            ("credits", "0.0"),
            ("credits", "-2"),
            ("reason", "because"),
            ("adjustment_id", ""),
        ):
            wrong = admin_pb.AdjustCreditsRequest()
            wrong.CopyFrom(adjustment)
            setattr(wrong, name, value)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await admin.AdjustCredits(wrong, timeout=5)
            assert reason_of(refused.value) == "VALIDATION_FAILED"
        pack = admin_pb.AddOverageRequest(org_id=bob.org_id, credits=10**15, pack_id="pack-2")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await admin.AddOverage(pack, timeout=5)
        assert reason_of(refused.value) == "VALIDATION_FAILED"
        account = await admin.GetAccount(admin_pb.GetAccountRequest(org_id=bob.org_id), timeout=5)
        assert (account.plan, account.next_plan, account.spend_cap) == ("developer", "scale", "")
        assert (account.allotment, account.adjustments, account.overage) == ("1000000", "-2.5", "7")
        assert (account.used, account.reserved, account.limit) == ("0", "0", "1000004.5")
        report = await admin.Reconcile(admin_pb.ReconcileRequest(org_id=bob.org_id), timeout=5)
        assert (report.checked, list(report.differences)) == (1, [])
        assert await rows(db, bob.org_id, "SELECT overage FROM cycles ORDER BY cycle_start DESC LIMIT 1") == [(7,)]
