"""Which grants allow which actions."""

import math
from typing import Any

import pytest

from services.chassis.errors import ValidationFailed
from services.identity.domain.actions import (
    Action,
    DelegateTo,
    DelegatingUser,
    EscalateTo,
    Invoke,
    Read,
    Write,
    filters_of,
    matching,
    parse_action,
)
from services.identity.domain.grants import SCOPE_TYPES, parse_grants
from services.identity.wire.values import plain, struct

ALICE = DelegatingUser("u1", "alice@example.org", "owner")


def tool(**fields: Any) -> dict[str, Any]:
    return {"type": "external.tool.invoke", "tool_id": "t", **fields}


def read(**fields: Any) -> dict[str, Any]:
    return {"type": "hasp.data.read", **fields}


def write(**fields: Any) -> dict[str, Any]:
    return {"type": "hasp.data.write", **fields}


def delegate(to_agent_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"type": "agent.delegate", "to_agent_id": to_agent_id, **fields}


def escalate(**fields: Any) -> dict[str, Any]:
    return {"type": "human.escalate", **fields}


def allowed(
    grant: dict[str, Any], action: dict[str, Any], *, user: DelegatingUser = ALICE, chain_depth: int = 0
) -> bool:
    grants = parse_grants([plain(struct(grant))])
    return matching(grants, parse_action(plain(struct(action))), user=user, chain_depth=chain_depth) == [0]


@pytest.mark.parametrize(
    ("grant", "action"),
    [
        (read(), read()),
        (read(), read(app_id="ehr", entities=["visit"], filters={"ward": "A"})),
        (read(app_id="ehr"), read(app_id="ehr")),
        (read(entities=["visit", "patient"]), read(entities=["patient"])),
        (read(entities=["visit", "patient"]), read(entities=["patient", "visit"])),
        (read(filters={"ward": "A", "open": True}), read()),
        (read(filters={"ward": "A", "open": True}), read(filters={"ward": "A"})),
        (read(filters={"ward": "A"}), read(filters={"bed": [], "note": ""})),
        (read(filters={"ward": ["A", "B"]}), read(filters={"ward": ["B", "A"]})),
        (read(filters={"owner": "{{delegating_user.id}}"}), read(filters={"owner": "u1"})),
        (write(), write(app_id="ehr", entities=["visit"], fields=["note"])),
        (
            write(app_id="ehr", entities=["visit"], fields=["note", "plan"]),
            write(app_id="ehr", entities=["visit"], fields=["note"]),
        ),
        (tool(), tool()),
        (tool(), tool(arguments={"anything": [1, {"goes": None}]})),
        (tool(constraints={}), tool()),
        (tool(constraints={"room": 8}), tool(arguments={"room": 8.0, "bed": 2})),
        (tool(constraints={"to": "{{delegating_user.email}}"}), tool(arguments={"to": "alice@example.org"})),
        (tool(constraints={"as": ["nurse", "{{delegating_user.role}}"]}), tool(arguments={"as": "owner"})),
        (tool(constraints={"key": "visits/{{delegating_user.id}}/"}), tool(arguments={"key": "visits/u1/"})),
        (tool(rate_limit=1), tool()),
        (delegate(), delegate()),
        (escalate(), escalate()),
        (escalate(to_role="nurse", channels=["pager", "phone"]), escalate(to_role="nurse", channels=["phone"])),
    ],
)
def test_a_grant_allows_what_lies_within_it(grant: dict[str, Any], action: dict[str, Any]) -> None:
    assert allowed(grant, action)


@pytest.mark.parametrize(
    ("grant", "action"),
    [
        (read(), write()),
        (write(), read()),
        (read(app_id="ehr"), read()),
        (read(app_id="ehr"), read(app_id="EHR")),
        (read(entities=["visit"]), read()),
        (read(entities=["visit"]), read(entities=["patient"])),
        (read(entities=["visit"]), read(entities=["visit", "patient"])),
        (read(entities=["*"]), read(entities=["visit"])),
        (read(filters={"ward": "A"}), read(filters={"ward": "B"})),
        (read(filters={"ward": "A"}), read(filters={"ward": None})),
        (read(filters={"ward": "A"}), read(filters={"ward": {"not": "B"}})),
        (read(filters={"ward": "A"}), read(filters={"ward": ["A"]})),
        (read(filters={"ward": ["A", "B"]}), read(filters={"ward": []})),
        (read(filters={"ward": ["A", "B"]}), read(filters={"ward": ["A", "C"]})),
        (read(filters={"open": True}), read(filters={"open": 1})),
        (write(fields=["note"]), write()),
        (write(fields=["note"]), write(fields=["note", "plan"])),
        (write(app_id="ehr"), write(fields=["note"])),
        (write(entities=["visit"]), write(fields=["note"])),
        (tool(), {**tool(), "tool_id": "T"}),
        (tool(), {**tool(), "tool_id": "t "}),
        (tool(constraints={"room": 8}), tool()),
        (tool(constraints={"room": 8}), tool(arguments={})),
        (tool(constraints={"room": 8}), tool(arguments={"room": "8"})),
        (tool(constraints={"room": None}), tool()),
        (tool(constraints={"room": 1}), tool(arguments={"room": True})),
        (tool(constraints={"room": "*"}), tool(arguments={"room": 8})),
        (tool(constraints={"to": "{{delegating_user.email}}"}), tool(arguments={"to": "{{delegating_user.email}}"})),
        (tool(constraints={"to": "{{delegating_user.email}}"}), tool(arguments={"to": "bob@example.org"})),
        (tool(constraints={"to": "u1"}), tool(arguments={"to": "{{delegating_user.id}}"})),
        (delegate("a"), delegate("b")),
        (escalate(to_role="nurse"), escalate()),
        (escalate(to_role="nurse"), escalate(to_role="owner")),
        (escalate(channels=["pager"]), escalate(channels=["phone"])),
        (escalate(channels=["pager"]), escalate(to_role="nurse")),
    ],
)
def test_a_grant_does_not_allow_what_lies_outside(grant: dict[str, Any], action: dict[str, Any]) -> None:
    assert not allowed(grant, action)


@pytest.mark.parametrize(("most", "depth"), [(most, depth) for most in (1, 2, 3) for depth in (0, 1, 2, 3)])
def test_delegation_is_allowed_while_the_chain_stays_short_enough(most: int, depth: int) -> None:
    assert allowed(delegate(max_chain_depth=most), delegate(), chain_depth=depth) is (depth < most)


def test_the_user_is_taken_as_they_are_now() -> None:
    grant = tool(constraints={"as": "{{delegating_user.role}}", "to": "{{delegating_user.email}}"})
    action = tool(arguments={"as": "owner", "to": "alice@example.org"})
    assert allowed(grant, action)
    assert not allowed(grant, action, user=DelegatingUser("u1", "alice@example.org", "member"))
    assert not allowed(grant, action, user=DelegatingUser("u1", "alice@other.org", "owner"))


def test_every_grant_that_matches_is_told_in_order() -> None:
    grants = parse_grants([tool(rate_limit=1), read(), tool(constraints={"room": 1}), tool(), delegate()])
    action = parse_action(tool(arguments={"room": 2}))
    assert matching(grants, action, user=ALICE, chain_depth=0) == [0, 3]
    assert matching(grants, parse_action(escalate()), user=ALICE, chain_depth=0) == []
    assert matching([], action, user=ALICE, chain_depth=0) == []


def test_a_type_matches_only_itself() -> None:
    bare = [read(), write(), tool(), delegate(), escalate()]
    for place, action in enumerate(bare):
        assert matching(parse_grants(bare), parse_action(action), user=ALICE, chain_depth=0) == [place]


def test_the_grants_filters_are_told_with_the_user_in_them() -> None:
    filters = {
        "owner": "{{delegating_user.id}}",
        "to": ["{{delegating_user.email}}", {"as": "{{delegating_user.role}}"}],
    }
    for grant, told in [
        (read(filters=filters), {"owner": "u1", "to": ["alice@example.org", {"as": "owner"}]}),
        (read(filters={}), {}),
        (read(), None),
        (tool(constraints=filters), None),
        (escalate(), None),
    ]:
        assert filters_of(parse_grants([grant])[0], ALICE) == told


@pytest.mark.parametrize(
    ("value", "action"),
    [
        (read(), Read()),
        (read(app_id="ehr", entities=["visit"], filters={"a": []}), Read("ehr", ("visit",), {"a": []})),
        (read(app_id=None, entities=None, filters=None), Read()),
        (write(app_id="ehr", entities=["visit"], fields=["note"]), Write("ehr", ("visit",), ("note",))),
        (tool(), Invoke("t")),
        (tool(arguments=None), Invoke("t")),
        (tool(arguments={"text": "a\nb", "": "", "n": 1e300}), Invoke("t", {"text": "a\nb", "": "", "n": 1e300})),
        (delegate(), DelegateTo("a")),
        (escalate(to_role="nurse", channels=["pager"]), EscalateTo("nurse", ("pager",))),
    ],
)
def test_an_action_is_read_in_the_terms_of_its_type(value: dict[str, Any], action: Action) -> None:
    assert parse_action(value) == action
    assert parse_action(plain(struct(value))) == action
    assert action.type == value["type"]
    assert action.type in SCOPE_TYPES


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({}, "action.type"),
        ({"type": None}, "action.type"),
        ({"type": 1.0}, "action.type"),
        ({"type": ["hasp.data.read"]}, "action.type"),
        ({"type": "hasp.data.delete", "unknown": 1}, "action.type"),
        (read(fields=["note"]), "action.fields"),
        (read(unknown=None), "action.unknown"),
        (read(**{"x\n" + "y" * 200: 1}), "action.x\N{REPLACEMENT CHARACTER}" + "y" * 98),
        (read(app_id=""), "action.app_id"),
        (read(app_id=1.0), "action.app_id"),
        (read(entities=[]), "action.entities"),
        (read(entities="visit"), "action.entities"),
        (read(entities=["visit", "visit"]), "action.entities[1]"),
        (read(entities=["visit", 1.0]), "action.entities[1]"),
        (read(entities=[f"n{n}" for n in range(101)]), "action.entities"),
        (read(filters=[]), "action.filters"),
        (read(filters="ward"), "action.filters"),
        (write(filters={}), "action.filters"),
        (write(fields=[]), "action.fields"),
        (write(fields=[None]), "action.fields[0]"),
        ({"type": "external.tool.invoke"}, "action.tool_id"),
        (tool(tool_id="x" * 256), "action.tool_id"),
        (tool(tool_id="a\x00b"), "action.tool_id"),
        (tool(arguments=[]), "action.arguments"),
        (tool(arguments="{}"), "action.arguments"),
        (tool(arguments=False), "action.arguments"),
        (tool(constraints={}), "action.constraints"),
        (tool(rate_limit=1), "action.rate_limit"),
        (tool(arguments={"n": [math.nan]}), "action.arguments"),
        (read(filters={"n": math.inf}), "action.filters"),
        ({"type": "agent.delegate"}, "action.to_agent_id"),
        (delegate(max_chain_depth=1), "action.max_chain_depth"),
        (escalate(to_role=False), "action.to_role"),
        (escalate(channels={}), "action.channels"),
    ],
)
def test_an_action_that_says_anything_else_is_refused_by_its_place(value: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_action(value)
    assert refused.value.param == param


@pytest.mark.parametrize("field", ["arguments", "filters"])
def test_what_can_be_compared_in_bounded_time_is_taken(field: str) -> None:
    def action(value: dict[str, Any]) -> dict[str, Any]:
        return tool(arguments=value) if field == "arguments" else read(filters=value)

    def nested(levels: int) -> dict[str, Any]:
        made: Any = []
        for _ in range(levels - 2):
            made = [made]
        return {"k": made}

    assert parse_action(action({"k": ["x" * 1000] * 999}))
    assert parse_action(action(nested(32)))
    for wrong in ({"k": ["x"] * 1000}, {"a": {"b": ["x"] * 600}, "c": [0.0] * 600}, nested(33), nested(10_000)):
        with pytest.raises(ValidationFailed) as refused:
            parse_action(action(wrong))
        assert refused.value.param == f"action.{field}"
