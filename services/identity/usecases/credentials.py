"""Credentials of agents: issue, delegate, list, get, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.access import OrgId, Principal
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import InvalidApiKey, ResourceNotFound
from services.chassis.timestamps import iso
from services.chassis.ulids import is_ulid, new_ulid
from services.chassis.watch import ChangeLog
from services.identity.domain import containment, delegation
from services.identity.domain.agents import Agent
from services.identity.domain.credentials import (
    DEFAULT_CONCURRENCY,
    Credential,
    WantedCredential,
    check_types,
    lifetime,
)
from services.identity.domain.errors import AgentArchived
from services.identity.domain.grants import Grant, parse_grants, tool_ids
from services.identity.domain.tokens import Peppers, Token
from services.identity.store import agents
from services.identity.store import credentials as store
from services.identity.usecases.revocation import Revocation


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A credential and its token, which nobody can read again."""

    credential: Credential
    token: str


@dataclass(frozen=True, slots=True)
class CredentialPage:
    credentials: Sequence[Credential]
    has_more: bool


@dataclass(frozen=True, slots=True)
class _Authority:
    """What a new credential is made under: its grants, and the credential that they come from, if any."""

    grants: Sequence[Grant]
    parent: Credential | None = None
    covered_by: Sequence[int] | None = None


class Credentials:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        peppers: Peppers,
        audit: Trail,
        changes: ChangeLog,
        revocation: Revocation,
    ) -> None:
        self._db = db
        self._clock = clock
        self._peppers = peppers
        self._audit = audit
        self._changes = changes
        self._revocation = revocation

    async def issue(self, caller: Principal, agent_id: str, wanted: WantedCredential) -> IssuedCredential:
        """A credential of the agent: with an API key in the name of the key's user, with an agent credential by delegation from that.

        Raises ResourceNotFound without the agent, AgentArchived, InvalidScopeType, ValidationFailed; for delegations also DelegationNotPermitted,
        ChainDepthExceeded, ScopeExceedsParent and ExpiryExceedsParent.
        """
        grants = parse_grants(wanted.granted_scopes)
        async with self._db.transaction(caller.org_id) as tx:
            authority = _Authority(grants)
            if caller.kind == "agent":
                authority = await self._delegated(tx, caller, agent_id, wanted, grants)
            agent = await self._agent(tx, caller.org_id, agent_id)
            check_types(agent, [grant.type for grant in grants])
            if authority.parent is not None:
                await self._hold(tx, authority.parent)
            issued = self._make(caller, agent, wanted, authority)
            await store.add(tx, issued.credential, self._peppers.hash(issued.token))
            await self._tell(tx, issued.credential)
        return issued

    async def page(
        self, caller: Principal, agent_id: str, *, status: str, before_id: str | None, limit: int
    ) -> CredentialPage:
        """Newest first. Raises ResourceNotFound without the agent."""
        async with self._db.transaction(caller.org_id) as tx:
            await self._agent_exists(tx, caller.org_id, agent_id)
            found = await store.page(
                tx,
                caller.org_id,
                agent_id,
                status=status,
                now=self._clock.now(),
                before_id=before_id,
                limit=limit + 1,
            )
        return CredentialPage(found[:limit], has_more=len(found) > limit)

    async def get(self, caller: Principal, agent_id: str, credential_id: str) -> Credential:
        """Raises ResourceNotFound, for another agent's credential too."""
        async with self._db.transaction(caller.org_id) as tx:
            return await self._get(tx, caller.org_id, agent_id, credential_id)

    async def revoke(
        self, caller: Principal, agent_id: str, credential_id: str, reason: str | None
    ) -> tuple[Credential, Sequence[str]]:
        """The ended credential and what ended with it. When this returns no replica of any service accepts any of them.

        One that has ended before is answered as it is. Raises ResourceNotFound.
        """
        async with self._db.transaction(caller.org_id) as tx:
            credential = await self._get(tx, caller.org_id, agent_id, credential_id)
            ended = await self._revocation.end(tx, credential, reason)
            credential = await self._get(tx, caller.org_id, agent_id, credential_id)
        await self._changes.await_watchers(ended.seq)
        return credential, [each for each in ended.ids if each != credential_id]

    async def _delegated(
        self, tx: Tx, caller: Principal, agent_id: str, wanted: WantedCredential, grants: Sequence[Grant]
    ) -> _Authority:
        parent = await store.get(tx, caller.org_id, caller.id)
        if parent is None:
            raise InvalidApiKey
        held = parse_grants(parent.granted_scopes)
        # Before it is told whether there is such an agent.
        delegation.check_permitted(held, agent_id, parent.chain_depth)
        covered_by = containment.covering(held, grants, user_id=parent.delegating_user_id)
        delegation.check_bounded(wanted, parent)
        return _Authority(grants, parent, covered_by)

    async def _agent(self, tx: Tx, org_id: OrgId, agent_id: str) -> Agent:
        agent = await agents.hold(tx, org_id, agent_id) if is_ulid(agent_id) else None
        if agent is None:
            raise _no_agent()
        if agent.archived_at is not None:
            raise AgentArchived
        return agent

    async def _hold(self, tx: Tx, parent: Credential) -> None:
        """It may have been revoked since the call was authenticated; from here on it is not."""
        if await store.hold(tx, parent.org_id, parent.id, self._clock.now()) is None:
            raise InvalidApiKey

    async def _agent_exists(self, tx: Tx, org_id: OrgId, agent_id: str) -> None:
        if not is_ulid(agent_id) or await agents.find(tx, org_id, agent_id) is None:
            raise _no_agent()

    async def _get(self, tx: Tx, org_id: OrgId, agent_id: str, credential_id: str) -> Credential:
        found = await store.get(tx, org_id, credential_id) if is_ulid(credential_id) else None
        if found is None or found.agent_id != agent_id:
            raise ResourceNotFound("There is no such credential.")
        return found

    def _make(
        self, caller: Principal, agent: Agent, wanted: WantedCredential, authority: _Authority
    ) -> IssuedCredential:
        now, parent = self._clock.now(), authority.parent
        test_mode = bool(parent.test_mode if wanted.test_mode is None and parent is not None else wanted.test_mode)
        token = Token.for_agent(test_mode=test_mode)
        concurrency = wanted.max_concurrent_invocations or DEFAULT_CONCURRENCY
        own_id = new_ulid(self._clock)
        credential = Credential(
            org_id=caller.org_id,
            id=own_id,
            agent_id=agent.id,
            name=wanted.name,
            description=wanted.description,
            prefix=token.prefix,
            last_four=token.last_four,
            granted_scopes=wanted.granted_scopes,
            scope_types=[grant.type for grant in authority.grants],
            tool_ids=sorted(tool_ids(authority.grants)),
            covered_by=authority.covered_by,
            delegating_user_id=caller.user_id,
            parent_id=None if parent is None else parent.id,
            delegation_path=[*((caller.user_id,) if parent is None else parent.delegation_path), own_id],
            chain_depth=0 if parent is None else parent.chain_depth + 1,
            expires_at=lifetime(wanted.expires_at, agent, parent, now),
            revocation_policy=wanted.revocation_policy or agent.default_revocation_policy,
            max_concurrent_invocations=min(concurrency, parent.max_concurrent_invocations) if parent else concurrency,
            test_mode=test_mode,
            created_at=now,
        )
        return IssuedCredential(credential, token.plaintext)

    async def _tell(self, tx: Tx, credential: Credential) -> None:
        metadata: dict[str, object] = {
            "agent_id": credential.agent_id,
            "delegating_user_id": credential.delegating_user_id,
            "delegation_path": list(credential.delegation_path),
            "scope_types": list(credential.scope_types),
            "expires_at": iso(credential.expires_at),
            "revocation_policy": credential.revocation_policy,
            "max_concurrent_invocations": credential.max_concurrent_invocations,
            "test_mode": credential.test_mode,
        }
        if credential.parent_id is not None:
            metadata["parent_credential_id"] = credential.parent_id
        await self._audit.record(
            tx,
            org_id=credential.org_id,
            action="agent.credential_issued" if credential.parent_id is None else "agent.credential_delegated",
            entity_type="credential",
            entity_id=credential.id,
            metadata=metadata,
        )


def _no_agent() -> ResourceNotFound:
    return ResourceNotFound("There is no such agent.")
