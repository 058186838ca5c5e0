"""Agents: what they are, what their settings may be, and what a change of them may say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.chassis.access import OrgId
from services.chassis.errors import ValidationFailed
from services.identity.domain.errors import InvalidScopeType
from services.identity.domain.grants import SCOPE_TYPES
from services.identity.domain.texts import check_printable, line, paragraphs, shown

_NAME = (2, 64)
_MOST_CAPABILITIES = 12
_LONGEST_CAPABILITY = 32
_LONGEST_DESCRIPTION = 2000
_MOST_HOURS = 720
_POLICIES = ("drain", "kill")


class Status(StrEnum):
    ACTIVE = "active"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Agent:
    org_id: OrgId
    id: str
    name: str
    """Unique among the organization's active agents, case-insensitively."""
    description: str | None
    capabilities: Sequence[str]
    default_expiry_hours: int
    default_revocation_policy: str
    """`drain` or `kill`."""
    allowed_scope_types: Sequence[str] | None
    """None: all of them; empty: none."""
    created_at: datetime
    archived_at: datetime | None = None

    @property
    def status(self) -> Status:
        return Status.ACTIVE if self.archived_at is None else Status.ARCHIVED

    def permits(self, scope_types: Collection[str]) -> bool:
        """Whether a credential of these types could be issued to it."""
        return self.allowed_scope_types is None or set(scope_types) <= set(self.allowed_scope_types)

    def changed_fields(self, before: Agent) -> list[str]:
        return [field for field in _READERS if getattr(self, field) != getattr(before, field)]


@dataclass(frozen=True, slots=True)
class WantedAgent:
    """What a new agent shall be: the settings of Agent."""

    name: str
    description: str | None
    capabilities: Sequence[str]
    default_expiry_hours: int
    default_revocation_policy: str
    allowed_scope_types: Sequence[str] | None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> WantedAgent:
        """From JSON values, one for every setting. Raises ValidationFailed or InvalidScopeType, naming the first that is beyond its limits."""
        return cls(**{field: read(settings[field]) for field, read in _READERS.items()})


@dataclass(frozen=True, slots=True)
class Selection:
    """Which agents a list shows. Raises ValidationFailed."""

    status: Status | None = Status.ACTIVE
    """None: both."""
    search: str = ""
    """Part of a name or the beginning of an id, in any case; no character means anything but itself."""
    page: int = 1
    """From 1."""
    per_page: int = 25

    def __post_init__(self) -> None:
        check_printable(self.search, "search")


@dataclass(frozen=True, slots=True)
class Counted:
    """An agent, and how many of its credentials are neither revoked nor expired."""

    agent: Agent
    active_credentials: int


def changes_of(patch: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of Agent that a JSON object changes: absent is untouched, null clears where there may be nothing.

    Raises ValidationFailed, or InvalidScopeType, naming the first field that is unknown or beyond its limits.
    """
    # The first by name: a Struct has no order, and the same request is always refused for the same field.
    unknown = min(patch.keys() - _READERS.keys(), default=None)
    if unknown is not None:
        raise ValidationFailed("An agent has no such field, or it cannot be changed.", param=shown(unknown))
    return {field: read(patch[field]) for field, read in _READERS.items() if field in patch}


def _name(value: Any) -> str:
    return line(value, "name", at_least=_NAME[0], at_most=_NAME[1])


def _description(value: Any) -> str | None:
    return None if value is None else paragraphs(value, "description", at_most=_LONGEST_DESCRIPTION)


def _capabilities(value: Any) -> list[str]:
    items = _list(value, "capabilities", "a list of tags")
    if len(items) > _MOST_CAPABILITIES:
        raise ValidationFailed(f"capabilities must be at most {_MOST_CAPABILITIES}.", param="capabilities")
    read: list[str] = []
    for place, item in enumerate(items):
        param = f"capabilities[{place}]"
        tag = line(item, param, at_least=1, at_most=_LONGEST_CAPABILITY)
        if tag in read:
            raise ValidationFailed("The capability is named twice.", param=param)
        read.append(tag)
    return read


def _default_expiry_hours(value: Any) -> int:
    # JSON through protobuf makes every number a float; a bool is an int to Python.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= _MOST_HOURS or value % 1:
        raise ValidationFailed(
            f"default_expiry_hours must be a whole number from 1 to {_MOST_HOURS}.", param="default_expiry_hours"
        )
    return int(value)


def _default_revocation_policy(value: Any) -> str:
    if value not in _POLICIES:
        raise ValidationFailed("default_revocation_policy must be drain or kill.", param="default_revocation_policy")
    return value


def _allowed_scope_types(value: Any) -> list[str] | None:
    if value is None:
        return None
    read: list[str] = []
    for place, item in enumerate(_list(value, "allowed_scope_types", "a list of scope types, or null for all")):
        param = f"allowed_scope_types[{place}]"
        if not isinstance(item, str):
            raise ValidationFailed("A scope type must be a string.", param=param)
        if item not in SCOPE_TYPES:
            raise InvalidScopeType(param=param)
        if item in read:
            raise ValidationFailed("The scope type is named twice.", param=param)
        read.append(item)
    return read


def _list(value: Any, param: str, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValidationFailed(f"{param} must be {what}.", param=param)
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": _name,
    "description": _description,
    "capabilities": _capabilities,
    "default_expiry_hours": _default_expiry_hours,
    "default_revocation_policy": _default_revocation_policy,
    "allowed_scope_types": _allowed_scope_types,
}
"""The settings: a JSON value → what is stored, or the refusal that names it."""
