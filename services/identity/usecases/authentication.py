"""Whom a token stands for, and when keys were last used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from services.chassis.access import OrgId, Principal
from services.chassis.authentication import WELL_FORMED
from services.chassis.batching import Batcher
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import InvalidApiKey
from services.identity.domain.tokens import Peppers
from services.identity.store import authentication as store


@dataclass(frozen=True, slots=True)
class Authenticated:
    principal: Principal
    seq: int
    """Position in the change log that this is certain to include."""


class Authentication:
    """Asks the database each time: identity's own calls need no lease, and the memories of the other services are loaded from here."""

    def __init__(self, db: Database, clock: Clock, peppers: Peppers, uses: Uses) -> None:
        self._db = db
        self._clock = clock
        self._peppers = peppers
        self._uses = uses
        self._finding: Batcher[Sequence[bytes], store.Found] = Batcher(self._find_all, max_batch=100)

    async def authenticate(self, token: str) -> Principal:
        """For identity's own boundary, which also judges who drains. Raises InvalidApiKey."""
        principal = (await self._find(token)).principal
        self._uses.note([(principal.org_id, principal.id, self._clock.now())])
        return principal

    async def resolve(self, token: str) -> Authenticated:
        """For the other services. Raises InvalidApiKey: malformed tokens before any work, all others after the same work."""
        authenticated = await self._find(token)
        if authenticated.principal.draining:
            raise InvalidApiKey
        return authenticated

    async def _find(self, token: str) -> Authenticated:
        if WELL_FORMED.fullmatch(token) is None:
            raise InvalidApiKey
        found = await self._finding.submit(self._peppers.digests(token))
        principal = _principal(found.principal, self._clock.now())
        if principal is None:
            raise InvalidApiKey
        return Authenticated(principal, found.seq)

    async def _find_all(self, tokens: Sequence[Sequence[bytes]]) -> Sequence[store.Found]:
        """A token joins no statement that has begun, so that nobody is told of what was true before it came."""
        now = self._clock.now()
        try:
            async with self._db.hot.connection() as connection:
                return await store.find(connection, tokens, now)
        except PoolTimeout:
            raise
        except OperationalError:
            # The pooled connections of a restarted server are all dead; nobody has to be told so.
            await self._db.hot.check()
        async with self._db.hot.connection() as connection:
            return await store.find(connection, tokens, now)


class Uses:
    """Uses of keys, gathered in memory and written in batches; a key is written at most once a minute. Lost with the process, which is no harm."""

    def __init__(self, db: Database, *, flush_every: float = 5.0, write_every: float = 60.0) -> None:
        self._db = db
        self._flush_every = flush_every
        self._write_every = write_every
        self._latest: dict[tuple[OrgId, str], datetime] = {}

    def note(self, uses: Iterable[tuple[OrgId, str, datetime]]) -> None:
        for org_id, key_id, at in uses:
            known = self._latest.get((org_id, key_id))
            self._latest[org_id, key_id] = at if known is None else max(at, known)

    async def flush(self) -> None:
        uses, self._latest = self._latest, {}
        if uses:
            async with self._db.hot.connection() as connection:
                await store.mark_used(connection, uses, at_most_every=self._write_every)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._flush_every)
            await self.flush()


def _principal(found: store.FoundKey | store.FoundCredential | None, now: datetime) -> Principal | None:
    """None for a token that nobody has, or that has ended."""
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        return None
    if isinstance(found, store.FoundKey):
        return None if found.revoked_at is not None else _of_key(found)
    if found.revoked_at is not None and not found.drains:
        return None
    return Principal(
        org_id=found.org_id,
        kind="agent",
        id=found.id,
        user_id=found.delegating_user_id,
        scopes=frozenset(),
        agent_id=found.agent_id,
        delegation_path=tuple(found.delegation_path),
        granted_tool_ids=frozenset(found.tool_ids),
        expires_at=found.expires_at,
        test_mode=found.test_mode,
        draining=found.revoked_at is not None,
    )


def _of_key(key: store.FoundKey) -> Principal:
    return Principal(
        org_id=key.org_id,
        kind="api_key",
        id=key.id,
        user_id=key.user_id,
        scopes=frozenset(key.scopes),
        expires_at=key.expires_at,
    )
