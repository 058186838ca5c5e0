"""No child is ever allowed an action that its parent is refused.

The grants, users and actions are drawn from few names and values, and the narrower ones out of the wider ones, so that more than half of the drawn
delegations are accepted, and more than half of the drawn actions allowed; the tests count that themselves.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
)
from services.identity.domain.constraints import satisfies, substituted
from services.identity.domain.containment import Containment, covering
from services.identity.domain.errors import ScopeExceedsParent
from services.identity.domain.grants import (
    SCOPE_TYPES,
    DataRead,
    DataWrite,
    Delegate,
    Escalate,
    Grant,
    ToolInvoke,
    parse_grants,
)
from services.identity.wire.values import plain, struct

EXAMPLES = 100
Draw = Callable[[st.SearchStrategy[Any]], Any]

# What a person may be called is also what stands in constraints, and the id itself looks like a variable at times.
IDS = ["u1", "x", "{{delegating_user.email}}", "{{delegating_user.id}}", "}}{{"]
EMAILS = ["x", "y", "u1", "x-u1", "{{delegating_user.role}}"]
ROLES = ["owner", "x", "{{delegating_user.id}}"]
TEXTS = [
    "x",
    "u1",
    "x-u1",
    "*",
    "1",
    "{{delegating_user.id}}",
    "x-{{delegating_user.id}}",
    "{{delegating_user.email}}",
    "x-{{delegating_user.email}}",
    "{{delegating_user.email}}{{delegating_user.id}}",
    "{{delegating_user.role}}",
]
SCALARS = [*TEXTS, 0, 1, 1.0, True, False, None]
KEYS = ["a", "b", "c"]
NAMES = ["n1", "n2", "n3", "*"]

values = st.recursive(
    st.sampled_from([*SCALARS, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)
single_values = st.sampled_from(SCALARS)
constraints = st.recursive(
    single_values,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from(KEYS), constraints, min_size=1, max_size=3)
maybe_objects = st.integers(0, 9).flatmap(lambda die: [st.none(), st.just({})][die] if die < 2 else objects)
user_ids = st.sampled_from(IDS)
some_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
maybe_names = st.none() | some_names
maybe_name = st.none() | st.sampled_from(NAMES)


def users(user_id: str) -> st.SearchStrategy[DelegatingUser]:
    return st.builds(DelegatingUser, st.just(user_id), st.sampled_from(EMAILS), st.sampled_from(ROLES))


TOOLS = st.sampled_from(["t1", "t2"])
AGENTS = st.sampled_from(["a1", "a2"])
BY_TYPE: Mapping[str, st.SearchStrategy[Grant]] = {
    DataRead.type: st.builds(DataRead, maybe_name, maybe_names, maybe_objects),
    DataWrite.type: st.builds(DataWrite, maybe_name, maybe_names, maybe_names),
    ToolInvoke.type: st.builds(ToolInvoke, TOOLS, st.none() | st.integers(1, 3), maybe_objects),
    Delegate.type: st.builds(Delegate, AGENTS, st.integers(1, 3)),
    Escalate.type: st.builds(Escalate, maybe_name, maybe_names),
}
grants = st.one_of(*BY_TYPE.values())


DICE = {sides: st.integers(1, sides) for sides in (3, 5, 15, 20)}


def seldom(draw: Draw, one_in: int) -> bool:
    return draw(DICE[one_in]) == one_in


def narrowed(draw: Draw, constraint: Any, *, strays: bool) -> Any:
    """A constraint contained in this one; with `strays`, now and then one that is not."""
    if strays and seldom(draw, 15):
        return draw(constraints)
    if strays and seldom(draw, 15):
        return [constraint]
    if strays and not isinstance(constraint, dict | list) and seldom(draw, 5):
        return draw(single_values)
    if isinstance(constraint, dict):
        kept = {
            key: narrowed(draw, value, strays=strays)
            for key, value in constraint.items()
            if not (strays and seldom(draw, 15))
        }
        return kept | {key: draw(constraints) for key in KEYS if key not in constraint and seldom(draw, 3)}
    if isinstance(constraint, list):
        chosen = draw(st.lists(st.sampled_from(constraint), min_size=1, max_size=3))
        narrower = [narrowed(draw, alternative, strays=strays) for alternative in chosen]
        return narrower[0] if seldom(draw, 3) else narrower
    return constraint


def hit(draw: Draw, constraint: Any, user: DelegatingUser) -> Any:
    """A value that satisfies the constraint, its variables replaced; now and then one that does not."""
    if seldom(draw, 20):
        return draw(values)
    if isinstance(constraint, dict):
        return hitting(draw, constraint, user)
    if isinstance(constraint, list):
        chosen = draw(st.lists(st.sampled_from(constraint), min_size=1, max_size=3))
        found = [hit(draw, alternative, user) for alternative in chosen]
        return found[0] if seldom(draw, 3) else found
    return substituted(constraint, user.variables)


def hitting(draw: Draw, constraint: Mapping[str, Any] | None, user: DelegatingUser) -> dict[str, Any]:
    found = {key: hit(draw, value, user) for key, value in (constraint or {}).items() if not seldom(draw, 20)}
    return found | {key: draw(values) for key in KEYS if key not in found and seldom(draw, 3)}


def _narrower_names(draw: Draw, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if names is None:
        return draw(maybe_names)
    if seldom(draw, 5):
        return draw(st.none() | some_names | some_names.map(lambda more: tuple(dict.fromkeys((*names, *more)))))
    return tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)))


def _narrower_name(draw: Draw, name: str | None) -> str | None:
    return draw(maybe_name) if name is None or seldom(draw, 5) else name


def delegated(draw: Draw, grant: Grant) -> Grant:
    """Mostly a grant that this one contains."""

    def constraint(held: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if held is None:
            return draw(maybe_objects)
        made = narrowed(draw, held, strays=True)
        return made if isinstance(made, dict) else None

    match grant:
        case DataRead():
            return DataRead(
                _narrower_name(draw, grant.app_id), _narrower_names(draw, grant.entities), constraint(grant.filters)
            )
        case DataWrite():
            return DataWrite(
                _narrower_name(draw, grant.app_id),
                _narrower_names(draw, grant.entities),
                _narrower_names(draw, grant.fields),
            )
        case ToolInvoke():
            rate = draw(st.none() | st.integers(1, 3)) if grant.rate_limit is None else draw(st.integers(1, 3))
            tool_id = draw(TOOLS) if seldom(draw, 15) else grant.tool_id
            return ToolInvoke(tool_id, rate, constraint(grant.constraints))
        case Delegate():
            to_agent_id = draw(AGENTS) if seldom(draw, 5) else grant.to_agent_id
            return Delegate(to_agent_id, draw(st.integers(1, 3)))
        case Escalate():
            return Escalate(_narrower_name(draw, grant.to_role), _narrower_names(draw, grant.channels))


def attempt(draw: Draw, grant: Grant, user: DelegatingUser) -> Action:
    """Mostly an action that this grant allows."""

    match grant:
        case DataRead():
            filters = {key: value for key, value in hitting(draw, grant.filters, user).items() if not seldom(draw, 3)}
            return Read(
                _narrower_name(draw, grant.app_id),
                _narrower_names(draw, grant.entities),
                draw(st.sampled_from([filters, None])),
            )
        case DataWrite():
            return Write(
                _narrower_name(draw, grant.app_id),
                _narrower_names(draw, grant.entities),
                _narrower_names(draw, grant.fields),
            )
        case ToolInvoke():
            return Invoke(grant.tool_id, hitting(draw, grant.constraints, user))
        case Delegate():
            return DelegateTo(grant.to_agent_id)
        case Escalate():
            return EscalateTo(_narrower_name(draw, grant.to_role), _narrower_names(draw, grant.channels))


@st.composite
def delegations(draw: Draw, scope_type: str) -> tuple[list[Grant], list[Grant]]:
    """What a parent holds, and what a child asks for: grants of the type, and now and then of another."""
    some = st.lists(BY_TYPE[scope_type], min_size=1, max_size=2)
    parent = draw(some) + ([draw(grants)] if seldom(draw, 3) else [])
    if seldom(draw, 5):
        return parent, draw(some)
    child = [delegated(draw, grant) for grant in draw(st.lists(st.sampled_from(parent), min_size=1, max_size=2))]
    # The wrong way round, to see the wider ones refused.
    return (child, parent) if seldom(draw, 5) else (parent, child)


def times(examples: int) -> settings:
    # A busy machine is no fault of the strategies.
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def covered(parent: list[Grant], child: list[Grant], user_id: str) -> list[int] | None:
    try:
        return covering(parent, child, user_id=user_id)
    except ScopeExceedsParent:
        return None


def contains(parent: Any, child: Any, user_id: str = "u1") -> bool:
    return Containment(user_id).of_constraints(parent, child)


def no_child_goes_beyond_its_parent(scope_type: str, examples: int) -> Counter[str]:
    """Counts what was drawn, so that the proof is known to be of something."""
    seen: Counter[str] = Counter()

    @times(examples)
    @given(delegations(scope_type), user_ids, st.sampled_from([0, 0, 1, 2]), st.data())
    def holds(delegation: tuple[list[Grant], list[Grant]], user_id: str, depth: int, data: st.DataObject) -> None:
        parent, child = delegation
        covers = covered(parent, child, user_id)
        seen["delegations"] += 1
        if covers is None:
            return
        seen["accepted"] += 1
        for grant, cover in zip(child, covers, strict=True):
            check_bounds(parent[cover], grant)
        # Whoever the user has become since.
        user = data.draw(users(user_id))
        for grant in child * 2:
            action = attempt(data.draw, grant, user)
            allowing = matching(child, action, user=user, chain_depth=depth + 1)
            allowing_the_parent = matching(parent, action, user=user, chain_depth=depth)
            seen["actions"] += 1
            seen["allowed"] += bool(allowing)
            for index in allowing:
                seen["constrained"] += bool(constraint_of(parent[covers[index]]))
                assert covers[index] in allowing_the_parent

    holds()
    return seen


def check_bounds(parent: Grant, child: Grant) -> None:
    """What an action alone does not show."""
    if isinstance(parent, ToolInvoke) and parent.rate_limit is not None:
        assert isinstance(child, ToolInvoke)
        assert child.rate_limit is not None
        assert child.rate_limit <= parent.rate_limit
    if isinstance(parent, Delegate):
        assert isinstance(child, Delegate)
        assert child.max_chain_depth <= parent.max_chain_depth


def constraint_of(grant: Grant) -> Mapping[str, Any] | None:
    match grant:
        case DataRead():
            return grant.filters
        case ToolInvoke():
            return grant.constraints
        case _:
            return None


# Far below what is usual, so that no unlucky draw fails it: half to nine tenths of the delegations are accepted, three quarters of the actions
# allowed (of delegating, which depends on the depth, a third), and half of those by a grant with constraints where the type has them.
def check_that_much_was_drawn(scope_type: str, seen: Counter[str]) -> None:
    assert seen["delegations"] / 10 < seen["accepted"] < seen["delegations"]
    assert seen["allowed"] > seen["actions"] / 20
    if scope_type in (DataRead.type, ToolInvoke.type):
        assert seen["constrained"] > 0


@pytest.mark.parametrize("scope_type", BY_TYPE)
def test_no_child_is_allowed_an_action_that_its_parent_is_refused(scope_type: str) -> None:
    check_that_much_was_drawn(scope_type, no_child_goes_beyond_its_parent(scope_type, EXAMPLES))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scope_type", BY_TYPE)
def test_no_child_is_allowed_an_action_that_its_parent_is_refused_in_many_more_cases(scope_type: str) -> None:
    check_that_much_was_drawn(scope_type, no_child_goes_beyond_its_parent(scope_type, 20 * EXAMPLES))


def test_every_type_is_drawn() -> None:
    assert BY_TYPE.keys() == SCOPE_TYPES


def no_row_is_shown_to_a_child_alone(examples: int) -> Counter[str]:
    seen: Counter[str] = Counter()

    @times(examples)
    @given(objects, user_ids, st.data())
    def holds(filters: dict[str, Any], user_id: str, data: st.DataObject) -> None:
        parent = DataRead(filters=filters)
        narrower = narrowed(data.draw, filters, strays=True)
        child = DataRead(filters=narrower if isinstance(narrower, dict) else None)
        seen["delegations"] += 1
        if covered([parent], [child], user_id) is None:
            return
        seen["accepted"] += 1
        user = data.draw(users(user_id))
        for _ in range(3):
            row = hitting(data.draw, child.filters, user)
            seen["rows"] += 1
            if satisfies(row, filters_of(child, user) or {}):
                seen["shown"] += 1
                assert satisfies(row, filters_of(parent, user) or {})

    holds()
    return seen


def check_that_many_rows_were_shown(seen: Counter[str]) -> None:
    assert seen["delegations"] / 10 < seen["accepted"] < seen["delegations"]
    assert seen["shown"] > seen["rows"] / 10


def test_every_row_that_satisfies_the_filters_of_a_child_satisfies_those_of_its_parent() -> None:
    check_that_many_rows_were_shown(no_row_is_shown_to_a_child_alone(EXAMPLES))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_row_that_satisfies_the_filters_of_a_child_satisfies_those_of_its_parent_in_many_more_cases() -> None:
    check_that_many_rows_were_shown(no_row_is_shown_to_a_child_alone(20 * EXAMPLES))


@given(constraints, user_ids, st.data())
@times(150)
def test_what_only_leaves_out_alternatives_and_adds_keys_is_contained(
    wider: Any, user_id: str, data: st.DataObject
) -> None:
    assert contains(wider, narrowed(data.draw, wider, strays=False), user_id)


@given(grants)
@times(100)
def test_the_grants_drawn_here_are_what_a_caller_may_send(grant: Grant) -> None:
    drawn = {field.name: getattr(grant, field.name) for field in fields(grant)}
    sent = {name: list(value) if isinstance(value, tuple) else value for name, value in drawn.items()}
    received = plain(struct({"type": grant.type} | {name: value for name, value in sent.items() if value is not None}))
    assert parse_grants([received]) == (grant,)


@given(grants, user_ids)
@times(100)
def test_every_grant_contains_itself(grant: Grant, user_id: str) -> None:
    assert covering([grant], [grant], user_id=user_id) == [0]


def test_a_grant_that_is_contained_in_a_contained_one_is_contained() -> None:
    seen: Counter[str] = Counter()

    @times(150)
    @given(grants, user_ids, st.data())
    def holds(first: Grant, user_id: str, data: st.DataObject) -> None:
        second = delegated(data.draw, first)
        third = delegated(data.draw, second)
        seen["chains"] += 1
        if covered([first], [second], user_id) and covered([second], [third], user_id):
            seen["accepted"] += 1
            assert covered([first], [third], user_id) == [0]

    holds()
    assert seen["chains"] / 10 < seen["accepted"] < seen["chains"]


def contains_by_the_book(parent: Any, child: Any, user_id: str) -> bool:
    """The rule as it is written, without sets and without a limit."""
    if isinstance(parent, dict):
        return isinstance(child, dict) and all(
            key in child and contains_by_the_book(parent[key], child[key], user_id) for key in parent
        )
    if isinstance(parent, list):
        inner = child if isinstance(child, list) else [child]
        return all(any(contains_by_the_book(outer, one, user_id) for outer in parent) for one in inner)
    if isinstance(child, dict | list):
        return False
    # Marked before anything is put in, so that an id cannot be taken for a mark.
    known = [
        text.replace("{{delegating_user.email}}", "\0").replace("{{delegating_user.role}}", "\1")
        if isinstance(text, str)
        else text
        for text in (parent, child)
    ]
    parent, child = (
        text.replace("{{delegating_user.id}}", user_id) if isinstance(text, str) else text for text in known
    )
    return isinstance(parent, bool) == isinstance(child, bool) and parent == child


@pytest.mark.parametrize("user_id", IDS)
def test_single_values_contain_those_alone_that_are_the_same_for_whomever_the_user_becomes(user_id: str) -> None:
    known = [DelegatingUser(user_id, email, role) for email in EMAILS for role in ROLES]
    for wider, narrower in product(SCALARS, repeat=2):
        assert contains(wider, narrower, user_id) is contains_by_the_book(wider, narrower, user_id)
        assert contains([wider], [narrower], user_id) is contains(wider, narrower, user_id)
        if contains(wider, narrower, user_id):
            for user in known:
                assert satisfies(substituted(narrower, user.variables), substituted(wider, user.variables))


@given(constraints, constraints, user_ids, st.data())
@times(200)
def test_containment_is_the_rule_as_it_is_written(wider: Any, other: Any, user_id: str, data: st.DataObject) -> None:
    narrower = other if seldom(data.draw, 3) else narrowed(data.draw, wider, strays=True)
    assert contains(wider, narrower, user_id) is contains_by_the_book(wider, narrower, user_id)


def tool(**more: Any) -> dict[str, Any]:
    return {"type": "external.tool.invoke", "tool_id": "t", **more}


def read(**more: Any) -> dict[str, Any]:
    return {"type": "hasp.data.read", **more}


def write(**more: Any) -> dict[str, Any]:
    return {"type": "hasp.data.write", **more}


def delegate(to_agent_id: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "agent.delegate", "to_agent_id": to_agent_id, **more}


def escalate(**more: Any) -> dict[str, Any]:
    return {"type": "human.escalate", **more}


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (read(), read(app_id="ehr", entities=["patient"], filters={"ward": "A"})),
        (read(app_id="ehr"), read(app_id="ehr")),
        (read(entities=["patient", "visit"]), read(entities=["visit"])),
        (read(filters={"ward": ["A", "B"]}), read(filters={"ward": "A"})),
        (read(filters={"ward": ["A", "B"]}), read(filters={"ward": ["B"], "open": True})),
        (read(filters={}), read()),
        (write(), write(fields=["note"])),
        (write(entities=["visit"], fields=["note", "plan"]), write(entities=["visit"], fields=["plan"])),
        (tool(), tool(rate_limit=5, constraints={"room": 1})),
        (tool(rate_limit=5), tool(rate_limit=5)),
        (tool(rate_limit=5), tool(rate_limit=4)),
        (tool(constraints={"to": {"ward": "A"}}), tool(constraints={"to": {"ward": "A", "bed": 3}, "urgent": True})),
        (delegate(max_chain_depth=3), delegate(max_chain_depth=2)),
        (escalate(), escalate(to_role="nurse", channels=["pager"])),
        (escalate(channels=["pager", "phone"]), escalate(channels=["phone"])),
    ],
)
def test_a_narrower_grant_is_contained(parent: dict[str, Any], child: dict[str, Any]) -> None:
    assert covering(parse_grants([parent]), parse_grants([child]), user_id="u1") == [0]


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (read(), write()),
        (read(app_id="ehr"), read()),
        (read(app_id="ehr"), read(app_id="EHR")),
        (read(entities=["visit"]), read()),
        (read(entities=["visit"]), read(entities=["visit", "patient"])),
        (read(entities=["*"]), read(entities=["visit"])),
        (read(filters={"ward": "A"}), read()),
        (read(filters={"ward": "A"}), read(filters={"bed": 1})),
        (read(filters={"ward": "A"}), read(filters={"ward": "B"})),
        (read(filters={"ward": "A"}), read(filters={"ward": ["A"]})),
        (read(filters={"ward": ["A", "B"]}), read(filters={"ward": ["A", "C"]})),
        (read(filters={"ward": {}}), read(filters={"ward": "A"})),
        (write(fields=["note"]), write()),
        (write(entities=["visit"]), write(entities=["patient"])),
        (tool(), {**tool(), "tool_id": "T"}),
        (tool(rate_limit=5), tool()),
        (tool(rate_limit=5), tool(rate_limit=6)),
        (tool(constraints={"room": 1}), tool()),
        (tool(constraints={"to": {"ward": "A"}}), tool(constraints={"to": {"bed": 3}})),
        (delegate("a"), delegate("b")),
        (delegate("a"), delegate("a", max_chain_depth=2)),
        (escalate(to_role="nurse"), escalate()),
        (escalate(channels=["pager"]), escalate(channels=["phone"])),
    ],
)
def test_a_wider_grant_is_refused_by_its_place(parent: dict[str, Any], child: dict[str, Any]) -> None:
    with pytest.raises(ScopeExceedsParent) as refused:
        covering(parse_grants([parent]), parse_grants([parent, child]), user_id="u1")
    assert refused.value.param == "granted_scopes[1]"


ROLE = "{{delegating_user.role}}"
PARENT = {
    "read": read(app_id="ehr", entities=["visit"], filters={"ward": "A", "owner": "{{delegating_user.id}}"}),
    "tool": tool(rate_limit=5, constraints={"to": ["x", 1], "as": {"role": ROLE}}),
}


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        pytest.param("read", {"filters": None}, id="null for what was restricted"),
        pytest.param("read", {"filters": {}}, id="an empty object for what was restricted"),
        pytest.param("read", {"entities": None}, id="null for a list"),
        pytest.param("read", {"app_id": None}, id="null for a name"),
        pytest.param("read", {"filters": {"ward": {}, "owner": "u1"}}, id="an object that says nothing"),
        pytest.param("read", {"filters": {"ward": ["A"], "owner": "u1"}}, id="a list where one was given"),
        pytest.param("read", {"filters": {"ward": None, "owner": "u1"}}, id="null for a value"),
        pytest.param("read", {"filters": {"WARD": "A", "owner": "u1"}}, id="another case of a key"),
        pytest.param("read", {"filters": {"ward": "\uff21", "owner": "u1"}}, id="a letter normalized to the same"),
        pytest.param("read", {"filters": {"w\u0430rd": "A", "owner": "u1"}}, id="a key that looks alike"),
        pytest.param("read", {"filters": {"ward": "A\u200b", "owner": "u1"}}, id="a character that is not seen"),
        pytest.param("read", {"filters": {"ward": "A ", "owner": "u1"}}, id="a blank at the end"),
        pytest.param("read", {"filters": {"ward": "A", "owner": "{{delegating_user.email}}"}}, id="another variable"),
        pytest.param("read", {"filters": {"ward": "A", "owner": f"u1{ROLE}"}}, id="a variable glued on"),
        pytest.param("read", {"filters": {"ward": "A", "owner": ["u1", "u2"]}}, id="one alternative too many"),
        pytest.param("tool", {"rate_limit": None}, id="null for the rate"),
        pytest.param("tool", {"constraints": {"to": True, "as": {"role": ROLE}}}, id="true for 1"),
        pytest.param("tool", {"constraints": {"to": "1", "as": {"role": ROLE}}}, id="text for 1"),
        pytest.param("tool", {"constraints": {"to": [["x"]], "as": {"role": ROLE}}}, id="a list in a list"),
        pytest.param("tool", {"constraints": {"to": ["x", 1, 2], "as": {"role": ROLE}}}, id="one behind two good ones"),
        pytest.param("tool", {"constraints": {"to": "x", "as": {"role": "owner"}}}, id="the role of today"),
        pytest.param("tool", {"constraints": {"to": "x", "as": {}}}, id="a missing key inside"),
        pytest.param("tool", {"constraints": {"to": "x", "as": {"as": {"role": ROLE}}}}, id="a key one level deeper"),
        pytest.param("tool", {"constraints": {"to": "x", "as": [{"role": ROLE}]}}, id="a list around an object"),
        pytest.param("tool", {"constraints": {"to": "x", "as.role": ROLE}}, id="a path for a key"),
    ],
)
def test_there_is_no_way_around_what_a_parent_is_held_to(held: str, asked: dict[str, Any]) -> None:
    parent = parse_grants([plain(struct(PARENT[held]))])
    with pytest.raises(ScopeExceedsParent):
        covering(parent, parse_grants([plain(struct(PARENT[held] | asked))]), user_id="u1")


def test_a_credential_without_grants_contains_none() -> None:
    with pytest.raises(ScopeExceedsParent):
        covering([], parse_grants([escalate()]), user_id="u1")
    assert covering([], [], user_id="u1") == []


def test_two_grants_do_not_add_up() -> None:
    parent = parse_grants([read(entities=["visit"]), read(entities=["patient"])])
    assert covered([*parent], [*parse_grants([read(entities=["visit", "patient"])])], "u1") is None
    assert covered([*parent], [*parse_grants([read(entities=["patient"]), read(entities=["visit"])])], "u1") == [1, 0]


def test_a_grant_without_a_rate_covers_before_one_with_a_rate() -> None:
    parent = parse_grants([tool(rate_limit=5), tool(rate_limit=9), tool(constraints={"room": 1}), tool()])
    child = parse_grants([tool(), tool(rate_limit=3), tool(constraints={"room": 1}), tool(constraints={"room": 2})])
    assert covering(parent, child, user_id="u1") == [3, 3, 2, 3]
    assert covering(parent[:2], child[1:2], user_id="u1") == [0]


@pytest.mark.parametrize(
    ("parent", "child", "contained"),
    [
        ("{{delegating_user.id}}", "u1", True),
        ("u1", "{{delegating_user.id}}", True),
        ("of-{{delegating_user.id}}!", "of-u1!", True),
        ("{{delegating_user.id}}", "u2", False),
        ("{{delegating_user.email}}", "{{delegating_user.email}}", True),
        ("{{delegating_user.email}}", "u1@example.org", False),
        ("u1@example.org", "{{delegating_user.email}}", False),
        ("{{delegating_user.email}}", "{{delegating_user.role}}", False),
        ("{{delegating_user.role}}", ["owner"], False),
        (["{{delegating_user.role}}", "owner"], ["owner"], True),
        ("{{delegating_user.id}}-{{delegating_user.role}}", "u1-{{delegating_user.role}}", True),
        (
            "{{delegating_user.role}}{{delegating_user.email}}",
            "{{delegating_user.email}}{{delegating_user.role}}",
            False,
        ),
    ],
)
def test_the_id_is_known_and_the_address_and_the_role_may_change(parent: Any, child: Any, contained: bool) -> None:
    assert contains({"of": parent}, {"of": child}) is contained


@pytest.mark.parametrize(
    ("user_id", "parent", "child"),
    [
        ("{{delegating_user.email}}", "{{delegating_user.email}}", "{{delegating_user.id}}"),
        ("{{delegating_user.email}}", "{{delegating_user.id}}", "{{delegating_user.email}}"),
        ("email", "{{delegating_user.email}}", "{{delegating_user.id}}"),
        ("a", "a{{delegating_user.role}}", "{{delegating_user.id}}"),
        ("}}{{", "{{delegating_user.email}}{{delegating_user.role}}", "{{delegating_user.email{{delegating_user.id}}"),
    ],
)
def test_an_id_that_looks_like_a_variable_is_none(user_id: str, parent: str, child: str) -> None:
    assert not contains(parent, child, user_id)


@pytest.mark.parametrize(
    ("parent", "child", "contained"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, 1.0, False),
        (None, None, True),
        (None, False, False),
        (1, "1", False),
        (["x"], "x", True),
        ("x", ["x"], False),
        (["x", "x"], ["x", "x", "x"], True),
        ([["x"]], "x", True),
        ([["x"]], ["x"], True),
        (["x"], [["x"]], False),
        ([["x", "y"]], [["y"]], True),
        ({}, {}, True),
        ({}, None, False),
        ([{}], {"a": 1}, True),
        ([{"a": 1}, {"b": 1}], [{"a": 1, "c": 2}, {"b": 1}], True),
        ([{"a": 1}, {"b": 1}], [{"a": 1}, {}], False),
        ("é", "e\u0301", False),
        ("a", "\u0430", False),
        ("*", "x", False),
        ("x", "X", False),
    ],
)
def test_values_are_compared_as_json_and_text_by_code_point(parent: Any, child: Any, contained: bool) -> None:
    assert contains(parent, child) is contained


def test_what_would_take_too_long_to_compare_is_refused() -> None:
    def grant_of(alternatives: list[Any]) -> dict[str, Any]:
        return tool(constraints={"to": alternatives})

    parent = parse_grants([grant_of([{"k": n} for n in range(99)])] * 20)
    assert covering(parent, parse_grants([grant_of([{"k": 98, "more": True}])] * 20), user_id="u1") == [0] * 20
    with pytest.raises(ScopeExceedsParent):
        covering(parent, parse_grants([grant_of([{"k": 98, "l": n} for n in range(66)])]), user_id="u1")


def test_the_longest_lists_of_plain_values_are_compared() -> None:
    grant = tool(constraints={"to": [f"{{{{delegating_user.role}}}}-{n}" for n in range(199)]})
    assert covering(parse_grants([grant] * 20), parse_grants([grant] * 20), user_id="u1") == [0] * 20
