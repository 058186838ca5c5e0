"""The catalogue of events against what the sources of all services record.

An action that nobody can subscribe to is a mistake, and so is a name that never comes.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.compliance.domain.event_names import AUDITED, PUBLISHED, SUBSCRIBABLE, TEST, group_of
from services.inference.domain.record import Status

SERVICES = Path(__file__).parents[2] / "services"
# An action of which the source says only how it begins.
COMPOSED = {"inference.": {str(status) for status in Status} - {Status.DISPATCHED}}


@dataclass
class Found:
    """Actions, and where the source says something that this test does not understand."""

    actions: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)


def told(value: ast.expr) -> set[str] | None:
    """What an expression for an action can be; None where that cannot be read from it."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return {value.value}
    if isinstance(value, ast.IfExp):
        either, other = told(value.body), told(value.orelse)
        return None if either is None or other is None else either | other
    if isinstance(value, ast.JoinedStr) and isinstance(value.values[0], ast.Constant):
        prefix = str(value.values[0].value)
        return {prefix + rest for rest in COMPOSED[prefix]}
    return None


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def wrappers(tree: ast.AST) -> dict[str, int]:
    """Functions of a module that take an action and record it: name, and the place of `action` among a caller's arguments."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
            if "action" in names and any(name in {"record", "build"} for name, _ in calls(node)):
                found[node.name] = names.index("action")
    return found


def actions_of(path: Path, found: Found) -> None:
    tree = ast.parse(path.read_text())
    own = wrappers(tree)
    for name, call in calls(tree):
        place = own.get(name, 0 if name == "Effect" else None)
        value = next((keyword.value for keyword in call.keywords if keyword.arg == "action"), None)
        if place is not None and value is None:
            value = call.args[place]
        elif name not in {"record", "build", "Effect", *own}:
            continue
        if value is None or (isinstance(value, ast.Name) and value.id == "action"):
            continue  # handed on by a wrapper
        actions = told(value)
        if actions is None:
            found.unread.append(f"{path.name}:{value.lineno}")
        else:
            found.actions |= actions


@pytest.fixture(scope="module")
def found() -> Found:
    found = Found()
    for path in sorted(SERVICES.rglob("*.py")):
        if "migrations" not in path.parts and path != SERVICES / "chassis" / "audit.py":
            actions_of(path, found)
    return found


def test_every_action_that_is_recorded_can_be_subscribed_to(found: Found) -> None:
    assert found.unread == []
    assert found.actions - AUDITED == set()


def test_every_name_is_recorded_somewhere(found: Found) -> None:
    assert AUDITED - found.actions == set()


def test_what_is_published_is_no_action(found: Found) -> None:
    assert not PUBLISHED & found.actions
    assert not {group_of(name) for name in PUBLISHED} & {group_of(name) for name in AUDITED}


def test_a_test_event_cannot_be_subscribed_to() -> None:
    assert TEST not in SUBSCRIBABLE
