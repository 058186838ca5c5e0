"""A change of the catalogue: what was priced before stays, what comes after is priced anew, and both can be recomputed."""

from datetime import timedelta
from decimal import Decimal

import orjson
import pytest

from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import CatalogueChanged, Catalogues
from services.billing.usecases.metering import Metering
from services.chassis.access import Principal
from services.chassis.database import Database
from tests.billing.conftest import CATALOGUE
from tests.billing.requests import HAIKU, SONNET, VERSION, demand, rows, settlement
from tests.fakes import FrozenClock

DOCUMENT = orjson.loads(CATALOGUE.read_bytes())
LATER = "2026-06-01"


def changed(version: str) -> bytes:
    """Sonnet at twice its ratio, cached input dearer, and a growth plan of half the credits and a tenth of the requests."""
    models = [each | ({"credit_ratio": "2.5"} if each["id"] == SONNET else {}) for each in DOCUMENT["models"]]
    plans = [
        each
        | (
            {"credits_per_cycle": 5_000_000, "limits": each["limits"] | {"requests_per_minute": 5}}
            if each["id"] == "growth"
            else {}
        )
        for each in DOCUMENT["plans"]
    ]
    weights = {"cache_read": "0.2", "cache_write": "2"}
    return orjson.dumps(DOCUMENT | {"version": version, "models": models, "plans": plans, "weights": weights})


async def test_old_settlements_keep_their_prices_and_new_ones_have_the_new(
    catalogues: Catalogues, accounts: Accounts, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    before = demand(alice, clock, output=100)
    running = demand(alice, clock, output=100)
    for request in (before, running):
        assert (await metering.reserve(request)).reserved
    assert await metering.settle([settlement(before, clock.now())]) == [0]
    await catalogues.register(changed(LATER))
    after = demand(alice, clock, output=100, catalogue_version=LATER)
    other = demand(alice, clock, output=100, model=HAIKU, catalogue_version=LATER)
    assert (await metering.reserve(after)).reserved
    told = [settlement(request, clock.now()) for request in (running, after, other)]
    assert await metering.settle(told) == [0, 1, 2]
    # Told by a process that has not been deployed yet, or recovered weeks later.
    late = demand(alice, clock, output=40)
    clock.advance(timedelta(days=40))
    assert await metering.settle([settlement(late, clock.now())]) == [0]
    kept = dict(await rows(db, alice.org_id, "SELECT request_id, credits FROM settlements"))
    assert kept == {
        before.request_id: 100,
        running.request_id: 100,
        after.request_id: 250,
        other.request_id: 33,
        late.request_id: 40,
    }
    assert await accounts.reconcile(None) == (1, [])


async def test_a_bill_is_recomputed_by_a_program_that_holds_only_the_new_file(
    catalogues: Catalogues, accounts: Accounts, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    assert await metering.settle([settlement(demand(alice, clock, output=100), clock.now())]) == [0]
    restarted = Catalogues(db, clock)
    await restarted.register(changed(LATER))
    pricing = await restarted.pricing(VERSION, SONNET)
    assert pricing.credits(SONNET, settlement(demand(alice, clock, output=100), clock.now()).tokens) == 100
    assert await accounts.reconcile(alice.org_id) == (1, [])
    with pytest.raises(CatalogueChanged):
        await restarted.register(changed(VERSION))


async def test_limits_of_a_plan_change_at_once_and_its_credits_with_the_next_cycle(
    catalogues: Catalogues, accounts: Accounts, metering: Metering, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    await catalogues.register(changed(LATER))
    decisions = [await metering.reserve(demand(alice, clock, output=1)) for _ in range(6)]
    assert [decision.reserved for decision in decisions] == [True] * 5 + [False]
    assert decisions[-1].rate_limited
    allotments = "SELECT allotment FROM cycles ORDER BY cycle_start"
    assert await rows(db, alice.org_id, allotments) == [(Decimal(10_000_000),)]
    clock.advance(timedelta(days=31))
    await accounts.roll(alice.org_id)
    assert await rows(db, alice.org_id, allotments) == [(Decimal(10_000_000),), (Decimal(5_000_000),)]
    # A replica that still has the older file starts again: it does not bring the old plan back.
    await Catalogues(db, clock).register(CATALOGUE.read_bytes())
    clock.advance(timedelta(days=31))
    await accounts.roll(alice.org_id)
    assert (await rows(db, alice.org_id, allotments))[-1] == (Decimal(5_000_000),)
    assert await accounts.reconcile(None) == (1, [])
