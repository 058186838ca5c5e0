"""Requests whose process died: settled from their checkpoints, once, by whichever replica comes first."""

import asyncio
from dataclasses import replace
from typing import Any

import structlog

from services.chassis import database
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.outbox import Owed, Relay
from services.inference.domain.record import Caller, Ending, Opening, Record, Status, Surface
from services.inference.domain.usage import Basis, Usage
from services.inference.store import records
from services.inference.store.records import Owes
from services.inference.usecases.runs import Runs
from services.inference.usecases.settlement import audit_event, settlement

log = structlog.get_logger()

_MOST = 200
_DIED = "SERVICE_UNAVAILABLE"
"""Why, in the record: the caller saw its connection break."""


class Recovery:
    """`every`: seconds between two looks."""

    def __init__(self, db: Database, clock: Clock, runs: Runs, relay: Relay, *, every: float = 2.0) -> None:
        self._db = db
        self._clock = clock
        self._runs = runs
        self._relay = relay
        self._every = every

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited for."""
        while True:
            try:
                while await self.recover() == _MOST:
                    pass
            except database.UNAVAILABLE as error:
                log.warning("abandoned records were not looked for", exc_info=error)
            await asyncio.sleep(self._every)

    async def recover(self) -> int:
        """End what nobody runs any more; how many. The rows are locked: another replica takes others."""
        async with self._db.hot.connection() as connection, connection.transaction():
            found = await records.abandoned(connection, self._runs.owner_id, self._runs.running, _MOST)
            for record in found:
                ending, owed = self._ending(record)
                await records.end_in(connection, ending, owed)
        if found:
            log.warning("abandoned records were settled", count=len(found))
            self._relay.wake()
        return len(found)

    def _ending(self, record: Record) -> tuple[Ending, Owes]:
        now = self._clock.now()
        # This process' own, and not running: the commit's confirmation was lost, and so the request never left.
        undelivered = record.owner_id == self._runs.owner_id
        if undelivered:
            usage = Usage()
        elif record.basis:
            usage = replace(record.usage, basis=Basis(record.basis))
        else:
            usage = Usage(input_tokens=record.input_bound, basis=Basis.UNKNOWN)
        opening = _opening(record)
        event = audit_event(
            self._clock,
            opening,
            Status.FAILED,
            usage,
            error_code=_DIED,
            restored_count=record.restored_count,
            recovered=True,
        )
        owed = (
            settlement(opening, usage, occurred_at=now, undelivered=undelivered),
            Owed(event.id, record.org_id, "compliance.audit", event.SerializeToString()),
        )
        ending = Ending(
            org_id=record.org_id,
            request_id=record.request_id,
            owner_id=record.owner_id,
            status=Status.FAILED,
            usage=usage,
            restored_count=record.restored_count,
            answer=None,
            provider_message_id=record.provider_message_id,
            stop_reason=record.stop_reason,
            error_code=_DIED,
            audit_id=event.id,
            upstream_ms=None,
            total_ms=None,
            completed_at=now,
        )
        return ending, owed


def _opening(record: Record) -> Opening:
    phi: dict[str, Any] = record.phi
    return Opening(
        org_id=record.org_id,
        request_id=record.request_id,
        surface=Surface(record.surface),
        stream=record.stream,
        store=record.store,
        model=record.model,
        catalogue_version=record.catalogue_version,
        conversation_id=record.conversation_id,
        caller=Caller(
            record.principal_kind,
            record.principal_id,
            record.agent_id,
            record.user_id,
            tuple(record.delegation_path),
            record.ip_address,
        ),
        owner_id=record.owner_id,
        input_bound=record.input_bound,
        request=None,
        detections=None,
        phi=phi,
        phi_ms=record.phi_ms or 0.0,
        created_at=record.created_at,
    )
