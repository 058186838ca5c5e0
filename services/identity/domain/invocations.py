"""Invocations: what an agent was authorized to do, and whether it may begin one thing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any

from services.chassis.access import OrgId
from services.identity.domain.actions import Action, DelegatingUser, Invoke, matching
from services.identity.domain.errors import ConcurrencyLimitReached, RateLimited, ToolNotInScope
from services.identity.domain.grants import Grant, ToolInvoke, parse_grants

LIFE = timedelta(minutes=15)
"""An invocation that nobody completed ends by itself."""
COUNTED = timedelta(minutes=61)
"""How long after its beginning a minute's uses count: until the whole minute is an hour ago, so that no hour has more than the rate."""

CredentialRef = tuple[OrgId, str]
GrantRef = tuple[OrgId, str, int]
"""Organization, credential, place of the grant in it."""


class Status(StrEnum):
    AUTHORIZED = "authorized"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Invocation:
    org_id: OrgId
    id: str
    credential_id: str
    grant_no: int
    status: Status
    outcome: str | None
    """`succeeded` or `failed` once completed."""
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None

    @property
    def is_running(self) -> bool:
        return self.status is Status.AUTHORIZED

    def at(self, now: datetime) -> Invocation:
        """As it reads at `now`: an overdue one has expired, whether or not a sweep has come by."""
        if self.is_running and self.expires_at <= now:
            return replace(self, status=Status.EXPIRED, ended_at=self.expires_at)
        return self


@dataclass(frozen=True, slots=True)
class Link:
    """One credential of a chain of delegations, as it was issued. Of it only the user may change, except in their id."""

    org_id: OrgId
    credential_id: str
    agent_id: str
    user: DelegatingUser
    """As they were when this was read."""
    delegation_path: Sequence[str]
    chain_depth: int
    max_running: int
    granted: Sequence[Mapping[str, Any]]
    """The grants as they were given."""
    covered_by: Sequence[int] | None
    """For each grant, which of the parent's grants contains it; None without a parent."""


@dataclass(frozen=True, slots=True)
class Meter:
    """An hourly rate that a use of a grant uses up: the grant's own, or that of a grant it was delegated from."""

    grant: GrantRef
    limit: int


@dataclass(frozen=True, slots=True)
class Authority:
    """What a credential may do. As lasting as its link, so that it may be remembered."""

    link: Link
    grants: Sequence[Grant]
    meters: Sequence[Sequence[Meter]]
    """For each grant."""

    @property
    def ref(self) -> CredentialRef:
        return self.link.org_id, self.link.credential_id

    def names_tool(self, tool_id: str) -> bool:
        return any(isinstance(grant, ToolInvoke) and grant.tool_id == tool_id for grant in self.grants)


def authority_of(chain: Sequence[Link]) -> Authority:
    """Of the last credential of a chain that begins with the one a human issued."""
    meters: Sequence[Sequence[Meter]] = ()
    grants: Sequence[Grant] = ()
    for link in chain:
        grants = parse_grants(link.granted)
        above = [()] * len(grants) if link.covered_by is None else [meters[place] for place in link.covered_by]
        meters = [
            (*_own_meter(link, place, grant), *inherited)
            for place, (grant, inherited) in enumerate(zip(grants, above, strict=True))
        ]
    return Authority(chain[-1], grants, meters)


def _own_meter(link: Link, place: int, grant: Grant) -> Sequence[Meter]:
    limit = grant.rate_limit if isinstance(grant, ToolInvoke) else None
    return () if limit is None else (Meter((link.org_id, link.credential_id, place), limit),)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an agent is about to do, held against its grants beforehand: a comparison may take long, and others wait for the locks."""

    authority: Authority
    action: Action
    places: Sequence[int]
    """Of the grants that permit it to the user as they were."""

    @classmethod
    def of(cls, authority: Authority, action: Action) -> Wish:
        return cls(authority, action, _matching(authority, action, authority.link.user))

    def places_for(self, user: DelegatingUser) -> Sequence[int]:
        """Of the grants that permit it to the user as they are."""
        return self.places if user == self.authority.link.user else _matching(self.authority, self.action, user)


def _matching(authority: Authority, action: Action, user: DelegatingUser) -> Sequence[int]:
    return matching(authority.grants, action, user=user, chain_depth=authority.link.chain_depth)


@dataclass(frozen=True, slots=True)
class Standing:
    """What may change in a credential's life, read under its lock."""

    revoked_at: datetime | None
    expires_at: datetime
    user: DelegatingUser

    def is_in_force(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


@dataclass(slots=True)
class Used:
    """Uses of a grant that still count."""

    count: int
    oldest: datetime
    """The first minute that has any."""


@dataclass(slots=True)
class Room:
    """What runs and what was used under the credentials of a batch. What it admits counts for what comes next."""

    now: datetime
    running: dict[CredentialRef, int]
    used: dict[GrantRef, Used]
    admitted: dict[GrantRef, int] = field(default_factory=dict)
    """Uses to be written, for the metered grants."""

    def admit(self, wish: Wish, user: DelegatingUser) -> int:
        """The place of the grant that permits it. Raises ToolNotInScope, ConcurrencyLimitReached, RateLimited, in this order."""
        authority, places = wish.authority, wish.places_for(user)
        if not places:
            raise ToolNotInScope(type_=wish.action.type, tool_id=tool_of(wish.action))
        running = self.running.get(authority.ref, 0)
        if running >= authority.link.max_running:
            raise ConcurrencyLimitReached(authority.link.max_running)
        place = self._free(authority, places)
        self.running[authority.ref] = running + 1
        for meter in authority.meters[place]:
            used = self.used.setdefault(meter.grant, Used(0, self.minute))
            used.count += 1
            self.admitted[meter.grant] = self.admitted.get(meter.grant, 0) + 1
        return place

    @property
    def minute(self) -> datetime:
        return self.now.replace(second=0, microsecond=0)

    def _free(self, authority: Authority, places: Sequence[int]) -> int:
        """The first of the grants whose rates all have room. Raises RateLimited."""
        waits: list[timedelta] = []
        for place in places:
            full = [
                used.oldest + COUNTED - self.now
                for meter in authority.meters[place]
                if (used := self.used.get(meter.grant)) is not None and used.count >= meter.limit
            ]
            if not full:
                return place
            waits.append(max(full))
        raise RateLimited(max(1, ceil(min(waits).total_seconds())))


def tool_of(action: Action) -> str | None:
    """The tool that the action would invoke, None for an action of another type."""
    return action.tool_id if isinstance(action, Invoke) else None
