"""The audit log: taking events in, and reading entries."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.chassis import access, audit
from services.chassis.access import OrgId, Principal
from services.chassis.batching import Batcher
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import ResourceNotFound
from services.chassis.ulids import is_ulid, new_ulid
from services.compliance.domain import events
from services.compliance.domain.leaves import Actor, Entry, Event, pieces
from services.compliance.store import entries, intake
from services.compliance.store.entries import Filter
from services.compliance.store.intake import Taken

# While one statement waits for the disk the next is filled.
_LANES = 2
_CALLS_PER_STATEMENT = 32


class AuditIntake:
    """Takes in what the siblings tell."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._calls: Batcher[Sequence[Taken], None] = Batcher(
            self._append, max_batch=_CALLS_PER_STATEMENT, lanes=_LANES
        )

    async def append(self, told: Sequence[Event]) -> None:
        """Each event once by its id, however often it is told; all of them durable. Raises ValidationFailed and takes none in."""
        if told:
            await self._calls.submit([_prepare(event) for event in told])

    async def _append(self, calls: Sequence[Sequence[Taken]]) -> Sequence[None]:
        async with self._db.hot.connection() as connection:
            await intake.append(connection, [taken for call in calls for taken in call])
        return [None] * len(calls)


class IntakeTrail:
    """Compliance's own audit trail: straight into the intake, with the effect."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def record(
        self,
        tx: Tx,
        *,
        org_id: OrgId,
        action: str,
        entity_type: str,
        entity_id: str,
        metadata: Mapping[str, object] | None = None,
        actor: audit.Actor | None = None,
    ) -> str:
        """The event's id, which becomes the entry's."""
        actor = actor or audit.actor_of_call()
        call = access.current.get(None)
        details: dict[str, Any] = dict(metadata or {})
        event = Event(
            id=new_ulid(self._clock),
            org_id=org_id,
            action=action,
            entity_type=entity_type,
            entity_id=entity_id,
            user_id=actor.user_id or None,
            actor=Actor(actor.type, actor.id, actor.credential_id or None, tuple(actor.delegation_path)),
            ip_address=call.ip_address if call else None,
            request_id=call.request_id if call else None,
            metadata=details,
            created_at=self._clock.now(),
        )
        await intake.add(tx, *_prepare(event))
        return event.id


class AuditLog:
    """Reads an organization's entries."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(self, caller: Principal, chosen: Filter, *, before: int | None, limit: int) -> list[Entry]:
        """By seq, descending, from the one before `before`: a page stays what it was while entries arrive."""
        async with self._db.transaction(caller.org_id) as tx:
            return await entries.list_entries(tx, caller.org_id, chosen, before=before, limit=limit)

    async def get(self, caller: Principal, entry_id: str) -> Entry:
        """An entry, from the moment it was taken in. Raises ResourceNotFound."""
        async with self._db.transaction(caller.org_id) as tx:
            found = await entries.find_entry(tx, caller.org_id, entry_id) if is_ulid(entry_id) else None
        if found is None:
            raise ResourceNotFound("There is no such audit entry.")
        return found


def _prepare(event: Event) -> Taken:
    events.check(event)
    made = pieces(event)
    events.check_size(made)
    return event, made
