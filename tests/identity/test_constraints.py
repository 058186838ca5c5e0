"""The language of constraints, rule by rule."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.errors import ValidationFailed
from services.identity.domain.constraints import (
    DEEPEST,
    LARGEST_WHOLE,
    MOST_NODES,
    parse_constraint,
    pieces,
    satisfies,
    substituted,
)
from services.identity.wire.values import plain, struct

ALICE = {"id": "u1", "email": "alice@example.org", "role": "owner"}


def nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {"k": 1}
    for _ in range(levels - 1):
        made = {"k": made}
    return made


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        ("x", "x"),
        (1, 1.0),
        (1.0, 1),
        (0, -0.0),
        (0.5, 0.5),
        (True, True),
        (False, False),
        (None, None),
        ("*", "*"),
        (["x", "y"], "y"),
        (["x", "y"], ["y"]),
        (["x", "y"], ["y", "x", "y"]),
        (["x", "x"], ["x", "x"]),
        (["x", 1, None], [None, 1.0]),
        ([["x"]], "x"),
        ([["x"]], ["x"]),
        ([["x"]], [["x"]]),
        ([{"a": 1}, {"b": 1}], [{"a": 1}, {"b": 1, "c": 2}]),
        ({}, {}),
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {}}, {"a": {"b": 1}}),
        ({"a": {"b": ["x"]}}, {"a": {"b": ["x", "x"], "c": []}, "d": None}),
        ({"a": None}, {"a": None}),
    ],
)
def test_a_value_satisfies(constraint: Any, value: Any) -> None:
    assert satisfies(value, constraint)


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        pytest.param("x", "X", id="text is compared as it is"),
        pytest.param("x", " x", id="blanks count"),
        pytest.param("x", "", id="empty text is a text of its own"),
        pytest.param("é", "e\u0301", id="text is not normalized"),
        pytest.param("a", "\u0430", id="a letter that looks alike is another one"),
        pytest.param("x", "x\u200b", id="what cannot be seen counts"),
        pytest.param("*", "x", id="a star is no wildcard"),
        pytest.param(1, True, id="true is not 1"),
        pytest.param(True, 1, id="1 is not true"),
        pytest.param(False, 0.0, id="0 is not false"),
        pytest.param(0, False, id="false is not 0"),
        pytest.param(1, "1", id="text is no number"),
        pytest.param("1", 1, id="a number is no text"),
        pytest.param("true", True, id="a bool is no text"),
        pytest.param("null", None, id="null is no text"),
        pytest.param(None, False, id="false is not null"),
        pytest.param(None, "", id="empty text is not null"),
        pytest.param(None, {}, id="an empty object is not null"),
        pytest.param(None, [], id="an empty list is not null"),
        pytest.param(0.5, 0.5000000000000001, id="numbers are not rounded"),
        pytest.param(1, math.nan, id="NaN equals nothing"),
        pytest.param("x", ["x"], id="a list of the value is not the value"),
        pytest.param(["x"], [], id="an empty list satisfies no alternative"),
        pytest.param(["x"], ["x", "y"], id="every element counts"),
        pytest.param(["x"], [["x"]], id="a list in a list is no element"),
        pytest.param([["x"]], [[["x"]]], id="nor one level deeper"),
        pytest.param([1], [True], id="true is not 1 in lists"),
        pytest.param([True, "1"], 1, id="1 is neither true nor text in lists"),
        pytest.param([None], [], id="an empty list is not null in lists"),
        pytest.param(["x"], None, id="null is no alternative"),
        pytest.param(["x"], {"x": "x"}, id="an object is no alternative"),
        pytest.param({"a": 1}, {}, id="every key must be there"),
        pytest.param({"a": None}, {}, id="a missing key is not null"),
        pytest.param({"a": 1}, {"A": 1}, id="keys are compared as they are"),
        pytest.param({"a": 1}, [{"a": 1}], id="a list of objects is no object"),
        pytest.param({"a": {}}, {"a": []}, id="a list is no object"),
        pytest.param({"a": {}}, {"a": None}, id="null is no object"),
        pytest.param({"0": "x"}, ["x"], id="a list has no keys"),
        pytest.param({"a": {"b": 1}}, {"a": {"c": 1}, "b": 1}, id="keys count where they stand"),
        pytest.param([{"a": 1}, {"b": 2}], {"a": 2, "b": 1}, id="alternatives do not mix"),
        pytest.param(("x",), ["x"], id="what is no JSON is satisfied by nothing"),
    ],
)
def test_a_value_does_not_satisfy(constraint: Any, value: Any) -> None:
    assert not satisfies(value, constraint)


scalars = st.sampled_from(["x", "*", "1", "", 0, 1, 1.0, 0.5, True, False, None])
keys = st.sampled_from(["a", "b"])
json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=2), max_leaves=6
)


def satisfies_by_the_book(value: Any, constraint: Any) -> bool:
    """The rule as it is written, without sets and without a limit."""
    if isinstance(constraint, dict):
        return isinstance(value, dict) and all(
            key in value and satisfies_by_the_book(value[key], constraint[key]) for key in constraint
        )
    if isinstance(constraint, list):
        some = any(satisfies_by_the_book(value, one) for one in constraint)
        return some or (
            isinstance(value, list)
            and value != []
            and all(any(satisfies_by_the_book(element, one) for one in constraint) for element in value)
        )
    return (
        not isinstance(value, dict | list)
        and isinstance(value, bool) == isinstance(constraint, bool)
        and value == constraint
    )


@given(json, json)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_satisfying_is_the_rule_as_it_is_written(constraint: Any, value: Any) -> None:
    assert satisfies(value, constraint) is satisfies_by_the_book(value, constraint)


@given(json, json, st.integers(0, 2))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_is_so_for_lists_of_what_is_known_to_satisfy_too(constraint: Any, value: Any, more: int) -> None:
    alternatives = [constraint, value, "x"][: more + 1]
    assert satisfies([value, value], alternatives) is satisfies_by_the_book([value, value], alternatives)


def test_what_would_take_too_long_to_compare_does_not_satisfy() -> None:
    objects = [{"k": n} for n in range(100)]
    assert satisfies([{"k": 99}] * 20, objects)
    assert not satisfies([{"k": 99}] * 500, objects)
    assert satisfies(["x"] * 1000, [f"y{n}" for n in range(198)] + ["x"])


def test_variables_are_replaced_anywhere_in_the_text_and_never_in_keys() -> None:
    constraint = {
        "owner": "{{delegating_user.id}}",
        "path": ["/home/{{delegating_user.email}}/in", {"of": "{{delegating_user.role}}:{{delegating_user.id}}"}],
        "n": [1, True, None],
    }
    assert substituted(constraint, ALICE) == {
        "owner": "u1",
        "path": ["/home/alice@example.org/in", {"of": "owner:u1"}],
        "n": [1, True, None],
    }
    assert substituted({"{{delegating_user.id}}": 1}, ALICE) == {"{{delegating_user.id}}": 1}


def test_what_was_put_in_is_not_looked_at_again() -> None:
    mallory = {"id": "{{delegating_user.role}}", "email": "{{delegating_user.id}}", "role": "admin"}
    text = "{{delegating_user.id}} {{delegating_user.email}} {{delegating_user.role}}"
    assert substituted(text, mallory) == "{{delegating_user.role}} {{delegating_user.id}} admin"
    # Nor does what was put in become a variable together with the text around it.
    halves = {"id": "delegating_user.role}}", "email": "{{", "role": "admin"}
    assert substituted("{{delegating_user.email}}{{delegating_user.id}}", halves) == "{{delegating_user.role}}"


@pytest.mark.parametrize(
    ("template", "apart"),
    [
        ("plain", ("plain",)),
        ("{{delegating_user.id}}", ("u1",)),
        ("a{{delegating_user.id}}b{{delegating_user.id}}", ("au1bu1",)),
        ("{{delegating_user.email}}", ("", "email", "")),
        ("a{{delegating_user.id}}{{delegating_user.role}}b", ("au1", "role", "b")),
        ("{{delegating_user.email}}{{delegating_user.role}}", ("", "email", "", "role", "")),
    ],
)
def test_a_template_comes_apart_into_literals_and_variables(template: str, apart: tuple[str, ...]) -> None:
    assert pieces(template, "u1") == apart


def test_a_parsed_constraint_is_the_same_json() -> None:
    constraint = {
        "a": ["x", 1.0, 0.5, True, None, {"b": {}}, [["y"]]],
        "{single}": "{ and } and }} are only braces",
        "Größe": "{{delegating_user.id}}}",
    }
    assert parse_constraint(constraint, "c") == constraint
    assert plain(struct(parse_constraint(plain(struct(constraint)), "c"))) == constraint
    assert parse_constraint({}, "c") == {}


@pytest.mark.parametrize(
    ("constraint", "param"),
    [
        pytest.param({"a": []}, "c.a", id="an empty list"),
        pytest.param({"a": [["x"], []]}, "c.a[1]", id="an empty list in a list"),
        pytest.param({"a": ""}, "c.a", id="empty text"),
        pytest.param({"a": {"b": ["x", ""]}}, "c.a.b[1]", id="empty text deep inside"),
        pytest.param({"a": "x" * 256}, "c.a", id="long text"),
        pytest.param({"a": "x\ny"}, "c.a", id="a line break"),
        pytest.param({"a": "x\u0000"}, "c.a", id="U+0000"),
        pytest.param({"a": "x\u0085"}, "c.a", id="a control character beyond ASCII"),
        pytest.param({"": 1}, "c.", id="an empty key"),
        pytest.param({"k" * 256: 1}, "c." + "k" * 100, id="a long key"),
        pytest.param({"a\u0007b": 1}, "c.a\N{REPLACEMENT CHARACTER}b", id="a key with a control character"),
        pytest.param({"{{delegating_user.id}}": 1}, "c.{{delegating_user.id}}", id="a variable in a key"),
        pytest.param({"a": {"{{": 1}}, "c.a.{{", id="braces in a key"),
        pytest.param({"a": math.nan}, "c.a", id="NaN"),
        pytest.param({"a": [math.inf]}, "c.a[0]", id="Infinity"),
        pytest.param({"a": -math.inf}, "c.a", id="-Infinity"),
        pytest.param({"a": 2.0**53}, "c.a", id="a number that others are rounded to"),
        pytest.param({"a": -(2**53)}, "c.a", id="a negative number that others are rounded to"),
        pytest.param({"a": 10**400}, "c.a", id="a number beyond doubles"),
        pytest.param({"a": ("x",)}, "c.a", id="what is no JSON"),
    ],
)
def test_what_is_no_constraint_is_refused_by_its_place(constraint: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_constraint(constraint, "c")
    assert refused.value.param == param


@pytest.mark.parametrize(
    "template",
    [
        "{{delegating_user.name}}",
        "{{delegating_user}}",
        "{{delegating_user.ID}}",
        "{{ delegating_user.id }}",
        "{{delegating_user.id }}",
        "{{delegating_user.id}",
        "{{delegating_user.\u200bid}}",
        "{{delegating_user.id|upper}}",
        "{{agent.id}}",
        "{{}}",
        "{{",
        "x{{y",
        "{{{delegating_user.id}}}",
        "{{{{delegating_user.id}}}}",
        "{{delegating_user.{{delegating_user.id}}}}",
        "{{delegating_user.id}}{{other}}",
        "{{delegating_user.id}}{{",
        "{" * 254,
    ],
)
def test_what_only_looks_like_a_variable_is_refused(template: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_constraint({"a": ["fine", template]}, "c")
    assert refused.value.param == "c.a[1]"


def test_the_largest_numbers_and_the_longest_texts_are_taken() -> None:
    constraint = {"k" * 255: ["x" * 255, LARGEST_WHOLE, float(-LARGEST_WHOLE), 1e-300]}
    assert parse_constraint(constraint, "c") == constraint


def test_a_constraint_has_at_most_six_levels() -> None:
    assert DEEPEST == 6
    assert parse_constraint(nested(6), "c") == nested(6)
    assert parse_constraint({"k": [[[[["x"]]]]]}, "c")
    with pytest.raises(ValidationFailed) as refused:
        parse_constraint(nested(7), "c")
    assert refused.value.param == "c.k.k.k.k.k.k"
    with pytest.raises(ValidationFailed) as refused:
        parse_constraint({"k": [[[[[["x"]]]]]]}, "c")
    assert refused.value.param == "c.k[0][0][0][0][0]"


def test_depth_is_bounded_whatever_is_sent() -> None:
    value: Any = "x"
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValidationFailed):
        parse_constraint({"k": value}, "c")


def test_a_constraint_has_at_most_two_hundred_values() -> None:
    assert MOST_NODES == 200
    assert parse_constraint({"a": ["x"] * 199}, "c")
    assert parse_constraint({f"k{n}": n for n in range(200)}, "c")
    for constraint in (
        {"a": ["x"] * 200},
        {f"k{n}": n for n in range(201)},
        {"a": {"b": ["x"] * 150}, "c": ["x"] * 50},
    ):
        with pytest.raises(ValidationFailed) as refused:
            parse_constraint(constraint, "c")
        assert refused.value.param == "c"


def test_a_place_deep_below_long_keys_is_named_as_far_as_it_fits() -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_constraint({"a" * 255: {"b" * 255: {"c" * 255: [""]}}}, "c")
    assert refused.value.param == "c." + "a" * 100 + "." + "b" * 97 + "[0]"


def test_the_first_fault_by_name_is_told() -> None:
    for constraint in ({"b": [], "a": ""}, {"a": "", "b": []}):
        with pytest.raises(ValidationFailed) as refused:
            parse_constraint(constraint, "c")
        assert refused.value.param == "c.a"
