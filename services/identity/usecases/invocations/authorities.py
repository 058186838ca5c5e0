"""What credentials were issued for, remembered: it never changes. Whether they are in force is asked each time, elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from services.chassis.access import OrgId
from services.chassis.batching import Batcher
from services.chassis.database import Database
from services.chassis.errors import InvalidApiKey
from services.identity.domain.invocations import Authority, CredentialRef, authority_of
from services.identity.store import authorizing as store

_REMEMBERED = 5000


class Authorities:
    def __init__(self, db: Database, *, remembered: int = _REMEMBERED) -> None:
        self._db = db
        self._limit = remembered
        self._known: OrderedDict[CredentialRef, Authority] = OrderedDict()
        self._loading: Batcher[CredentialRef, Authority] = Batcher(self._load)

    async def of(self, org_id: OrgId, credential_id: str) -> Authority:
        """Raises InvalidApiKey when there is no such credential."""
        ref = (org_id, credential_id)
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = await self._loading.submit(ref)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(ref)
        return known

    async def _load(self, refs: Sequence[CredentialRef]) -> Sequence[Authority | Exception]:
        unique = list(dict.fromkeys(refs))
        async with self._db.hot.connection() as connection:
            chains = await store.chains(connection, unique)
        made = {ref: authority_of(chain) if chain else None for ref, chain in zip(unique, chains, strict=True)}
        return [made[ref] or InvalidApiKey() for ref in refs]
