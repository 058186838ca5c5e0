from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.cycles import Cycle, beginning, cycle_at, cycles_from

moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_31st_comes_back_after_a_short_month() -> None:
    anchor = at("2027-01-31T10:30")
    assert [beginning(anchor, number) for number in range(5)] == [
        at("2027-01-31T10:30"),
        at("2027-02-28T10:30"),
        at("2027-03-31T10:30"),
        at("2027-04-30T10:30"),
        at("2027-05-31T10:30"),
    ]


def test_a_leap_day_is_used_where_there_is_one() -> None:
    assert beginning(at("2027-12-31T00:00"), 2) == at("2028-02-29T00:00")
    anchor = at("2028-02-29T00:00")
    assert beginning(anchor, 12) == at("2029-02-28T00:00")
    assert beginning(anchor, 48) == at("2032-02-29T00:00")


@given(moments, moments, st.integers(0, 100))
def test_the_zone_a_moment_is_told_in_changes_nothing(anchor: datetime, moment: datetime, number: int) -> None:
    berlin, auckland = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Auckland")
    assert beginning(anchor.astimezone(berlin), number) == beginning(anchor, number)
    assert cycle_at(anchor.astimezone(auckland), moment.astimezone(berlin)) == cycle_at(anchor, moment)


def test_years_turn() -> None:
    assert cycle_at(at("2026-11-15T08:00"), at("2027-01-15T07:59:59")) == Cycle(
        at("2026-12-15T08:00"), at("2027-01-15T08:00")
    )
    assert cycle_at(at("2026-11-15T08:00"), at("2027-01-15T08:00")).start == at("2027-01-15T08:00")


@given(moments, st.integers(0, 500))
def test_cycles_have_no_gap_and_no_overlap(anchor: datetime, number: int) -> None:
    first, second, third = (beginning(anchor, number + step) for step in range(3))
    assert first < second < third
    assert timedelta(days=27) < second - first <= timedelta(days=32)


@given(moments, moments)
def test_every_moment_lies_in_its_cycle(anchor: datetime, moment: datetime) -> None:
    cycle = cycle_at(anchor, moment)
    assert cycle.start < cycle.end
    if moment >= anchor:
        assert cycle.start <= moment < cycle.end
    else:
        assert cycle.start == anchor


@given(moments, st.integers(0, 60), st.timedeltas(timedelta(0), timedelta(days=800)))
def test_what_was_missed_is_made_up_for_without_a_gap(anchor: datetime, number: int, slept: timedelta) -> None:
    start = beginning(anchor, number)
    cycles = list(cycles_from(anchor, start, start + slept))
    assert cycles[0].start == start
    assert all(one.end == next_.start for one, next_ in pairwise(cycles))
    assert cycles[-1].start <= start + slept < cycles[-1].end


def test_no_cycle_begins_between_two() -> None:
    with pytest.raises(ValueError, match="no cycle begins there"):
        list(cycles_from(at("2026-01-31T00:00"), at("2026-03-28T00:00"), at("2027-01-01T00:00")))
