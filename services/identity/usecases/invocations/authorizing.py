"""Authorizing: whether an agent may do what it is about to do, asked and written down before it does it."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass

from services.chassis import audit
from services.chassis.access import OrgId, Principal
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import InvalidApiKey, ServiceError
from services.chassis.outbox import Owed
from services.chassis.ulids import new_ulid
from services.identity.domain.actions import Action
from services.identity.domain.invocations import LIFE, Invocation, Room, Status, Wish, tool_of
from services.identity.store import authorizing as store
from services.identity.store.authorizing import Locked
from services.identity.store.invocations import Found
from services.identity.store.transactions import Connection, Reply
from services.identity.usecases.invocations.authorities import Authorities
from services.identity.usecases.invocations.judging import Judge


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one caller wants to do."""

    wish: Wish
    caller: Context
    """Of the call: the batch runs outside of any, and the audit event says who called, and from where."""


class Authorizing:
    def __init__(self, db: Database, clock: Clock, authorities: Authorities) -> None:
        self._clock = clock
        self._authorities = authorities
        self._judge: Judge[_Asked, Locked, Found] = Judge(db, self._lock, self._decide)

    async def authorize(self, principal: Principal, action: Action) -> Found:
        """Raises ToolNotInScope, ConcurrencyLimitReached, RateLimited; InvalidApiKey when the credential has ended meanwhile."""
        authority = await self._authorities.of(principal.org_id, principal.id)
        return await self._judge.submit(principal.org_id, _Asked(Wish.of(authority, action), copy_context()))

    async def _lock(self, connection: Connection, asked: Sequence[_Asked]) -> Reply[Locked]:
        authorities = {each.wish.authority.ref: each.wish.authority for each in asked}
        meters = {meter for each in authorities.values() for of_grant in each.meters for meter in of_grant}
        return await store.lock(connection, authorities, meters, self._clock.now())

    async def _decide(self, connection: Connection, asked: Sequence[_Asked], locked: Locked) -> list[Found | Exception]:
        # Read again: the locks may have been waited for, and no credential is used after its end.
        room = Room(self._clock.now(), locked.running, locked.used)
        told: list[Owed] = []
        results = [self._decide_one(each, locked, room, told) for each in asked]
        admitted = [result.invocation for result in results if isinstance(result, Found)]
        await store.authorize(connection, admitted, room.admitted, told, minute=room.minute)
        return results

    def _decide_one(self, asked: _Asked, locked: Locked, room: Room, told: list[Owed]) -> Found | Exception:
        authority = asked.wish.authority
        standing = locked.standings.get(authority.ref)
        if standing is None or not standing.is_in_force(room.now):
            return InvalidApiKey()
        try:
            place = room.admit(asked.wish, standing.user)
        except ServiceError as refusal:
            told.append(asked.caller.run(self._denied, asked, refusal))
            return refusal
        except Exception as failure:  # noqa: BLE001 - its own caller's alone, not the batch's
            return failure
        invocation = Invocation(
            org_id=authority.link.org_id,
            id=new_ulid(self._clock),
            credential_id=authority.link.credential_id,
            grant_no=place,
            status=Status.AUTHORIZED,
            outcome=None,
            created_at=room.now,
            expires_at=min(room.now + LIFE, standing.expires_at),
            ended_at=None,
        )
        told.append(asked.caller.run(self._authorized, asked, invocation))
        return Found(invocation, standing.user)

    def _authorized(self, asked: _Asked, invocation: Invocation) -> Owed:
        return self._event(
            invocation.org_id,
            "agent.tool_authorized",
            "invocation",
            invocation.id,
            {**_what(asked.wish), "grant_no": invocation.grant_no},
        )

    def _denied(self, asked: _Asked, refusal: ServiceError) -> Owed:
        link = asked.wish.authority.link
        metadata = {**_what(asked.wish), "reason": refusal.reason}
        return self._event(link.org_id, "agent.tool_denied", "credential", link.credential_id, metadata)

    def _event(self, org_id: OrgId, action: str, entity_type: str, entity_id: str, metadata: dict[str, object]) -> Owed:
        event = audit.build(
            self._clock,
            org_id=org_id,
            action=action,
            entity_type=entity_type,
            entity_id=entity_id,
            metadata=metadata,
        )
        return Owed(event.id, org_id, audit.TOPIC, event.SerializeToString())


def _what(wish: Wish) -> dict[str, object]:
    """The action as the audit log may know it: a tool's name only if a grant has it, since what an agent made up may be PHI."""
    what: dict[str, object] = {"type": wish.action.type}
    tool_id = tool_of(wish.action)
    if tool_id is not None:
        what |= {"tool_id": tool_id} if wish.authority.names_tool(tool_id) else {"listed": False}
    return what
