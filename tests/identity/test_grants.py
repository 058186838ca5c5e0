"""What a scope grant may say, and how one that says something else is refused."""

import dataclasses
import math
from typing import Any

import pytest

from services.chassis.errors import ValidationFailed
from services.identity.domain.errors import InvalidScopeType
from services.identity.domain.grants import (
    SCOPE_TYPES,
    DataRead,
    DataWrite,
    Delegate,
    Escalate,
    Grant,
    ToolInvoke,
    parse_grants,
    tool_ids,
)
from services.identity.wire.values import plain, struct


def tool(**fields: Any) -> dict[str, Any]:
    return {"type": "external.tool.invoke", "tool_id": "calendar.find_slots", **fields}


def parsed(value: dict[str, Any]) -> Grant:
    (grant,) = parse_grants([value])
    return grant


def refused_param(value: dict[str, Any]) -> str | None:
    """Which place is named when it stands third, behind two good ones."""
    with pytest.raises(ValidationFailed) as refused:
        parse_grants([tool(), tool(), value])
    return refused.value.param


@pytest.mark.parametrize(
    ("value", "grant"),
    [
        ({"type": "hasp.data.read"}, DataRead()),
        (
            {
                "type": "hasp.data.read",
                "app_id": "ehr",
                "entities": ["visit", "patient"],
                "filters": {"ward": ["A", "B"]},
            },
            DataRead("ehr", ("visit", "patient"), {"ward": ["A", "B"]}),
        ),
        ({"type": "hasp.data.write"}, DataWrite()),
        (
            {"type": "hasp.data.write", "app_id": "ehr", "entities": ["visit"], "fields": ["note"]},
            DataWrite("ehr", ("visit",), ("note",)),
        ),
        (tool(), ToolInvoke("calendar.find_slots")),
        (
            tool(rate_limit=30, constraints={"user": "{{delegating_user.id}}"}),
            ToolInvoke("calendar.find_slots", 30, {"user": "{{delegating_user.id}}"}),
        ),
        ({"type": "agent.delegate", "to_agent_id": "01JQAGENT"}, Delegate("01JQAGENT", 1)),
        ({"type": "agent.delegate", "to_agent_id": "01JQAGENT", "max_chain_depth": 3}, Delegate("01JQAGENT", 3)),
        ({"type": "human.escalate"}, Escalate()),
        ({"type": "human.escalate", "to_role": "nurse", "channels": ["pager"]}, Escalate("nurse", ("pager",))),
    ],
)
def test_each_type_has_its_fields(value: dict[str, Any], grant: Grant) -> None:
    assert parsed(value) == grant
    assert parsed(value).type == value["type"]
    # As it comes over the wire, where every number is a double.
    assert parsed(plain(struct(value))) == grant


def test_there_are_five_types() -> None:
    assert {
        "hasp.data.read",
        "hasp.data.write",
        "external.tool.invoke",
        "agent.delegate",
        "human.escalate",
    } == SCOPE_TYPES


def test_grants_keep_their_order() -> None:
    assert [
        grant.type for grant in parse_grants([{"type": name} for name in ("human.escalate", "hasp.data.read")])
    ] == [
        "human.escalate",
        "hasp.data.read",
    ]
    assert parse_grants([]) == ()


def test_a_grant_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed(tool()).tool_id = "other"  # pyright: ignore[reportAttributeAccessIssue]
    given = {"room": {"ward": "A"}}
    grant = parsed(tool(constraints=given))
    given["room"]["ward"] = "B"
    assert grant == ToolInvoke("calendar.find_slots", None, {"room": {"ward": "A"}})


@pytest.mark.parametrize(
    "name", ["hasp.data.delete", "HASP.data.read", " hasp.data.read", "*", "", "hasp.data.re\u0430d", "hasp.*"]
)
def test_an_unknown_type_is_refused_by_its_place(name: str) -> None:
    with pytest.raises(InvalidScopeType) as refused:
        parse_grants([tool(), {"type": name, "unknown": 1}])
    assert refused.value.param == "granted_scopes[1].type"


@pytest.mark.parametrize("value", [{}, {"type": None}, {"type": 1.0}, {"type": True}, {"type": ["hasp.data.read"]}])
def test_a_grant_has_a_type(value: dict[str, Any]) -> None:
    assert refused_param(value) == "granted_scopes[2].type"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (tool(entities=["visit"]), "entities"),
        (tool(toolId="x"), "toolId"),
        (tool(unknown=None), "unknown"),
        (tool(b=1, a=1), "a"),
        ({"type": "hasp.data.read", "fields": ["note"]}, "fields"),
        ({"type": "hasp.data.read", "rate_limit": 5}, "rate_limit"),
        ({"type": "hasp.data.write", "filters": {}}, "filters"),
        ({"type": "agent.delegate", "to_agent_id": "a", "constraints": {}}, "constraints"),
        ({"type": "human.escalate", "app_id": "ehr"}, "app_id"),
        (tool(**{"": 1}), ""),
        (
            tool(**{"a\x00\n\u202eb": 1}),
            "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b",
        ),
        (tool(**{"x" * 500: 1}), "x" * 100),
    ],
)
def test_an_unknown_field_is_refused_by_a_name_fit_to_be_shown(value: dict[str, Any], field: str) -> None:
    assert refused_param(value) == f"granted_scopes[2].{field}"


@pytest.mark.parametrize(
    "value",
    [
        {"type": "hasp.data.read", "app_id": None, "entities": None, "filters": None},
        {"type": "hasp.data.write", "app_id": None, "entities": None, "fields": None},
        tool(rate_limit=None, constraints=None),
        {"type": "agent.delegate", "to_agent_id": "a", "max_chain_depth": None},
        {"type": "human.escalate", "to_role": None, "channels": None},
    ],
)
def test_null_counts_as_absent(value: dict[str, Any]) -> None:
    assert parsed(value) == parsed({name: given for name, given in value.items() if given is not None})


@pytest.mark.parametrize("value", [{"type": "external.tool.invoke"}, {"type": "external.tool.invoke", "tool_id": None}])
def test_a_tool_grant_names_its_tool(value: dict[str, Any]) -> None:
    assert refused_param(value) == "granted_scopes[2].tool_id"


@pytest.mark.parametrize("value", [{"type": "agent.delegate"}, {"type": "agent.delegate", "to_agent_id": None}])
def test_a_delegation_grant_names_its_agent(value: dict[str, Any]) -> None:
    assert refused_param(value) == "granted_scopes[2].to_agent_id"


TEXT_FIELDS = [
    ({"type": "hasp.data.read"}, "app_id"),
    ({"type": "hasp.data.write"}, "app_id"),
    ({"type": "external.tool.invoke"}, "tool_id"),
    ({"type": "agent.delegate"}, "to_agent_id"),
    ({"type": "human.escalate"}, "to_role"),
]


@pytest.mark.parametrize(("value", "field"), TEXT_FIELDS)
def test_a_text_has_1_to_255_characters_on_one_line(value: dict[str, Any], field: str) -> None:
    assert parsed({**value, field: "x"})
    assert parsed({**value, field: "ü" * 255})
    for wrong in ("", "x" * 256, "a\nb", "a\tb", "a\x00b", "a\x7f", "a\x9f", " ", 1.0, True, False, ["x"], {"x": 1}):
        assert refused_param({**value, field: wrong}) == f"granted_scopes[2].{field}"


LIST_FIELDS = [
    ({"type": "hasp.data.read"}, "entities"),
    ({"type": "hasp.data.write"}, "entities"),
    ({"type": "hasp.data.write"}, "fields"),
    ({"type": "human.escalate"}, "channels"),
]


@pytest.mark.parametrize(("value", "field"), LIST_FIELDS)
def test_a_list_has_1_to_100_different_texts(value: dict[str, Any], field: str) -> None:
    names = [f"n{number}" for number in range(100)]
    assert getattr(parsed({**value, field: names}), field) == tuple(names)
    place = f"granted_scopes[2].{field}"
    for wrong in ([], [*names, "one more"], "visit", {"visit": True}, 1.0, True, {}):
        assert refused_param({**value, field: wrong}) == place
    for wrong in ("", "x" * 256, "a\nb", None, 1.0, True, ["x"], {}, "first"):
        assert refused_param({**value, field: ["first", wrong]}) == f"{place}[1]"
    assert parsed({**value, field: ["first", "First", "first "]})


@pytest.mark.parametrize(
    ("value", "field", "most"),
    [
        ({"type": "external.tool.invoke", "tool_id": "t"}, "rate_limit", 1_000_000),
        ({"type": "agent.delegate", "to_agent_id": "a"}, "max_chain_depth", 3),
    ],
)
def test_a_whole_number_may_come_as_a_float(value: dict[str, Any], field: str, most: int) -> None:
    for right in (1, 1.0, most, float(most)):
        read = getattr(parsed({**value, field: right}), field)
        assert read == right
        assert type(read) is int
    for wrong in (0, 0.0, -0.0, -1, 1.5, most + 1, float(most + 1), most + 0.5, 1e300, 10**400, math.nan, math.inf):
        assert refused_param({**value, field: wrong}) == f"granted_scopes[2].{field}"
    for wrong in (True, False, "1", "", [1], {}, -math.inf):
        assert refused_param({**value, field: wrong}) == f"granted_scopes[2].{field}"


@pytest.mark.parametrize(
    ("value", "field"),
    [({"type": "hasp.data.read"}, "filters"), ({"type": "external.tool.invoke", "tool_id": "t"}, "constraints")],
)
def test_constraints_are_refused_by_their_place(value: dict[str, Any], field: str) -> None:
    place = f"granted_scopes[2].{field}"
    assert getattr(parsed({**value, field: {}}), field) == {}
    for wrong in ([], [{}], "ward", 1.0, True, False):
        assert refused_param({**value, field: wrong}) == place
    assert refused_param({**value, field: {"ward": {"is": ["A", []]}}}) == f"{place}.ward.is[1]"
    assert refused_param({**value, field: {"ward": "{{delegating_user.ward}}"}}) == f"{place}.ward"
    assert refused_param({**value, field: {"ward": ["A"] * 200}}) == place


def test_text_outside_constraints_is_no_template() -> None:
    assert parsed({"type": "human.escalate", "to_role": "{{anything}}"}) == Escalate("{{anything}}")


def test_the_tools_are_those_that_grants_name() -> None:
    grants = parse_grants(
        [tool(), tool(rate_limit=1), {**tool(), "tool_id": "web_search"}, {"type": "hasp.data.read", "app_id": "ehr"}]
    )
    assert tool_ids(grants) == {"calendar.find_slots", "web_search"}
    assert tool_ids([]) == frozenset()
