from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from services.chassis.ulids import is_ulid, lowest_ulid, new_ulid, ulid_time

_MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds


class At:
    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at


@given(_MOMENTS)
@example(datetime(2243, 1, 1, tzinfo=UTC))  # a float of milliseconds falls short of the next one
def test_the_lowest_of_a_moment_bounds_what_is_made_then(at: datetime) -> None:
    made = new_ulid(At(at))
    assert lowest_ulid(at) <= made < lowest_ulid(at + timedelta(milliseconds=1))
    assert timedelta(0) <= at - ulid_time(made) < timedelta(milliseconds=1)


def test_before_there_were_any_the_bound_is_below_all_of_them() -> None:
    bound = lowest_ulid(datetime(1926, 1, 1, tzinfo=UTC))
    assert is_ulid(bound)
    assert bound == "0" * 26
