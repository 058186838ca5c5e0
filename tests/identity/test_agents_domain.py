from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.access import OrgId
from services.chassis.errors import ServiceError, ValidationFailed
from services.identity.domain.agents import Agent, Selection, Status, WantedAgent, changes_of
from services.identity.domain.errors import InvalidScopeType
from services.identity.domain.grants import SCOPE_TYPES

SETTINGS: dict[str, Any] = {
    "name": "IntakeRouter",
    "description": None,
    "capabilities": ["chart-review", "scheduling-handoff"],
    "default_expiry_hours": 8,
    "default_revocation_policy": "drain",
    "allowed_scope_types": ["hasp.data.read", "external.tool.invoke"],
}
AT = datetime(2026, 5, 11, 12, tzinfo=UTC)
AGENT = Agent(org_id=OrgId("o"), id="a", created_at=AT, **SETTINGS)

TAKEN: list[tuple[str, Any]] = [
    ("name", "ab"),
    ("name", "n" * 64),
    ("name", "Ärztliche Aufnahme №5"),
    ("description", None),
    ("description", ""),
    ("description", "One.\n\nTwo.\t"),
    ("description", "d" * 2000),
    ("capabilities", []),
    ("capabilities", [f"tag-{number}" for number in range(12)]),
    ("capabilities", ["c", "c" * 32]),
    ("default_expiry_hours", 1),
    ("default_expiry_hours", 720),
    ("default_expiry_hours", 8.0),
    ("default_revocation_policy", "kill"),
    ("allowed_scope_types", None),
    ("allowed_scope_types", []),
    ("allowed_scope_types", sorted(SCOPE_TYPES)),
]
REFUSED: list[tuple[str, Any, str]] = [
    *(("name", value, "name") for value in (None, "", "n", "n" * 65, "  ", "a\x00b", "a\nb", 5, True, ["ab"], {})),
    *(("description", value, "description") for value in ("d" * 2001, "a\x00b", "\x1b[31m", 5, False, ["a"], {})),
    *(("capabilities", value, "capabilities") for value in (None, "a", 5, {}, [str(number) for number in range(13)])),
    *(("capabilities", ["a", value], "capabilities[1]") for value in ("", " ", "c" * 33, "a", "a\x00", 5, None, ["b"])),
    *(
        ("default_expiry_hours", value, "default_expiry_hours")
        for value in (None, 0, -1, 721, 8.5, "8", True, [8], {}, 1e300, float("inf"), float("nan"))
    ),
    *(
        ("default_revocation_policy", value, "default_revocation_policy")
        for value in (None, "", "Drain", "stop", 5, True, ["drain"], {})
    ),
    *(("allowed_scope_types", value, "allowed_scope_types") for value in ("hasp.data.read", 5, True, {}, {"a": 1})),
    ("allowed_scope_types", ["hasp.data.read", 5], "allowed_scope_types[1]"),
    ("allowed_scope_types", [None], "allowed_scope_types[0]"),
    ("allowed_scope_types", ["hasp.data.read", "human.escalate", "hasp.data.read"], "allowed_scope_types[2]"),
]


def refusal_of(field: str, value: Any) -> tuple[ServiceError, ServiceError]:
    """What a registration and a change with this setting are refused with."""
    with pytest.raises(ServiceError) as registering:
        WantedAgent.of(SETTINGS | {field: value})
    with pytest.raises(ServiceError) as changing:
        changes_of({field: value})
    return registering.value, changing.value


@pytest.mark.parametrize(("field", "value"), TAKEN)
def test_a_setting_within_its_limits_is_taken_as_it_is(field: str, value: Any) -> None:
    assert getattr(WantedAgent.of(SETTINGS | {field: value}), field) == value
    assert changes_of({field: value}) == {field: value}


@pytest.mark.parametrize(("field", "value", "param"), REFUSED)
def test_any_other_is_refused_and_named(field: str, value: Any, param: str) -> None:
    for refusal in refusal_of(field, value):
        assert isinstance(refusal, ValidationFailed)
        assert refusal.param == param


@pytest.mark.parametrize("scope_type", ["", "hasp.data.delete", "HASP.DATA.READ", "*", "hasp.data.*", "x" * 1000])
def test_an_unknown_scope_type_is_refused_by_its_own_name(scope_type: str) -> None:
    for refusal in refusal_of("allowed_scope_types", ["hasp.data.read", scope_type]):
        assert isinstance(refusal, InvalidScopeType)
        assert refusal.param == "allowed_scope_types[1]"


def test_the_five_scope_types_are_known() -> None:
    assert {
        "hasp.data.read",
        "hasp.data.write",
        "external.tool.invoke",
        "agent.delegate",
        "human.escalate",
    } == SCOPE_TYPES


def test_hours_are_whole_numbers_whatever_they_came_as() -> None:
    assert isinstance(changes_of({"default_expiry_hours": 8.0})["default_expiry_hours"], int)


def test_a_change_without_fields_changes_nothing() -> None:
    assert changes_of({}) == {}


@pytest.mark.parametrize("field", ["id", "status", "org_id", "archived_at", "created_at", "Name", "", "name "])
def test_a_field_that_cannot_be_changed_is_refused_and_named(field: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        changes_of({"name": "Fine", field: "x"})
    assert refusal.value.param == field


def test_a_made_up_field_is_named_in_a_printable_form() -> None:
    with pytest.raises(ValidationFailed) as refusal:
        changes_of({"a\x00" + "b" * 1000: 1})
    assert refusal.value.param == "a\ufffd" + "b" * 98


def test_the_changed_fields_are_those_that_differ() -> None:
    reordered = list(reversed(AGENT.capabilities))
    other = replace(AGENT, archived_at=AT, capabilities=reordered, description="")
    assert AGENT.changed_fields(AGENT) == []
    assert other.changed_fields(AGENT) == ["description", "capabilities"]
    assert (AGENT.status, other.status) == (Status.ACTIVE, Status.ARCHIVED)


@pytest.mark.parametrize(
    ("allowed", "types", "permitted"),
    [
        (None, ["hasp.data.read", "human.escalate"], True),
        ([], ["hasp.data.read"], False),
        (["hasp.data.read"], ["hasp.data.read", "hasp.data.read"], True),
        (["hasp.data.read"], ["hasp.data.read", "human.escalate"], False),
    ],
)
def test_an_agent_permits_the_types_of_its_list_or_all(
    allowed: list[str] | None, types: list[str], *, permitted: bool
) -> None:
    assert replace(AGENT, allowed_scope_types=allowed).permits(types) is permitted


def test_a_search_for_what_cannot_be_printed_is_refused() -> None:
    with pytest.raises(ValidationFailed) as refusal:
        Selection(search="a\x00")
    assert refusal.value.param == "search"
