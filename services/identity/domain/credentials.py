"""Agent credentials: what they are, and what a new one shall be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.chassis.access import OrgId
from services.chassis.errors import ValidationFailed
from services.chassis.timestamps import parse_iso
from services.identity.domain.agents import Agent
from services.identity.domain.errors import ExpiryExceedsParent, ExpiryInPast, InvalidScopeType

MAX_CHAIN_DEPTH = 3
"""Delegations between the human and the last credential of a chain."""
DEFAULT_CONCURRENCY = 10
LONGEST_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential without its secret."""

    org_id: OrgId
    id: str
    agent_id: str
    name: str
    description: str | None
    prefix: str
    last_four: str
    granted_scopes: Sequence[Mapping[str, Any]]
    """RFC 9396 objects, as they were given."""
    scope_types: Sequence[str]
    tool_ids: Sequence[str]
    covered_by: Sequence[int] | None
    """For each grant, which of the parent's grants contains it; None without a parent."""
    delegating_user_id: str
    parent_id: str | None
    delegation_path: Sequence[str]
    """The human's id, then credentials from the root to this one."""
    chain_depth: int
    expires_at: datetime
    revocation_policy: str
    max_concurrent_invocations: int
    test_mode: bool
    created_at: datetime
    revoked_at: datetime | None = None
    revoked_with: str | None = None
    revocation_reason: str | None = None
    last_used_at: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at

    def status(self, now: datetime) -> str:
        """`revoked`, `expired` or `active`. What was revoked stays so after its expiry."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if now < self.expires_at else "expired"


@dataclass(frozen=True, slots=True)
class WantedCredential:
    """What a new credential shall be. None leaves the choice to the agent's defaults, or to the delegating credential."""

    name: str
    description: str | None
    granted_scopes: Sequence[Mapping[str, Any]]
    expires_at: datetime | None
    revocation_policy: str | None
    max_concurrent_invocations: int | None
    test_mode: bool | None


def expiry_of(text: str | None, now: datetime) -> datetime | None:
    """None for the agent's default. Raises ExpiryInPast, and ValidationFailed for what is no moment or more than 30 days ahead."""
    if text is None:
        return None
    try:
        expires_at = parse_iso(text)
    except ValueError:
        raise ValidationFailed("expires_at is not ISO 8601 with an offset.", param="expires_at") from None
    if expires_at <= now:
        raise ExpiryInPast
    if expires_at > now + LONGEST_LIFE:
        raise ValidationFailed("expires_at is more than 30 days ahead.", param="expires_at")
    return expires_at


def lifetime(wanted: datetime | None, agent: Agent, parent: Credential | None, now: datetime) -> datetime:
    """When the new credential ends: as wanted, else by the agent's default, and never after its parent. Raises ExpiryExceedsParent."""
    if wanted is None:
        ends = now + timedelta(hours=agent.default_expiry_hours)
        return ends if parent is None else min(ends, parent.expires_at)
    if parent is not None and wanted > parent.expires_at:
        raise ExpiryExceedsParent
    return wanted


def check_types(agent: Agent, scope_types: Sequence[str]) -> None:
    """Raises InvalidScopeType naming the first grant of a type that the agent may not carry."""
    for index, scope_type in enumerate(scope_types):
        if not agent.permits([scope_type]):
            raise InvalidScopeType(
                param=f"granted_scopes[{index}].type", message="The agent may not carry this scope type."
            )
