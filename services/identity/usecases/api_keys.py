"""API keys: list, create, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.access import OrgId, Principal
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import ResourceNotFound
from services.chassis.ulids import is_ulid, new_ulid
from services.chassis.watch import ChangeLog
from services.identity.domain.api_keys import ApiKey, WantedKey
from services.identity.domain.tokens import Peppers, Token
from services.identity.store import api_keys as store
from services.identity.store import organizations


@dataclass(frozen=True, slots=True)
class Issued:
    """A key and its secret, which nobody can read again."""

    key: ApiKey
    plaintext: str


@dataclass(frozen=True, slots=True)
class Page:
    keys: Sequence[ApiKey]
    has_more: bool


class ApiKeys:
    def __init__(self, db: Database, clock: Clock, peppers: Peppers, audit: Trail, changes: ChangeLog) -> None:
        self._db = db
        self._clock = clock
        self._peppers = peppers
        self._audit = audit
        self._changes = changes

    async def page(self, caller: Principal, *, before_id: str | None, limit: int) -> Page:
        """Keys in force or expired, newest first."""
        async with self._db.transaction(caller.org_id) as tx:
            keys = await store.page(tx, caller.org_id, before_id=before_id, limit=limit + 1)
        return Page(keys[:limit], has_more=len(keys) > limit)

    async def create(self, caller: Principal, wanted: WantedKey) -> Issued:
        """A key of the caller's own user, with scopes that the caller holds. Raises ScopeEscalation."""
        wanted.check_held(caller.scopes)
        return await self._issue(caller.org_id, caller.user_id, wanted)

    async def issue(self, org_id: OrgId, user_id: str, wanted: WantedKey) -> Issued:
        """A key for any user, with any scopes: the operator's. Raises ResourceNotFound."""
        return await self._issue(org_id, user_id, wanted)

    async def revoke(self, caller: Principal, key_id: str) -> ApiKey:
        """End the key and what runs in its name. When this returns no replica of any service accepts it.

        Raises ResourceNotFound for an unknown key, a revoked one and another organization's.
        """
        if not is_ulid(key_id):
            raise _unknown()
        async with self._db.transaction(caller.org_id) as tx:
            key = await store.revoke(tx, caller.org_id, key_id, self._clock.now())
            seq = None if key is None else await self._tell(tx, key)
        if key is None or seq is None:
            # The call that ended it may still wait, or have broken off: that it is gone must be true everywhere.
            await self._changes.await_all()
            raise _unknown()
        await self._changes.await_watchers(seq)
        return key

    async def _tell(self, tx: Tx, ended: ApiKey) -> int:
        await self._audit.record(
            tx, org_id=ended.org_id, action="api_key.revoked", entity_type="api_key", entity_id=ended.id
        )
        return await self._changes.publish(tx, org_id=ended.org_id, subject_id=ended.id, cancel=True)

    async def _issue(self, org_id: OrgId, user_id: str, wanted: WantedKey) -> Issued:
        token = Token.new(wanted.form)
        key = ApiKey(
            org_id=org_id,
            id=new_ulid(self._clock),
            user_id=user_id,
            name=wanted.name,
            prefix=token.prefix,
            last_four=token.last_four,
            scopes=list(wanted.scopes),
            created_at=self._clock.now(),
            expires_at=wanted.expires_at,
        )
        async with self._db.transaction(org_id) as tx:
            if not await organizations.user_exists(tx, org_id, user_id):
                raise ResourceNotFound("There is no such user.")
            await store.add(tx, key, self._peppers.hash(token.plaintext))
            await self._audit.record(
                tx,
                org_id=org_id,
                action="api_key.created",
                entity_type="api_key",
                entity_id=key.id,
                metadata={"user_id": user_id, "scopes": list(wanted.scopes), "format": wanted.form.value},
            )
        return Issued(key, token.plaintext)


def _unknown() -> ResourceNotFound:
    return ResourceNotFound("There is no such API key.")
