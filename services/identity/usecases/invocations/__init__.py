"""Invocations: an agent asks before it acts, and says how it went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.chassis.access import Principal
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.ulids import is_ulid
from services.identity.domain.actions import Action, filters_of
from services.identity.domain.invocations import Invocation
from services.identity.store import invocations as store
from services.identity.store.invocations import Found
from services.identity.store.transactions import driver_of
from services.identity.usecases.invocations.authorities import Authorities
from services.identity.usecases.invocations.authorizing import Authorizing
from services.identity.usecases.invocations.completing import Completing, unknown
from services.identity.usecases.invocations.sweeping import Sweeper
from services.identity.usecases.invocations.watching import Watching


@dataclass(frozen=True, slots=True)
class Permitted:
    """An invocation and what permits it."""

    invocation: Invocation
    matched_grant: Mapping[str, Any]
    """As it was given when the credential was issued."""
    filters: Mapping[str, Any] | None
    """The grant's, variables replaced: what the agent has to hold itself to."""


class Invocations:
    """Every method is the credential's own: another's invocation is unknown, the same organization's too."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._authorities = Authorities(db)
        self._authorizing = Authorizing(db, clock, self._authorities)
        self._completing = Completing(db, clock)
        self._watching = Watching(db, clock)
        self._sweeper = Sweeper(db, clock)

    async def authorize(self, principal: Principal, action: Action) -> Permitted:
        """Take one of the credential's slots for the action, until it is completed or 15 minutes are over.

        Raises ToolNotInScope, ConcurrencyLimitReached, RateLimited; InvalidApiKey when the credential has ended meanwhile.
        """
        return await self._permitted(principal, await self._authorizing.authorize(principal, action))

    async def get(self, principal: Principal, invocation_id: str) -> Permitted:
        """Raises ResourceNotFound."""
        return await self._permitted(principal, await self._find(principal, invocation_id))

    async def complete(self, principal: Principal, invocation_id: str, outcome: str) -> Permitted:
        """End a running invocation: `outcome` is `succeeded` or `failed`. Saying the same again changes nothing.

        Raises ResourceNotFound, InvocationEnded when it has ended otherwise.
        """
        if not is_ulid(invocation_id):
            raise unknown()
        return await self._permitted(principal, await self._completing.complete(principal, invocation_id, outcome))

    async def watch(self, principal: Principal, invocation_id: str) -> AsyncIterator[Permitted]:
        """The invocation as it is, and each later state until its last. Raises ResourceNotFound."""
        first = await self._find(principal, invocation_id)
        async for found in self._watching.states((principal.org_id, invocation_id), first):
            yield await self._permitted(principal, found)

    def end_streams(self) -> None:
        self._watching.end_streams()

    async def run(self) -> None:
        """Sweep, and tell the watchers, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweeper.run())
            tasks.create_task(self._watching.run())

    async def _find(self, principal: Principal, invocation_id: str) -> Found:
        if not is_ulid(invocation_id):
            raise unknown()
        ref = (principal.org_id, invocation_id)
        async with self._db.transaction(principal.org_id) as tx:
            found = (await store.find(await driver_of(tx), [ref])).get(ref)
        if found is None or found.invocation.credential_id != principal.id:
            raise unknown()
        return Found(found.invocation.at(self._clock.now()), found.user)

    async def _permitted(self, principal: Principal, found: Found) -> Permitted:
        authority = await self._authorities.of(principal.org_id, principal.id)
        place = found.invocation.grant_no
        return Permitted(
            found.invocation, authority.link.granted[place], filters_of(authority.grants[place], found.user)
        )
