"""Completing: an agent says how its invocation went, and frees the slot."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, replace

from services.chassis import audit
from services.chassis.access import Principal
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound
from services.chassis.outbox import Owed
from services.identity.domain.errors import InvocationEnded
from services.identity.domain.invocations import Invocation, Status
from services.identity.store import invocations as store
from services.identity.store.invocations import Found, InvocationRef
from services.identity.store.transactions import Connection, Reply
from services.identity.usecases.invocations.judging import Judge


@dataclass(frozen=True, slots=True)
class _Told:
    """How one caller's invocation went."""

    ref: InvocationRef
    credential_id: str
    outcome: str
    caller: Context
    """Of the call: the batch runs outside of any, and the audit event says who called, and from where."""


class Completing:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._clock = clock
        self._judge: Judge[_Told, dict[InvocationRef, Found], Found] = Judge(db, self._lock, self._decide)

    async def complete(self, principal: Principal, invocation_id: str, outcome: str) -> Found:
        """Told again, the same outcome is no news. Raises ResourceNotFound, InvocationEnded when it has ended in another way."""
        told = _Told((principal.org_id, invocation_id), principal.id, outcome, copy_context())
        return await self._judge.submit(principal.org_id, told)

    async def _lock(self, connection: Connection, told: Sequence[_Told]) -> Reply[dict[InvocationRef, Found]]:
        return await store.hold(connection, {each.ref for each in told})

    async def _decide(
        self, connection: Connection, told: Sequence[_Told], found: dict[InvocationRef, Found]
    ) -> list[Found | Exception]:
        ended: list[Invocation] = []
        events: list[Owed] = []
        results = [self._decide_one(each, found, ended, events) for each in told]
        await store.end(connection, ended, events)
        return results

    def _decide_one(
        self, told: _Told, found: dict[InvocationRef, Found], ended: list[Invocation], events: list[Owed]
    ) -> Found | Exception:
        known = found.get(told.ref)
        if known is None or known.invocation.credential_id != told.credential_id:
            return unknown()
        now = self._clock.now()
        invocation = known.invocation.at(now)
        if invocation.is_running:
            invocation = replace(invocation, status=Status.COMPLETED, outcome=told.outcome, ended_at=now)
            ended.append(invocation)
            events.append(told.caller.run(self._completed, invocation))
            # For those of the same batch that say it again.
            found[told.ref] = replace(known, invocation=invocation)
        elif invocation.outcome != told.outcome:
            return InvocationEnded(invocation.status)
        return Found(invocation, known.user)

    def _completed(self, invocation: Invocation) -> Owed:
        event = audit.build(
            self._clock,
            org_id=invocation.org_id,
            action="agent.invocation_completed",
            entity_type="invocation",
            entity_id=invocation.id,
            metadata={"outcome": invocation.outcome},
        )
        return Owed(event.id, invocation.org_id, audit.TOPIC, event.SerializeToString())


def unknown() -> ResourceNotFound:
    return ResourceNotFound("There is no such invocation.")
