"""Whom a token stands for, and when keys were last used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.chassis.access import OrgId, Principal
from services.chassis.authentication import WELL_FORMED
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import InvalidApiKey
from services.identity.domain.api_keys import ApiKey
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

    async def authenticate(self, token: str) -> Principal:
        """For identity's own boundary. Raises InvalidApiKey."""
        principal = (await self.resolve(token)).principal
        self._uses.note([(principal.org_id, principal.id, self._clock.now())])
        return principal

    async def resolve(self, token: str) -> Authenticated:
        """Raises InvalidApiKey: malformed tokens before any work, all others after the same work."""
        if WELL_FORMED.fullmatch(token) is None:
            raise InvalidApiKey
        digests = self._peppers.digests(token)
        async with self._db.hot.connection() as connection:
            found = await store.find(connection, digests)
        if found.key is None or not found.key.is_valid(self._clock.now()):
            raise InvalidApiKey
        return Authenticated(_principal(found.key), found.seq)


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


def _principal(key: ApiKey) -> Principal:
    return Principal(
        org_id=key.org_id,
        kind="api_key",
        id=key.id,
        user_id=key.user_id,
        scopes=frozenset(key.scopes),
        expires_at=key.expires_at,
    )
