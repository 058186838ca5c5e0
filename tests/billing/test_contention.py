"""What happens at the same moment, in two processes, keeps every invariant of the ledger, and shows no caller the database's own refusals."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.billing.domain.adjustments import Reason
from services.billing.domain.metering import Demand, RequestRef
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.budgets import Budgets, Thresholds
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.sweeper import Sweeper
from services.billing.usecases.usage import Usages
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from services.chassis.watch import ChangeLog
from tests.billing.conftest import CATALOGUE
from tests.billing.requests import SONNET, demand, rows, settlement
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseFactory

OPENED = datetime(2027, 1, 31, 12, tzinfo=UTC)
DAY = 86_400
FIRST_CAP = 600_000


class Replica:
    """One process' use cases, with its own pools and batches."""

    def __init__(self, url: str, clock: FrozenClock) -> None:
        self.db = Database(url)
        trail = AuditTrail(clock)
        self.accounts = Accounts(self.db, clock, trail)
        self.catalogues = Catalogues(self.db, clock)
        self.metering = Metering(self.db, clock, self.catalogues, self.accounts)
        self.budgets = Budgets(self.db, clock, self.accounts, trail, ChangeLog(self.db, clock))
        self.thresholds = Thresholds(self.db, clock, trail)
        self.sweeper = Sweeper(self.db, clock, self.accounts)
        self.usages = Usages(self.db, self.accounts)


@dataclass
class House:
    clock: FrozenClock
    replicas: tuple[Replica, Replica]

    async def open(self) -> None:
        for replica in self.replicas:
            await replica.db.open()
        await self.replicas[0].catalogues.register(CATALOGUE.read_bytes())
        async with self.replicas[0].db.system_transaction() as tx:
            # A developer's credits without a developer's rate limits, which have tests of their own.
            await tx.exec_driver_sql(
                "UPDATE plans SET tokens_per_minute = NULL, requests_per_minute = NULL, requests_per_day = NULL"
            )

    async def close(self) -> None:
        for replica in self.replicas:
            await replica.db.close()


@dataclass
class Story:
    """One organization and what was told of it. Requests cost what their bound is at most."""

    who: Principal
    demands: list[Demand]
    told: dict[str, set[Decimal]] = field(default_factory=dict)
    """By request: the credits of each settlement that was told."""
    over: set[str] = field(default_factory=set)
    """Requests of which an end was told: none of them may be held any more."""
    highest_cap: int = FIRST_CAP

    @classmethod
    async def begin(cls, house: House, sizes: list[int]) -> "Story":
        who = replace(principal_of_new_org(house.clock), id=new_ulid(house.clock))
        await house.replicas[0].accounts.open(who.org_id, plan="developer", opened_at=house.clock.now())
        await house.replicas[0].budgets.update(who, {"spend_cap": FIRST_CAP, "alert_thresholds": [10, 50, 90]})
        return cls(who, [demand(who, house.clock, output=size, model=SONNET) for size in sizes])

    async def play(self, house: House, replica: Replica, step: tuple) -> None:
        """Raises whatever a caller would see."""
        metering, now = replica.metering, house.clock.now()
        match step:
            case ("reserve", place):
                await metering.reserve(self.demands[place])
            case ("settle", place, part, shift):
                asked = self.demands[place]
                tokens = round(asked.max_tokens * part)
                self.told.setdefault(asked.request_id, set()).add(Decimal(tokens))
                self.over.add(asked.request_id)
                told = settlement(asked, now + timedelta(seconds=shift), output=tokens)
                assert await metering.settle([told, told]) == [0, 1]
            case ("undelivered", place):
                self.over.add(self.demands[place].request_id)
                assert await metering.settle([settlement(self.demands[place], now, output=0, undelivered=True)]) == [0]
            case ("release", place):
                self.over.add(self.demands[place].request_id)
                await metering.release([RequestRef(self.who.org_id, self.demands[place].request_id)])
            case ("renew",):
                await metering.renew([RequestRef(self.who.org_id, each.request_id) for each in self.demands])
            case ("expire",):
                await replica.sweeper.expire()
            case ("roll",):
                await replica.accounts.roll(self.who.org_id)
                await replica.accounts.roll_overdue()
            case ("cap", cap):
                self.highest_cap = max(self.highest_cap, cap)
                await replica.budgets.update(self.who, {"spend_cap": cap})
            case ("overage", credits_, pack):
                await replica.accounts.add_overage(self.who.org_id, credits_=credits_, pack_id=pack)
            case ("adjust", credits_, adjustment):
                await replica.accounts.adjust(
                    self.who.org_id, credits_=Decimal(credits_), reason=Reason.CORRECTION, adjustment_id=adjustment
                )
            case ("plan", plan):
                await replica.accounts.change_plan(self.who.org_id, plan)
            case ("announce",):
                await replica.thresholds.announce()
            case ("look",):
                await replica.usages.get(self.who, start=None, end=None, grouping=None)
            case ("wait", seconds):
                house.clock.advance(timedelta(seconds=seconds))

    async def check(self, house: House) -> None:
        """Balances and journal, holds and settlements are one: the reconciler says so. The rest is told here."""
        replica = house.replicas[0]
        assert await replica.accounts.reconcile(self.who.org_id) == (1, [])
        org_id = self.who.org_id
        bounds = {each.request_id: Decimal(each.max_tokens) for each in self.demands}
        settled = dict(await rows(replica.db, org_id, "SELECT request_id, credits FROM settlements"))
        assert settled.keys() == self.told.keys()
        assert all(credits_ in self.told[each] and credits_ <= bounds[each] for each, credits_ in settled.items())
        holds = dict(await rows(replica.db, org_id, "SELECT request_id, bound FROM reservations"))
        assert holds.keys() & self.over == set()
        ((used, reserved),) = await rows(
            replica.db, org_id, "SELECT c.used, a.reserved FROM accounts a JOIN cycles c USING (org_id, cycle_start)"
        )
        # What had no hold when it was settled is booked all the same, whatever the cap says.
        ((late,),) = await rows(
            replica.db,
            org_id,
            "SELECT coalesce(sum(s.credits), 0) FROM settlements s JOIN accounts a USING (org_id, cycle_start) WHERE EXISTS"
            " (SELECT FROM entries e WHERE e.org_id = s.org_id AND e.entry_id = s.request_id AND e.kind IN ('release', 'expire'))"
            " OR NOT EXISTS (SELECT FROM entries e WHERE e.org_id = s.org_id AND e.entry_id = s.request_id AND e.kind = 'reserve')",
        )
        # The cap may be passed by the single last request, and where it is, nothing runs beside it.
        last = max(bounds.values()) if sum(bound > 0 for bound in holds.values()) < 2 else 0
        assert used + reserved <= self.highest_cap + last + late


@pytest.fixture
def house(database_factory: DatabaseFactory) -> Iterator[tuple[House, asyncio.Runner]]:
    with asyncio.Runner() as runner:
        url, clock = database_factory("billing").app_url, FrozenClock(OPENED)
        house = House(clock, (Replica(url, clock), Replica(url, clock)))
        runner.run(house.open())
        yield house, runner
        runner.run(house.close())


number = st.integers(0, 5)
shares = st.sampled_from([0.0, 0.37, 1.0])
step = st.one_of(
    st.tuples(st.just("reserve"), number),
    st.tuples(st.just("reserve"), number),
    st.tuples(st.just("reserve"), number),
    st.tuples(st.just("settle"), number, shares, st.sampled_from([0, 0, 0, 3600, -DAY, -33 * DAY])),
    st.tuples(st.just("settle"), number, shares, st.just(0)),
    st.tuples(st.sampled_from(["undelivered", "release"]), number),
    st.tuples(st.sampled_from(["renew", "expire", "roll", "announce", "look"])),
    st.tuples(st.just("cap"), st.sampled_from([0, 300_000, 600_000, 900_000])),
    st.tuples(st.just("overage"), st.just(200_000), st.sampled_from(["pack-1", "pack-2"])),
    st.sampled_from([("adjust", 50_000, "adjustment-1"), ("adjust", -50_000, "adjustment-2")]),
    st.tuples(st.just("plan"), st.sampled_from(["developer", "growth"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 600, 31 * DAY])),
)
moments = st.lists(st.lists(step, min_size=2, max_size=8), min_size=3, max_size=6)
sizes = st.lists(st.sampled_from([0, 1, 100_001, 300_001, 700_000]), min_size=6, max_size=6)


# Shrinking would replay hundreds of histories against the database, and none of them twice the same.
@settings(
    max_examples=20,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moments=moments, sizes=sizes)
def test_what_happens_at_once_keeps_every_invariant(
    house: tuple[House, asyncio.Runner], moments: list[list[tuple]], sizes: list[int]
) -> None:
    on, runner = house

    async def play() -> None:
        on.clock.advance(OPENED - on.clock.now())
        story = await Story.begin(on, sizes)
        for together in moments:
            await asyncio.gather(*(story.play(on, on.replicas[place % 2], step) for place, step in enumerate(together)))
            await story.check(on)

    runner.run(play())


def _any_step(dice: random.Random) -> tuple:
    place = dice.randrange(200)
    return dice.choices(
        [
            ("reserve", place),
            ("settle", place, dice.random(), 0),
            ("undelivered", place),
            ("release", place),
            ("renew",),
            ("expire",),
            ("roll",),
            ("cap", dice.choice([0, 300_000, 600_000])),
            ("overage", 1_000, f"pack-{dice.randrange(50)}"),
            ("adjust", -7, f"adjustment-{dice.randrange(50)}"),
            ("plan", dice.choice(["developer", "growth"])),
            ("announce",),
            ("look",),
            ("wait", dice.choice([1, 300, 3 * DAY])),
        ],
        weights=[30, 20, 3, 5, 5, 3, 3, 3, 3, 3, 2, 2, 3, 1],
    )[0]


def test_no_deadlock_and_no_serialization_error_reaches_a_caller(house: tuple[House, asyncio.Runner]) -> None:
    """32 callers over three organizations in two processes: nothing that they ask for is refused by an exception."""
    on, runner = house

    async def caller(seed: int, stories: list[Story]) -> None:
        dice = random.Random(seed)
        for _ in range(40):
            await dice.choice(stories).play(on, on.replicas[seed % 2], _any_step(dice))

    async def play() -> list[tuple]:
        stories = [await Story.begin(on, [1_000] * 200) for _ in range(3)]
        await asyncio.gather(*(caller(seed, stories) for seed in range(32)))
        for story in stories:
            await story.check(on)
        return await rows(
            on.replicas[0].db,
            stories[0].who.org_id,
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
        )

    # None that was hidden by a second try either.
    assert runner.run(play()) == [(0,)]
