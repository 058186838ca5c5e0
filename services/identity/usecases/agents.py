"""Agents: register, list, get, update, archive, reactivate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.chassis.access import Principal
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import ResourceNotFound
from services.chassis.ulids import is_ulid, new_ulid
from services.chassis.watch import ChangeLog
from services.identity.domain.agents import Agent, Counted, Selection, WantedAgent, changes_of
from services.identity.domain.errors import AgentNameTaken
from services.identity.store import agents as store
from services.identity.usecases.revocation import Revocation

_AUDITED = ("default_expiry_hours", "default_revocation_policy", "allowed_scope_types")
"""Settings whose values an audit event may carry; the others are text that a person typed."""


@dataclass(frozen=True, slots=True)
class Page:
    agents: Sequence[Counted]
    total: int
    """Over all pages."""
    number: int
    last: int
    """At least 1."""


@dataclass(frozen=True, slots=True)
class Updated:
    agent: Agent
    outside: Sequence[str]
    """Active credentials of a scope type that the agent no longer permits, by id."""


@dataclass(frozen=True, slots=True)
class Archived:
    agent: Agent
    revoked_credential_ids: Sequence[str]
    """Other agents' too, where they descend from this one's."""


class Agents:
    def __init__(self, db: Database, clock: Clock, audit: Trail, changes: ChangeLog, revocation: Revocation) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._changes = changes
        self._revocation = revocation

    async def register(self, caller: Principal, wanted: WantedAgent) -> Agent:
        """Raises AgentNameTaken."""
        agent = Agent(org_id=caller.org_id, id=new_ulid(self._clock), created_at=self._clock.now(), **asdict(wanted))
        async with self._db.transaction(caller.org_id) as tx:
            if not await store.add(tx, agent):
                raise AgentNameTaken
            metadata = _audited(agent) | {"capabilities": len(agent.capabilities)}
            await self._record(tx, agent, "agent.registered", metadata)
        return agent

    async def page(self, caller: Principal, selection: Selection) -> Page:
        """Newest first. A page behind the last one is empty."""
        async with self._db.transaction(caller.org_id) as tx:
            agents, total = await store.page(tx, caller.org_id, selection, self._clock.now())
        return Page(agents, total, selection.page, max(1, -(-total // selection.per_page)))

    async def get(self, caller: Principal, agent_id: str) -> Agent:
        """Raises ResourceNotFound for an unknown agent and another organization's."""
        async with self._db.transaction(caller.org_id) as tx:
            return _known(await store.find(tx, caller.org_id, agent_id) if is_ulid(agent_id) else None)

    async def update(self, caller: Principal, agent_id: str, patch: Mapping[str, Any]) -> Updated:
        """Change what the patch names. One that changes nothing leaves no trace.

        Raises ResourceNotFound, AgentNameTaken, and what `changes_of` raises.
        """
        changes = changes_of(patch)
        async with self._db.transaction(caller.org_id) as tx:
            before = await self._lock(tx, caller, agent_id)
            after = replace(before, **changes)
            changed = after.changed_fields(before)
            if changed:
                await store.change(tx, after, {field: getattr(after, field) for field in changed})
                of_both = [field for field in _AUDITED if field in changed]
                metadata = {
                    "changed": changed,
                    "old": {field: getattr(before, field) for field in of_both},
                    "new": {field: getattr(after, field) for field in of_both},
                }
                await self._record(tx, after, "agent.metadata_updated", metadata)
            issued = await store.scope_types_in_force(tx, after, self._clock.now())
        return Updated(after, [id_ for id_, scope_types in issued.items() if not after.permits(scope_types)])

    async def archive(self, caller: Principal, agent_id: str) -> Archived:
        """Revoke its active credentials and what descends from them with `kill`, and let no new one be issued.

        When this returns no replica of any service accepts one of them. An archived agent stays as it is. Raises ResourceNotFound.
        """
        async with self._db.transaction(caller.org_id) as tx:
            agent = await self._lock(tx, caller, agent_id)
            is_change = agent.archived_at is None
            if is_change:
                agent = replace(agent, archived_at=self._clock.now())
                await store.change(tx, agent, {"archived_at": agent.archived_at})
            # Of an archived agent nothing is left to end, but the call that archived it may still be waiting for the watchers.
            ended = await self._revocation.end_agent(tx, caller.org_id, agent.id)
            if is_change:
                await self._record(tx, agent, "agent.archived", {"revoked_credential_ids": ended.ids})
        await self._changes.await_watchers(ended.seq)
        return Archived(agent, ended.ids)

    async def reactivate(self, caller: Principal, agent_id: str) -> Agent:
        """Let credentials be issued to it again. An active agent stays as it is. Raises ResourceNotFound, AgentNameTaken."""
        async with self._db.transaction(caller.org_id) as tx:
            agent = await self._lock(tx, caller, agent_id)
            if agent.archived_at is None:
                return agent
            agent = replace(agent, archived_at=None)
            await store.change(tx, agent, {"archived_at": None})
            await self._record(tx, agent, "agent.reactivated")
        return agent

    async def _lock(self, tx: Tx, caller: Principal, agent_id: str) -> Agent:
        return _known(await store.lock(tx, caller.org_id, agent_id) if is_ulid(agent_id) else None)

    async def _record(self, tx: Tx, agent: Agent, action: str, metadata: Mapping[str, object] | None = None) -> None:
        await self._audit.record(
            tx, org_id=agent.org_id, action=action, entity_type="agent", entity_id=agent.id, metadata=metadata
        )


def _audited(agent: Agent) -> dict[str, object]:
    return {field: getattr(agent, field) for field in _AUDITED}


def _known(agent: Agent | None) -> Agent:
    if agent is None:
        raise ResourceNotFound("There is no such agent.")
    return agent
