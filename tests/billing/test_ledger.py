"""Any interleaving of reserve, settle, release and expire keeps every invariant: the database against a model of twenty lines."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.billing.domain.adjustments import Reason
from services.billing.domain.cycles import cycle_at
from services.billing.domain.metering import EXPIRY, Demand, RequestRef
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.sweeper import Sweeper
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from tests.billing.conftest import CATALOGUE
from tests.billing.requests import HAIKU, SONNET, demand, rows, settlement
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseFactory

OPENED = datetime(2027, 1, 31, 12, tzinfo=UTC)
ALLOTMENT = Decimal(1_000_000)
RATIOS = {SONNET: Decimal(1), HAIKU: Decimal("0.33")}


@dataclass
class Request:
    demand: Demand
    known: bool = False
    """Told of before, by whichever call."""
    bound: Decimal | None = None
    """Held now."""
    expires: datetime = OPENED
    settled: bool = False


@dataclass
class Model:
    """What billing promises, said in the plainest way there is."""

    now: datetime = OPENED
    used: dict[datetime, Decimal] = field(default_factory=dict)
    given: dict[datetime, Decimal] = field(default_factory=dict)
    """Beside the allotment, by packs and adjustments."""
    requests: list[Request] = field(default_factory=list)

    @property
    def held(self) -> Decimal:
        return sum((request.bound for request in self.requests if request.bound is not None), Decimal(0))

    def reserve(self, request: Request) -> bool:
        if request.known:
            return request.bound is not None
        cycle = cycle_at(OPENED, self.now).start
        used, limit = self.used.get(cycle, Decimal(0)), ALLOTMENT + self.given.get(cycle, Decimal(0))
        bound = request.demand.max_tokens * RATIOS[request.demand.model]
        if used + self.held + bound <= limit or (self.held == 0 and used < limit):
            request.known, request.bound, request.expires = True, bound, self.now + EXPIRY
        return request.bound is not None

    def settle(self, request: Request, tokens: int, ended: datetime) -> None:
        if not request.settled:
            cycle = cycle_at(OPENED, min(ended, self.now)).start
            self.used[cycle] = self.used.get(cycle, Decimal(0)) + tokens * RATIOS[request.demand.model]
        request.known, request.bound, request.settled = True, None, True

    def give(self, credits_: Decimal) -> None:
        cycle = cycle_at(OPENED, self.now).start
        self.given[cycle] = self.given.get(cycle, Decimal(0)) + credits_

    def release(self, request: Request) -> None:
        request.known, request.bound = True, None

    def expire(self) -> None:
        for request in self.requests:
            if request.bound is not None and request.expires <= self.now:
                request.bound = None


number = st.integers(0, 3)
share = st.sampled_from([0.0, 0.37, 1.0])
DAY = 86400
# Shrinking would replay hundreds of histories against the database.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
# What comes twice is drawn twice as often.
step = st.one_of(
    st.tuples(st.just("reserve"), number),
    st.tuples(st.just("reserve"), number),
    st.tuples(st.just("reserve"), number),
    st.tuples(st.just("settle"), number, share, st.sampled_from([0, 0, 0, 3600, -DAY, -33 * DAY, -70 * DAY])),
    st.tuples(st.just("settle"), number, share, st.just(0)),
    st.tuples(st.just("undelivered"), number),
    st.tuples(st.just("release"), number),
    st.tuples(st.just("renew"), number),
    st.tuples(st.just("expire")),
    st.tuples(st.just("pack"), st.sampled_from([1, 300_000])),
    st.tuples(st.just("adjust"), st.sampled_from(["0.5", "250000", "-400000.25", "-1300000"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 300, 600])),
    st.tuples(st.just("wait"), st.sampled_from([20 * DAY, 31 * DAY])),
)
steps = st.lists(step, min_size=15, max_size=40)
outputs = st.sampled_from([0, 1, 300_001, 500_000, 1_000_000, 1_200_000])
sizes = st.lists(st.tuples(outputs, st.sampled_from([SONNET, HAIKU])), min_size=4, max_size=4)


class Bench:
    """One database for all examples; each has an organization of its own."""

    def __init__(self, url: str) -> None:
        self.db = Database(url)
        self.clock = FrozenClock(OPENED)
        self.accounts = Accounts(self.db, self.clock, AuditTrail(self.clock))
        self.catalogues = Catalogues(self.db, self.clock)
        self.metering = Metering(self.db, self.clock, self.catalogues, self.accounts)
        self.sweeper = Sweeper(self.db, self.clock, self.accounts)


@pytest.fixture
def bench(database_factory: DatabaseFactory) -> Iterator[tuple[Bench, asyncio.Runner]]:
    with asyncio.Runner() as runner:
        bench = Bench(database_factory("billing").app_url)

        async def prepare() -> None:
            await bench.db.open()
            await bench.catalogues.register(CATALOGUE.read_bytes())
            # A developer's credits without a developer's rate limits, which have tests of their own.
            async with bench.db.system_transaction() as tx:
                await tx.exec_driver_sql(
                    "UPDATE plans SET tokens_per_minute = NULL, requests_per_minute = NULL WHERE id = 'developer'"
                )

        runner.run(prepare())
        yield bench, runner
        runner.run(bench.db.close())


@settings(max_examples=50, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, sizes=sizes)
def test_any_interleaving_keeps_every_invariant(
    bench: tuple[Bench, asyncio.Runner], steps: list[tuple], sizes: list[tuple[int, str]]
) -> None:
    on, runner = bench
    runner.run(_play(on, steps, sizes))


async def _play(on: Bench, steps: list[tuple], sizes: list[tuple[int, str]]) -> None:
    # Examples share the database, not their organizations; each begins at the same moment.
    on.clock.advance(OPENED - on.clock.now())
    who = replace(principal_of_new_org(on.clock), id=new_ulid(on.clock))
    await on.accounts.open(who.org_id, plan="developer", opened_at=OPENED)
    model = Model()
    model.requests = [Request(demand(who, on.clock, output=output, model=of)) for output, of in sizes]
    for step in steps:
        model.now = on.clock.now()
        match step:
            case ("reserve", place):
                request = model.requests[place]
                decision = await on.metering.reserve(request.demand)
                known = request.known
                assert decision.reserved == model.reserve(request)
                assert decision.exhausted == (not decision.reserved and not known)
            case ("settle", place, part, shift):
                request = model.requests[place]
                tokens, ended = round(request.demand.max_tokens * part), model.now + timedelta(seconds=shift)
                assert await on.metering.settle([settlement(request.demand, ended, output=tokens)]) == [0]
                model.settle(request, tokens, ended)
            case ("undelivered", place):
                request = model.requests[place]
                told = settlement(request.demand, model.now, output=0, undelivered=True)
                assert await on.metering.settle([told]) == [0]
                model.release(request)
            case ("release", place):
                request = model.requests[place]
                await on.metering.release([RequestRef(who.org_id, request.demand.request_id)])
                model.release(request)
            case ("renew", place):
                request = model.requests[place]
                await on.metering.renew([RequestRef(who.org_id, request.demand.request_id)])
                if request.bound is not None:
                    request.expires = model.now + EXPIRY
            case ("expire",):
                while await on.sweeper.expire():
                    pass
                model.expire()
            case ("pack", credits_):
                await on.accounts.add_overage(who.org_id, credits_=credits_, pack_id=new_ulid(on.clock))
                model.give(Decimal(credits_))
            case ("adjust", credits_):
                await on.accounts.adjust(
                    who.org_id,
                    credits_=Decimal(credits_),
                    reason=Reason.CORRECTION,
                    adjustment_id=new_ulid(on.clock),
                )
                model.give(Decimal(credits_))
            case ("wait", seconds):
                on.clock.advance(timedelta(seconds=seconds))
        (reserved,) = (await rows(on.db, who.org_id, "SELECT reserved FROM accounts"))[0]
        assert reserved == model.held
    found = dict(await rows(on.db, who.org_id, "SELECT cycle_start, used FROM cycles WHERE used > 0"))
    assert found == {cycle: used for cycle, used in model.used.items() if used}
    assert await on.accounts.reconcile(who.org_id) == (1, [])
