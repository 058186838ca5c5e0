"""Actions: what an agent is about to do, and which of its grants allow it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

from services.chassis.errors import ValidationFailed
from services.identity.domain.constraints import satisfies, substituted
from services.identity.domain.fields import Fields
from services.identity.domain.grants import DataRead, DataWrite, Delegate, Escalate, Grant, ToolInvoke

DEEPEST = 32
MOST_NODES = 1000
"""Values in the arguments or filters of one action. Each is compared with up to 200 values of up to 20 grants while locks are held."""


@dataclass(frozen=True, slots=True)
class DelegatingUser:
    """The human at the root of the delegation, as they are now. Only the id never changes."""

    id: str
    email: str
    role: str

    @property
    def variables(self) -> Mapping[str, str]:
        return {"id": self.id, "email": self.email, "role": self.role}


@dataclass(frozen=True, slots=True)
class Read:
    """`filters` are the agent's own, any JSON object; they only ever narrow what the grant's filters leave."""

    type: ClassVar[str] = DataRead.type

    app_id: str | None = None
    entities: tuple[str, ...] | None = None
    filters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Write:
    type: ClassVar[str] = DataWrite.type

    app_id: str | None = None
    entities: tuple[str, ...] | None = None
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Invoke:
    """`arguments` may be any JSON object and is taken literally: nothing in it is a variable."""

    type: ClassVar[str] = ToolInvoke.type

    tool_id: str
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DelegateTo:
    type: ClassVar[str] = Delegate.type

    to_agent_id: str


@dataclass(frozen=True, slots=True)
class EscalateTo:
    type: ClassVar[str] = Escalate.type

    to_role: str | None = None
    channels: tuple[str, ...] | None = None


Action = Read | Write | Invoke | DelegateTo | EscalateTo


def parse_action(value: Mapping[str, Any]) -> Action:
    """An action from a JSON object. A field that is null counts as absent.

    Raises ValidationFailed that names the place (`action.type`, `action.entities[1]`): no type or an unknown one, an unknown field,
    a wrong JSON type, a limit.
    """
    named = value.get("type")
    if not isinstance(named, str) or named not in _PARSERS:
        raise ValidationFailed("There is no such type of action.", param="action.type")
    return _PARSERS[named](value)


def matching(grants: Sequence[Grant], action: Action, *, user: DelegatingUser, chain_depth: int) -> list[int]:
    """The indexes of all grants that allow the action, in their order; empty: it is refused.

    `chain_depth` is that of the credential that holds the grants: 0 when a human issued it. Rates are not looked at.
    """
    return [index for index, grant in enumerate(grants) if _matches(grant, action, user=user, chain_depth=chain_depth)]


def filters_of(grant: Grant, user: DelegatingUser) -> dict[str, Any] | None:
    """What every row must satisfy that is read under the grant, variables replaced. None: the grant says nothing of rows."""
    if not isinstance(grant, DataRead) or grant.filters is None:
        return None
    return substituted(grant.filters, user.variables)


def _matches(grant: Grant, action: Action, *, user: DelegatingUser, chain_depth: int) -> bool:
    match grant, action:
        case DataRead(), Read():
            return (
                _is(action.app_id, grant.app_id)
                and _within(action.entities, grant.entities)
                and _filters_match(action.filters or {}, filters_of(grant, user) or {})
            )
        case DataWrite(), Write():
            return (
                _is(action.app_id, grant.app_id)
                and _within(action.entities, grant.entities)
                and _within(action.fields, grant.fields)
            )
        case ToolInvoke(), Invoke():
            return action.tool_id == grant.tool_id and satisfies(
                action.arguments or {}, substituted(grant.constraints or {}, user.variables)
            )
        case Delegate(), DelegateTo():
            return action.to_agent_id == grant.to_agent_id and chain_depth + 1 <= grant.max_chain_depth
        case Escalate(), EscalateTo():
            return _is(action.to_role, grant.to_role) and _within(action.channels, grant.channels)
        case _:
            return False


def _is(named: str | None, granted: str | None) -> bool:
    return granted is None or named == granted


def _within(named: Collection[str] | None, granted: Collection[str] | None) -> bool:
    """An action that names nothing means everything, which only an unrestricted grant allows."""
    return granted is None or (bool(named) and set(named or ()) <= set(granted))


def _filters_match(named: Mapping[str, Any], granted: Mapping[str, Any]) -> bool:
    """What the action does not name is bound by the grant's filters, which the answer carries."""
    return satisfies(named, {key: wanted for key, wanted in granted.items() if key in named})


def _read(value: Mapping[str, Any]) -> Read:
    fields = Fields(value, "action", {"type", "app_id", "entities", "filters"})
    return Read(fields.text("app_id"), fields.names("entities"), _free(fields, "filters"))


def _write(value: Mapping[str, Any]) -> Write:
    fields = Fields(value, "action", {"type", "app_id", "entities", "fields"})
    return Write(fields.text("app_id"), fields.names("entities"), fields.names("fields"))


def _invoke(value: Mapping[str, Any]) -> Invoke:
    fields = Fields(value, "action", {"type", "tool_id", "arguments"})
    return Invoke(fields.required_text("tool_id"), _free(fields, "arguments"))


def _delegate_to(value: Mapping[str, Any]) -> DelegateTo:
    fields = Fields(value, "action", {"type", "to_agent_id"})
    return DelegateTo(fields.required_text("to_agent_id"))


def _escalate_to(value: Mapping[str, Any]) -> EscalateTo:
    fields = Fields(value, "action", {"type", "to_role", "channels"})
    return EscalateTo(fields.text("to_role"), fields.names("channels"))


def _free(fields: Fields, name: str) -> Mapping[str, Any] | None:
    """A JSON object of any shape, within what can be matched in bounded time."""
    value = fields.object(name)
    if value is None:
        return None
    level: list[Any] = [value]
    nodes = 0
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        nodes += len(level)
        if nodes > MOST_NODES:
            raise ValidationFailed(f"{name} must have at most {MOST_NODES} values.", param=fields.param(name))
        if any(isinstance(inner, float) and not isfinite(inner) for inner in level):
            raise ValidationFailed(f"{name} must have finite numbers.", param=fields.param(name))
        if not level:
            return value
    raise ValidationFailed(f"{name} must have at most {DEEPEST} levels.", param=fields.param(name))


def _inside(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], Action]] = {
    Read.type: _read,
    Write.type: _write,
    Invoke.type: _invoke,
    DelegateTo.type: _delegate_to,
    EscalateTo.type: _escalate_to,
}
