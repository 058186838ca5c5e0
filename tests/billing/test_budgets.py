import asyncio
from datetime import timedelta

import pytest
from google.protobuf.json_format import MessageToDict
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent
from psycopg import AsyncConnection
from sqlalchemy.exc import DBAPIError

from services.billing.usecases.budgets import Budgets, Thresholds
from services.billing.usecases.metering import Metering
from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.errors import ValidationFailed
from tests.billing.requests import demand, rows, settlement
from tests.fakes import FrozenClock
from tests.postgres import DatabaseUrls


async def told(db: Database, who: Principal) -> list[AuditEvent]:
    found = await rows(db, who.org_id, "SELECT payload FROM outbox WHERE topic = 'compliance.audit' ORDER BY id")
    events = [AuditEvent.FromString(payload) for (payload,) in found]
    return [event for event in events if event.entity_type == "budget"]


async def use(metering: Metering, who: Principal, clock: FrozenClock, credits_: int) -> None:
    assert await metering.settle([settlement(demand(who, clock), clock.now(), output=credits_)]) == [0]


async def test_a_change_is_audited_with_old_and_new_values(budgets: Budgets, db: Database, alice: Principal) -> None:
    await budgets.update(alice, {"spend_cap": 500, "alert_thresholds": [80]})
    (event,) = await told(db, alice)
    assert (event.action, event.entity_id) == ("budget.updated", alice.org_id)
    assert MessageToDict(event.metadata) == {
        "spend_cap": {"old": None, "new": 500},
        "alert_thresholds": {"old": [], "new": [80]},
    }


async def test_what_changes_nothing_is_not_audited(budgets: Budgets, db: Database, alice: Principal) -> None:
    await budgets.update(alice, {"spend_cap": 500})
    await budgets.update(alice, {})
    await budgets.update(alice, {"spend_cap": 500, "opus_enabled": False, "alert_thresholds": None})
    with pytest.raises(ValidationFailed):
        await budgets.update(alice, {"spend_cap": 400, "colour": "red"})
    assert len(await told(db, alice)) == 1
    assert (await budgets.get(alice)).budget.spend_cap == 500


async def test_another_organizations_budget_is_its_own(budgets: Budgets, alice: Principal, mallory: Principal) -> None:
    await budgets.update(mallory, {"spend_cap": 1})
    assert (await budgets.get(alice)).budget.spend_cap is None


async def test_concurrent_changes_of_different_fields_are_all_kept(
    budgets: Budgets, alice: Principal, changes_running: None
) -> None:
    await asyncio.gather(
        budgets.update(alice, {"spend_cap": 7}),
        budgets.update(alice, {"alert_thresholds": [10]}),
        budgets.update(alice, {"opus_enabled": True}),
    )
    budget = (await budgets.get(alice)).budget
    assert (budget.spend_cap, budget.alert_thresholds, budget.opus_enabled) == (7, (10,), True)


async def test_the_opt_in_is_published_and_nothing_else_is(
    budgets: Budgets, db: Database, alice: Principal, changes_running: None
) -> None:
    changes = "SELECT org_id, subject_id, cancel FROM watch_changes"
    await budgets.update(alice, {"spend_cap": 5})
    assert await rows(db, alice.org_id, changes) == []
    await budgets.update(alice, {"opus_enabled": True})
    assert await rows(db, alice.org_id, changes) == [(alice.org_id, "", False)]


async def test_a_threshold_is_announced_once_a_cycle(
    budgets: Budgets, thresholds: Thresholds, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    await budgets.update(alice, {"spend_cap": 1000, "alert_thresholds": [50, 90]})
    await use(metering, alice, clock, 499)
    assert await thresholds.announce() == 0
    await use(metering, alice, clock, 1)
    await use(metering, alice, clock, 1)
    assert sum(await asyncio.gather(*(thresholds.announce() for _ in range(3)))) == 1
    await use(metering, alice, clock, 600)
    assert await thresholds.announce() == 1
    assert await thresholds.announce() == 0
    events = [event for event in await told(db, alice) if event.action == "budget.threshold_reached"]
    assert sorted((MessageToDict(event.metadata) for event in events), key=lambda told: told["threshold"]) == [
        {"threshold": 50, "used": 500, "limit": 1000, "cycle_start": "2026-05-11T12:00:00+00:00"},
        {"threshold": 90, "used": 1101, "limit": 1000, "cycle_start": "2026-05-11T12:00:00+00:00"},
    ]
    assert {(event.actor_type, event.actor_id) for event in events} == {("system", "billing")}
    clock.advance(timedelta(days=31))
    await use(metering, alice, clock, 950)
    assert await thresholds.announce() == 2


async def test_what_was_crossed_is_announced_once_though_the_announcer_dies(
    budgets: Budgets,
    thresholds: Thresholds,
    metering: Metering,
    db: Database,
    urls: DatabaseUrls,
    alice: Principal,
    clock: FrozenClock,
) -> None:
    """It dies between having marked the crossings and having written the events: its session ends, as that of a killed process does."""
    await budgets.update(alice, {"spend_cap": 1000, "alert_thresholds": [50, 60, 90]})
    await use(metering, alice, clock, 700)
    async with await AsyncConnection.connect(urls.app_url, autocommit=True) as other:
        async with other.transaction():
            await other.execute("LOCK TABLE outbox IN EXCLUSIVE MODE")
            announcing = asyncio.create_task(thresholds.announce())
            stuck = "SELECT pid FROM pg_locks WHERE relation = 'outbox'::regclass AND NOT granted"
            while (found := await (await other.execute(stuck)).fetchone()) is None:  # noqa: ASYNC110 - of another session
                await asyncio.sleep(0.01)
            await other.execute("SELECT pg_terminate_backend(%s)", found)
            with pytest.raises(DBAPIError):
                await announcing
    assert await thresholds.announce() == 2
    assert await thresholds.announce() == 0
    events = [event for event in await told(db, alice) if event.action == "budget.threshold_reached"]
    assert sorted(MessageToDict(event.metadata)["threshold"] for event in events) == [50, 60]


async def test_a_lower_cap_reaches_a_threshold_too(
    budgets: Budgets, thresholds: Thresholds, metering: Metering, alice: Principal, clock: FrozenClock
) -> None:
    await use(metering, alice, clock, 600)
    await budgets.update(alice, {"alert_thresholds": [50]})
    assert await thresholds.announce() == 0
    await budgets.update(alice, {"spend_cap": 1000})
    assert await thresholds.announce() == 1
