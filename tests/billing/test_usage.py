from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.billing.domain.usage import Grouping, Tokens
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.metering import Metering
from services.billing.usecases.usage import Usages
from services.chassis.access import Principal
from services.chassis.errors import ValidationFailed
from tests.billing.requests import HAIKU, SONNET, demand, settlement
from tests.fakes import FrozenClock

OPENED = datetime(2026, 5, 11, 12, tzinfo=UTC)
Told = tuple[datetime, str, str, str, Tokens]


async def use(metering: Metering, who: Principal, clock: FrozenClock) -> list[Told]:
    """Forty days of requests at odd hours, by two keys and an agent."""
    told: list[Told] = []
    for number in range(120):
        at = OPENED + timedelta(hours=8 * number, minutes=17 * number, microseconds=number)
        model, key, agent = (SONNET, HAIKU)[number % 2], f"key {number % 3}", "agent" if number % 3 == 2 else ""
        tokens = Tokens(input=number, output=number + 1, cache_read=number % 7, cache_write=number % 5)
        told.append((at, model, key, agent, tokens))
    clock.advance(told[-1][0] - clock.now())
    settlements = [
        settlement(demand(who, clock, model=model, principal_id=key), at, agent_id=agent, tokens=tokens)
        for at, model, key, agent, tokens in told
    ]
    assert await metering.settle(settlements) == list(range(len(told)))
    return told


def cost(model: str, tokens: Tokens) -> Decimal:
    weighed = tokens.input + tokens.output + tokens.cache_read * Decimal("0.1") + tokens.cache_write * Decimal("1.25")
    return weighed * {SONNET: Decimal(1), HAIKU: Decimal("0.33")}[model]


def key_of(grouping: Grouping, told: Told) -> str | None:
    at, model, key, agent, _ = told
    match grouping:
        case Grouping.DAY:
            return at.date().isoformat()
        case Grouping.MODEL:
            return model
        case Grouping.API_KEY:
            return None if agent else key
        case Grouping.AGENT:
            return agent or None


@pytest.mark.parametrize("grouping", list(Grouping))
async def test_every_range_sums_what_ended_in_it(
    metering: Metering,
    usages: Usages,
    accounts: Accounts,
    alice: Principal,
    mallory: Principal,
    clock: FrozenClock,
    grouping: Grouping,
) -> None:
    told = await use(metering, alice, clock)
    await use(metering, mallory, clock)
    day = timedelta(days=1)
    midnight = OPENED.replace(hour=0)
    ranges = [
        (OPENED, OPENED + 31 * day),
        (midnight, midnight + 60 * day),
        (midnight + 3 * day, midnight + 4 * day),
        (OPENED + timedelta(hours=5), OPENED + timedelta(hours=9)),
        (OPENED + timedelta(hours=11), OPENED + timedelta(hours=14)),
        (midnight + 3 * day - timedelta(microseconds=1), midnight + 5 * day + timedelta(microseconds=1)),
        (told[10][0], told[50][0]),
        (OPENED - 9 * day, OPENED - 8 * day),
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        (datetime.max.replace(tzinfo=UTC) - timedelta(hours=9), datetime.max.replace(tzinfo=UTC)),
    ]
    for start, end in ranges:
        usage = await usages.get(alice, start=start, end=end, grouping=grouping)
        inside = [each for each in told if start <= each[0] < end]
        expected: dict[str | None, tuple[int, int, int, Decimal]] = defaultdict(lambda: (0, 0, 0, Decimal(0)))
        for each in inside:
            requests, read, written, credits_ = expected[key_of(grouping, each)]
            model, tokens = each[1], each[4]
            expected[key_of(grouping, each)] = (
                requests + 1,
                read + tokens.total - tokens.output,
                written + tokens.output,
                credits_ + cost(model, tokens),
            )
        shown = {
            group.key: (group.requests, group.input_tokens, group.output_tokens, group.credits)
            for group in usage.series
        }
        assert shown == expected, (start, end)
        assert usage.requests == len(inside)
        if grouping is Grouping.DAY:
            assert list(shown) == sorted(shown, key=str)
        else:
            assert [group.credits for group in usage.series] == sorted(
                (row[3] for row in expected.values()), reverse=True
            )
    assert await accounts.reconcile(None) == (2, [])


async def test_the_cycle_is_the_range_from_its_start_to_its_end(
    metering: Metering, usages: Usages, alice: Principal, clock: FrozenClock
) -> None:
    await use(metering, alice, clock)
    cycle = await usages.get(alice, start=None, end=None, grouping=Grouping.DAY)
    assert (cycle.start, cycle.end) == (OPENED + timedelta(days=31), datetime(2026, 7, 11, 12, tzinfo=UTC))
    again = await usages.get(alice, start=cycle.start, end=cycle.end, grouping=Grouping.DAY)
    assert again == cycle
    assert sum(group.credits for group in cycle.by_model) == cycle.credits.used


async def test_an_empty_range_is_refused(usages: Usages, alice: Principal) -> None:
    for start, end, param in (
        (OPENED, OPENED, "end"),
        (OPENED + timedelta(days=99), None, "start"),
        (None, OPENED, "end"),
    ):
        with pytest.raises(ValidationFailed) as refused:
            await usages.get(alice, start=start, end=end, grouping=None)
        assert refused.value.param == param
