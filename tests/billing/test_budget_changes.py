from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.budgets import Budget, changed, limit_of, reached
from services.chassis.errors import ValidationFailed

BUDGET = Budget(spend_cap=1000, alert_thresholds=(50, 90), opus_enabled=True)


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({}, BUDGET),
        ({"spend_cap": 5.0}, Budget(5, (50, 90), opus_enabled=True)),
        ({"spend_cap": 0.0}, Budget(0, (50, 90), opus_enabled=True)),
        ({"spend_cap": None}, Budget(None, (50, 90), opus_enabled=True)),
        ({"alert_thresholds": [99.0, 1.0, 50.0]}, Budget(1000, (1, 50, 99), opus_enabled=True)),
        ({"alert_thresholds": []}, Budget(1000, (), opus_enabled=True)),
        ({"alert_thresholds": None}, Budget(1000, (), opus_enabled=True)),
        ({"opus_enabled": False}, Budget(1000, (50, 90), opus_enabled=False)),
        ({"opus_enabled": None}, Budget(1000, (50, 90), opus_enabled=False)),
    ],
)
def test_only_what_is_named_changes(change: dict[str, object], after: Budget) -> None:
    assert changed(BUDGET, change) == after


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"credits_allotment": 5.0}, "credits_allotment"),
        ({"spend_cap": 5.0, "colour": "red"}, "colour"),
        ({"spend_cap": -1.0}, "spend_cap"),
        ({"spend_cap": 1.5}, "spend_cap"),
        ({"spend_cap": "5"}, "spend_cap"),
        ({"spend_cap": True}, "spend_cap"),
        ({"spend_cap": 1e15}, "spend_cap"),
        ({"spend_cap": float("inf")}, "spend_cap"),
        ({"spend_cap": float("nan")}, "spend_cap"),
        ({"alert_thresholds": 50.0}, "alert_thresholds"),
        ({"alert_thresholds": "50"}, "alert_thresholds"),
        ({"alert_thresholds": [1.0, 2.0, 3.0, 4.0]}, "alert_thresholds"),
        ({"alert_thresholds": [50.0, 100.0]}, "alert_thresholds[1]"),
        ({"alert_thresholds": [0.0]}, "alert_thresholds[0]"),
        ({"alert_thresholds": [50.0, 50.0]}, "alert_thresholds[1]"),
        ({"alert_thresholds": [50.5]}, "alert_thresholds[0]"),
        ({"opus_enabled": 1.0}, "opus_enabled"),
        ({"opus_enabled": "true"}, "opus_enabled"),
    ],
)
def test_a_wrong_change_names_its_field(change: dict[str, object], param: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        changed(BUDGET, change)
    assert refused.value.param == param


def test_the_limit_is_the_lesser_of_cap_and_what_was_given() -> None:
    assert limit_of(None, Decimal(100), Decimal(20)) == 120
    assert limit_of(50, Decimal(100), Decimal(20)) == 50
    assert limit_of(500, Decimal(100), Decimal(20)) == 120


@given(st.lists(st.integers(1, 99), max_size=3), st.decimals(0, 2000, places=4), st.integers(1, 1000))
def test_a_threshold_is_reached_from_its_percentage_on(thresholds: list[int], used: Decimal, limit: int) -> None:
    for threshold in thresholds:
        assert (threshold in reached(thresholds, used, Decimal(limit))) == (used / limit >= Decimal(threshold) / 100)


def test_a_limit_of_nothing_has_no_thresholds() -> None:
    assert reached((50,), Decimal(0), Decimal(0)) == ()
