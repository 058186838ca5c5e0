from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.access import OrgId
from services.chassis.errors import ValidationFailed
from services.identity.domain.api_keys import SCOPES, ApiKey, WantedKey, expiry_of, form_of
from services.identity.domain.errors import ScopeEscalation
from services.identity.domain.tokens import Format

NOW = datetime(2026, 5, 11, 12, tzinfo=UTC)
some_scopes = st.lists(st.sampled_from(sorted(SCOPES)), unique=True)


@given(some_scopes, some_scopes)
def test_a_key_is_made_only_with_scopes_that_its_maker_holds(held: list[str], asked: list[str]) -> None:
    wanted = WantedKey(name="key", scopes=asked)
    if set(asked) <= set(held):
        wanted.check_held(held)
    else:
        with pytest.raises(ScopeEscalation) as refused:
            wanted.check_held(held)
        assert refused.value.details == {"missing_scopes": sorted(set(asked) - set(held))}


@pytest.mark.parametrize(("scopes", "param"), [(["ai:chat", "ai:everything"], "scopes[1]"), (["a", "a"], "scopes[0]")])
def test_a_scope_that_does_not_exist_is_named(scopes: list[str], param: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        WantedKey(name="key", scopes=scopes)
    assert refused.value.param == param


def test_a_scope_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValidationFailed) as refused:
        WantedKey(name="key", scopes=["ai:chat", "control:read", "ai:chat"])
    assert refused.value.param == "scopes[2]"


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=4000)), st.integers(-14, 14))
def test_an_expiry_in_the_future_is_taken_in_any_zone(ahead: timedelta, hours: int) -> None:
    at = (NOW + ahead).replace(microsecond=0)
    sign = "+" if hours >= 0 else "-"
    text = (at + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S") + f"{sign}{abs(hours):02}:00"
    assert expiry_of(text, NOW) == at


@pytest.mark.parametrize(
    "text", ["2026-05-11T12:00:00+00:00", "2026-05-11T13:59:59+02:00", "2026-05-12", "2027-01-01T00:00:00", "soon", ""]
)
def test_any_other_expiry_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        expiry_of(text, NOW)
    assert refused.value.param == "expires_at"


def test_without_an_expiry_a_key_has_none() -> None:
    assert expiry_of(None, NOW) is None


def test_the_launch_form_is_the_default() -> None:
    assert [form_of(""), form_of("wa_live"), form_of("hasp_key_live")] == [
        Format.WA_LIVE,
        Format.WA_LIVE,
        Format.HASP_KEY_LIVE,
    ]
    with pytest.raises(ValidationFailed):
        form_of("hasp_agent")


def test_a_key_ends_at_its_expiry_and_not_after_it() -> None:
    key = ApiKey(OrgId("o"), "k", "u", "n", "wa_live_", "abcd", ["ai:chat"], NOW, expires_at=NOW + timedelta(seconds=1))
    assert key.is_valid(NOW)
    assert not key.is_valid(NOW + timedelta(seconds=1))
