"""The end of credentials: of one and of all that was delegated from it, or of everything an agent holds.

**Once the caller has awaited the watchers for `Ended.seq`, no replica of any service accepts one of them.** Why: identity reads the database for
each call, and the other services' memories are what `chassis/watch.py` argues about.

**No descendant escapes.** A delegation holds its parent's row FOR SHARE from the moment it has seen it in force until it has committed the child;
here the rows are taken FOR UPDATE. So a child is committed before its parent is locked, and then the next look at the tree finds it, or its
delegation waits and finds the parent revoked. The looks end when one finds nothing: only credentials in force have new children.

**Nothing is authorized afterwards.** An authorization locks its credential's row too: it commits before, and is among what is cancelled here, or it
waits and finds the credential revoked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis.access import OrgId
from services.chassis.audit import AuditTrail, Effect
from services.chassis.clock import Clock
from services.chassis.database import Tx
from services.chassis.watch import ChangeLog
from services.identity.domain.credentials import Credential
from services.identity.store import credentials as store


@dataclass(frozen=True, slots=True)
class Ended:
    """Every credential that ended now, and what to await the watchers for once the transaction has committed."""

    credentials: Sequence[Credential]
    seq: int

    @property
    def ids(self) -> list[str]:
        return sorted(credential.id for credential in self.credentials)


class Revocation:
    def __init__(self, clock: Clock, audit: AuditTrail, changes: ChangeLog) -> None:
        self._clock = clock
        self._audit = audit
        self._changes = changes

    async def end(self, tx: Tx, credential: Credential, reason: str | None) -> Ended:
        """Revoke the credential with its own policy, and with `kill` all that was delegated from it."""
        now = self._clock.now()
        ended = await self._end_tree(tx, credential.org_id, [credential.id], None, reason, now)
        await self._cancel(tx, credential.org_id, [each for each in ended if each.revoked_with == "kill"], now)
        await self._tell(tx, credential.org_id, ended, [credential.id])
        # Also when it had ended before: the call that ended it may still wait for the watchers, and this one promises the same.
        cancels = credential.revocation_policy if credential.revoked_with is None else credential.revoked_with
        subjects = [(credential.id, cancels == "kill")]
        subjects += [(each.id, True) for each in ended if each.id != credential.id]
        return Ended(ended, await self._changes.publish_all(tx, org_id=credential.org_id, subjects=subjects))

    async def end_agent(self, tx: Tx, org_id: OrgId, agent_id: str) -> Ended:
        """Revoke with `kill` whatever the agent holds and all that was delegated from it; what drains is killed too.

        The agent's row must be locked, so that nothing is issued to it meanwhile.
        """
        now = self._clock.now()
        roots = frozenset(await store.in_force_of_agent(tx, org_id, agent_id, now))
        ended = await self._end_tree(tx, org_id, roots, "kill", None, now)
        drained = await store.stop_draining(tx, org_id, agent_id)
        await self._cancel(tx, org_id, ended, now, besides=drained)
        await self._tell(tx, org_id, ended, roots)
        subjects = [(agent_id, True), *((each.id, True) for each in ended if each.agent_id != agent_id)]
        return Ended(ended, await self._changes.publish_all(tx, org_id=org_id, subjects=subjects))

    async def _end_tree(
        self, tx: Tx, org_id: OrgId, roots: Collection[str], policy: str | None, reason: str | None, now: datetime
    ) -> list[Credential]:
        ended: list[Credential] = []
        while found := await store.lock_tree(tx, org_id, roots, now):
            own = [each.id for each in found if each.id in roots]
            below = [each.id for each in found if each.id not in roots]
            ended += await store.revoke(tx, org_id, own, with_=policy, reason=reason, at=now)
            ended += await store.revoke(tx, org_id, below, with_="kill", reason=None, at=now)
        return ended

    async def _cancel(
        self, tx: Tx, org_id: OrgId, killed: Sequence[Credential], now: datetime, besides: Sequence[str] = ()
    ) -> None:
        ids = [*(each.id for each in killed), *besides]
        if not ids:
            return
        cancelled = await store.cancel_invocations(tx, org_id, ids, now)
        effects = [
            Effect(
                "agent.invocation_cancelled",
                "invocation",
                invocation_id,
                {"credential_id": credential_id, "reason": "revoked"},
            )
            for invocation_id, credential_id in cancelled
        ]
        await self._audit.record_all(tx, org_id=org_id, effects=effects)

    async def _tell(self, tx: Tx, org_id: OrgId, ended: Sequence[Credential], roots: Collection[str]) -> None:
        below: dict[str, list[str]] = defaultdict(list)
        for each in ended:
            for above in each.delegation_path:
                if above in roots and above != each.id:
                    below[above].append(each.id)
        effects = [_revoked(each, roots, below[each.id]) for each in ended]
        await self._audit.record_all(tx, org_id=org_id, effects=effects)


def _revoked(ended: Credential, roots: Collection[str], below: Sequence[str]) -> Effect:
    metadata: dict[str, object] = {
        "agent_id": ended.agent_id,
        "policy": ended.revoked_with,
        "delegation_path": list(ended.delegation_path),
    }
    if ended.id in roots:
        metadata["cascade_revoked_credential_ids"] = sorted(below)
    else:
        metadata["revoked_with_credential_id"] = next(above for above in ended.delegation_path if above in roots)
    return Effect("agent.credential_revoked", "credential", ended.id, metadata)
