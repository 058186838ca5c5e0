"""Scope grants: what a credential may do, as typed objects (RFC 9396).

An action is allowed if any grant of the credential matches it, and a grant matches if all that it says holds (actions.py). What a grant leaves
out, it does not restrict. A delegated credential gets no grant that goes beyond its parent's (containment.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from services.chassis.errors import ValidationFailed
from services.identity.domain.constraints import parse_constraint
from services.identity.domain.errors import InvalidScopeType
from services.identity.domain.fields import Fields

MOST_PER_HOUR = 1_000_000
LONGEST_CHAIN = 3


@dataclass(frozen=True, slots=True)
class DataRead:
    """May read rows of `entities` in `app_id` that satisfy `filters`."""

    type: ClassVar[str] = "hasp.data.read"

    app_id: str | None = None
    entities: tuple[str, ...] | None = None
    filters: Mapping[str, Any] | None = None
    """A constraint, its variables not yet replaced."""


@dataclass(frozen=True, slots=True)
class DataWrite:
    """May write `fields` of `entities` in `app_id`."""

    type: ClassVar[str] = "hasp.data.write"

    app_id: str | None = None
    entities: tuple[str, ...] | None = None
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ToolInvoke:
    """May call one tool, `rate_limit` times in any hour, with arguments that satisfy `constraints`."""

    type: ClassVar[str] = "external.tool.invoke"

    tool_id: str
    rate_limit: int | None = None
    constraints: Mapping[str, Any] | None = None
    """A constraint, its variables not yet replaced."""


@dataclass(frozen=True, slots=True)
class Delegate:
    """May issue credentials to one agent, as long as they stand at most `max_chain_depth` delegations below the human."""

    type: ClassVar[str] = "agent.delegate"

    to_agent_id: str
    max_chain_depth: int = 1


@dataclass(frozen=True, slots=True)
class Escalate:
    """May hand over to people of a role, by some of the channels."""

    type: ClassVar[str] = "human.escalate"

    to_role: str | None = None
    channels: tuple[str, ...] | None = None


Grant = DataRead | DataWrite | ToolInvoke | Delegate | Escalate


def parse_grants(objects: Sequence[Mapping[str, Any]]) -> tuple[Grant, ...]:
    """Grants from JSON objects, in their order.

    A field that is null counts as absent, a number may be a float that is whole. Raises InvalidScopeType (`granted_scopes[2].type`) for a type
    that does not exist, and ValidationFailed that names the place for all else: no type, an unknown field, a wrong JSON type, a limit.
    """
    return tuple(_parse(value, f"granted_scopes[{index}]") for index, value in enumerate(objects))


def tool_ids(grants: Iterable[Grant]) -> frozenset[str]:
    """The tools that some grant names. Whether a call is allowed depends on its arguments besides."""
    return frozenset(grant.tool_id for grant in grants if isinstance(grant, ToolInvoke))


def _parse(value: Mapping[str, Any], path: str) -> Grant:
    named = value.get("type")
    if not isinstance(named, str):
        raise ValidationFailed("A grant has a type.", param=f"{path}.type")
    if named not in _PARSERS:
        raise InvalidScopeType(param=f"{path}.type")
    return _PARSERS[named](value, path)


def _data_read(value: Mapping[str, Any], path: str) -> DataRead:
    fields = Fields(value, path, {"type", "app_id", "entities", "filters"})
    return DataRead(fields.text("app_id"), fields.names("entities"), _constraint(fields, "filters"))


def _data_write(value: Mapping[str, Any], path: str) -> DataWrite:
    fields = Fields(value, path, {"type", "app_id", "entities", "fields"})
    return DataWrite(fields.text("app_id"), fields.names("entities"), fields.names("fields"))


def _tool_invoke(value: Mapping[str, Any], path: str) -> ToolInvoke:
    fields = Fields(value, path, {"type", "tool_id", "rate_limit", "constraints"})
    return ToolInvoke(
        fields.required_text("tool_id"),
        fields.whole_number("rate_limit", at_most=MOST_PER_HOUR),
        _constraint(fields, "constraints"),
    )


def _delegate(value: Mapping[str, Any], path: str) -> Delegate:
    fields = Fields(value, path, {"type", "to_agent_id", "max_chain_depth"})
    return Delegate(
        fields.required_text("to_agent_id"), fields.whole_number("max_chain_depth", at_most=LONGEST_CHAIN) or 1
    )


def _escalate(value: Mapping[str, Any], path: str) -> Escalate:
    fields = Fields(value, path, {"type", "to_role", "channels"})
    return Escalate(fields.text("to_role"), fields.names("channels"))


def _constraint(fields: Fields, name: str) -> dict[str, Any] | None:
    value = fields.object(name)
    return None if value is None else parse_constraint(value, fields.param(name))


_PARSERS: Mapping[str, Callable[[Mapping[str, Any], str], Grant]] = {
    DataRead.type: _data_read,
    DataWrite.type: _data_write,
    ToolInvoke.type: _tool_invoke,
    Delegate.type: _delegate,
    Escalate.type: _escalate,
}
SCOPE_TYPES = frozenset(_PARSERS)
