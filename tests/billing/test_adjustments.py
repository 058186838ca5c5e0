"""What the operator gives or takes beside the plan."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import get_args

import protovalidate
import pytest
from google.protobuf.json_format import MessageToDict
from hasp.billing.v1.account_admin_service_pb2 import AddOverageRequest, AdjustCreditsRequest
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from cli.credits import Reason as CommandsReason
from services.billing import wire
from services.billing.domain.adjustments import Reason
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.budgets import Budgets, Thresholds
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.usage import Usages
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ValidationFailed
from tests.billing.requests import demand, rows, settlement
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseUrls

PLAN = 1_000_000
LEGS = "SELECT source, adjustment, allotment, overage, reserved, used, reason FROM entries WHERE kind = 'adjustment'"
BALANCES = "SELECT allotment, adjustments, overage, used FROM cycles ORDER BY cycle_start"


@pytest.fixture
async def bob(clock: FrozenClock, accounts: Accounts) -> Principal:
    """Of an organization on the developer plan: a million credits a month."""
    bob = principal_of_new_org(clock)
    await accounts.open(bob.org_id, plan="developer", opened_at=clock.now())
    return bob


async def adjust(accounts: Accounts, who: Principal, credits_: str, name: str = "adjustment-1") -> None:
    await accounts.adjust(who.org_id, credits_=Decimal(credits_), reason=Reason.CORRECTION, adjustment_id=name)


async def use(metering: Metering, who: Principal, clock: FrozenClock, credits_: int) -> None:
    assert await metering.settle([settlement(demand(who, clock), clock.now(), output=credits_)]) == [0]


async def shown(usages: Usages, who: Principal) -> dict[str, float]:
    """`credits` as `/v1/usage` answers it."""
    usage = wire.usage(await usages.get(who, start=None, end=None, grouping=None))
    return MessageToDict(usage.credits, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


async def told(db: Database, who: Principal, action: str) -> list[AuditEvent]:
    found = await rows(db, who.org_id, "SELECT payload FROM outbox WHERE topic = 'compliance.audit' ORDER BY id")
    events = [AuditEvent.FromString(payload) for (payload,) in found]
    return [event for event in events if event.action == action]


async def test_an_adjustment_is_posted_as_double_entry_and_audited(
    accounts: Accounts, db: Database, bob: Principal, clock: FrozenClock
) -> None:
    await adjust(accounts, bob, "-12.125")
    amount = Decimal("12.125")
    assert await rows(db, bob.org_id, LEGS) == [(0, amount, -amount, 0, 0, 0, "correction")]
    assert await rows(db, bob.org_id, BALANCES) == [(PLAN - amount, -amount, 0, 0)]
    (event,) = await told(db, bob, "account.credits_adjusted")
    assert (event.entity_type, event.entity_id) == ("credit_adjustment", "adjustment-1")
    cycle = clock.now().isoformat()
    assert MessageToDict(event.metadata) == {"credits": "-12.125", "reason": "correction", "cycle_start": cycle}
    assert await accounts.reconcile(None) == (1, [])


async def test_a_repeat_is_harmless_and_another_under_its_id_is_refused(
    accounts: Accounts, db: Database, bob: Principal, clock: FrozenClock
) -> None:
    await asyncio.gather(*(adjust(accounts, bob, "500") for _ in range(5)))
    clock.advance(timedelta(days=31))
    await adjust(accounts, bob, "500.0")
    with pytest.raises(ValidationFailed) as refused:
        await adjust(accounts, bob, "501")
    assert refused.value.param == "adjustment_id"
    with pytest.raises(ValidationFailed):
        await accounts.adjust(bob.org_id, credits_=Decimal(500), reason=Reason.GOODWILL, adjustment_id="adjustment-1")
    assert [row[1] for row in await rows(db, bob.org_id, BALANCES)] == [500, 0]
    assert len(await told(db, bob, "account.credits_adjusted")) == 1
    assert await accounts.reconcile(None) == (1, [])


async def test_a_packs_id_is_refused_for_other_credits(accounts: Accounts, db: Database, bob: Principal) -> None:
    await accounts.add_overage(bob.org_id, credits_=7, pack_id="pack-1")
    await accounts.add_overage(bob.org_id, credits_=7, pack_id="pack-1")
    with pytest.raises(ValidationFailed) as refused:
        await accounts.add_overage(bob.org_id, credits_=8, pack_id="pack-1")
    assert refused.value.param == "pack_id"
    # The ids of packs and of adjustments are apart.
    await adjust(accounts, bob, "9", "pack-1")
    assert await rows(db, bob.org_id, BALANCES) == [(PLAN + 9, 9, 7, 0)]


async def test_what_is_given_is_used_as_the_plans_credits_are(
    accounts: Accounts, metering: Metering, usages: Usages, bob: Principal, clock: FrozenClock
) -> None:
    await accounts.add_overage(bob.org_id, credits_=100, pack_id="pack-1")
    await adjust(accounts, bob, "50")
    await use(metering, bob, clock, PLAN + 70)
    assert await shown(usages, bob) == {
        "allotment": PLAN + 50,
        "used": PLAN + 70,
        "remaining": 80,
        "reserved": 0,
        "overage_purchased": 100,
        "overage_consumed": 20,
    }
    assert (await metering.reserve(demand(bob, clock, output=80))).reserved
    assert (await metering.reserve(demand(bob, clock, output=1))).exhausted
    assert await accounts.reconcile(None) == (1, [])


async def test_nothing_is_admitted_when_more_was_taken_than_was_left(
    accounts: Accounts, metering: Metering, usages: Usages, bob: Principal, clock: FrozenClock
) -> None:
    running = demand(bob, clock, output=1000)
    assert (await metering.reserve(running)).reserved
    await use(metering, bob, clock, 600)
    await adjust(accounts, bob, str(-PLAN + 500))
    # Also not as the single last request, and not for a bound of nothing.
    for output in (1, 0):
        assert (await metering.reserve(demand(bob, clock, output=output))).exhausted
    # What ran already is booked all the same.
    assert await metering.settle([settlement(running, clock.now())]) == [0]
    assert (await metering.reserve(demand(bob, clock, output=0))).exhausted
    credits_ = await shown(usages, bob)
    assert (credits_["allotment"], credits_["used"], credits_["remaining"], credits_["reserved"]) == (500, 1600, 0, 0)
    assert await accounts.reconcile(None) == (1, [])
    clock.advance(timedelta(days=31))
    assert (await metering.reserve(demand(bob, clock))).reserved
    assert await accounts.reconcile(None) == (1, [])


async def test_what_is_taken_beyond_the_allotment_is_taken_from_the_packs(
    accounts: Accounts, metering: Metering, usages: Usages, bob: Principal, clock: FrozenClock
) -> None:
    await accounts.add_overage(bob.org_id, credits_=3000, pack_id="pack-1")
    await adjust(accounts, bob, str(-PLAN - 1000))
    await use(metering, bob, clock, 500)
    expected = {"allotment": 0, "used": 500, "remaining": 1500, "overage_purchased": 3000, "overage_consumed": 1500}
    assert await shown(usages, bob) == expected | {"reserved": 0}
    assert (await metering.reserve(demand(bob, clock, output=1500))).reserved
    await adjust(accounts, bob, "-5000", "adjustment-2")
    assert (await shown(usages, bob))["remaining"] == 0
    assert (await metering.reserve(demand(bob, clock, output=0))).exhausted
    assert await accounts.reconcile(None) == (1, [])


async def test_the_spend_cap_holds_over_what_is_given(
    accounts: Accounts, budgets: Budgets, metering: Metering, bob: Principal, clock: FrozenClock
) -> None:
    await budgets.update(bob, {"spend_cap": 100})
    await adjust(accounts, bob, "5000")
    assert (await metering.reserve(demand(bob, clock, output=100))).reserved
    assert (await metering.reserve(demand(bob, clock, output=1))).exhausted
    assert (await budgets.get(bob)).allotment == PLAN + 5000


async def test_a_lower_limit_reaches_a_threshold(
    accounts: Accounts,
    budgets: Budgets,
    thresholds: Thresholds,
    metering: Metering,
    db: Database,
    bob: Principal,
    clock: FrozenClock,
) -> None:
    await budgets.update(bob, {"alert_thresholds": [50]})
    await use(metering, bob, clock, 400)
    await adjust(accounts, bob, str(-PLAN + 801))
    assert await thresholds.announce() == 0
    await adjust(accounts, bob, "-1", "adjustment-2")
    assert await thresholds.announce() == 1
    (event,) = await told(db, bob, "budget.threshold_reached")
    assert MessageToDict(event.metadata)["limit"] == 800


async def test_it_ends_with_its_cycle(accounts: Accounts, db: Database, bob: Principal, clock: FrozenClock) -> None:
    await adjust(accounts, bob, "-100")
    clock.advance(timedelta(days=31))
    await accounts.roll(bob.org_id)
    assert await rows(db, bob.org_id, BALANCES) == [(PLAN - 100, -100, 0, 0), (PLAN, 0, 0, 0)]
    await adjust(accounts, bob, "3", "adjustment-2")
    assert [row[1] for row in await rows(db, bob.org_id, BALANCES)] == [-100, 3]


@pytest.mark.parametrize("credits_", ["0", "-0.000", "999999999999999", "-999999999999999.5"])
async def test_what_no_cycle_holds_is_refused_and_leaves_no_trace(
    accounts: Accounts, db: Database, bob: Principal, credits_: str
) -> None:
    # The plan's million is there already: what is told of a cycle stays whole in JSON, and below what the audit log takes.
    await accounts.add_overage(bob.org_id, credits_=10**15 - 1, pack_id="pack-1")
    with pytest.raises(ValidationFailed):
        await accounts.add_overage(bob.org_id, credits_=1, pack_id="pack-2")
    if credits_.startswith("-9"):
        await adjust(accounts, bob, "-2000000", "adjustment-0")
    before = await rows(db, bob.org_id, BALANCES)
    with pytest.raises(ValidationFailed) as refused:
        await adjust(accounts, bob, credits_)
    assert refused.value.param == "credits"
    assert await rows(db, bob.org_id, BALANCES) == before
    assert await accounts.reconcile(None) == (1, [])


async def test_an_unknown_organization_is_not_adjusted(accounts: Accounts, db: Database, clock: FrozenClock) -> None:
    stranger = principal_of_new_org(clock)
    with pytest.raises(ResourceNotFound):
        await adjust(accounts, stranger, "1")
    assert await told(db, stranger, "account.credits_adjusted") == []


async def test_every_reason_is_known_to_the_contract_the_command_and_the_ledger(
    accounts: Accounts, db: Database, bob: Principal
) -> None:
    for reason in Reason:
        request = AdjustCreditsRequest(org_id=bob.org_id, credits="1", reason=reason, adjustment_id=reason)
        protovalidate.validate(request)
        await accounts.adjust(bob.org_id, credits_=Decimal(1), reason=reason, adjustment_id=reason)
    assert {reason for *_, reason in await rows(db, bob.org_id, LEGS)} == set(Reason) == set(get_args(CommandsReason))


@pytest.mark.parametrize("name", ["", "two words", "-dash", "a\0b", "a" * 65, "Zoë"])
def test_an_id_is_no_text(name: str) -> None:
    org_id = "0" * 26
    for request in (
        AdjustCreditsRequest(org_id=org_id, credits="1", reason="goodwill", adjustment_id=name),
        AddOverageRequest(org_id=org_id, credits=1, pack_id=name),
    ):
        with pytest.raises(protovalidate.ValidationError):
            protovalidate.validate(request)


async def test_it_may_come_at_any_moment(
    accounts: Accounts, catalogues: Catalogues, urls: DatabaseUrls, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    databases = [Database(urls.app_url) for _ in range(2)]
    for database in databases:
        await database.open()
    replicas = [Accounts(database, clock, AuditTrail(clock)) for database in databases]
    meterings = [Metering(database, clock, catalogues, of) for database, of in zip(databases, replicas, strict=True)]

    async def caller(number: int) -> None:
        for _ in range(10):
            request = demand(alice, clock, principal_id=f"key {number}", output=10)
            assert (await meterings[number % 2].reserve(request)).reserved
            assert await meterings[1 - number % 2].settle([settlement(request, clock.now(), output=7)]) == [0]

    async def operator(number: int) -> None:
        for step in range(10):
            await adjust(replicas[number], alice, f"{step - 3}.25", f"adjustment-{step}")
            await replicas[1 - number].add_overage(alice.org_id, credits_=step + 1, pack_id=f"pack-{step}")

    await asyncio.gather(*map(caller, range(8)), *map(operator, range(2)))
    for database in databases:
        await database.close()
    given = sum(Decimal(f"{step - 3}.25") for step in range(10))
    assert await rows(db, alice.org_id, BALANCES) == [(10_000_000 + given, given, 55, 8 * 10 * 7)]
    assert await accounts.reconcile(None) == (1, [])
