"""May this request leave, and in which form: the checks between validation and the dispatching commit, in the contract's order.

Reservation and PHI scan run side by side. The answer is the first refusal in the order rate limit → tool schema → PHI → credits,
whichever was known first; a refusal by the guard gives the reservation back before it is answered.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

import grpc.aio
import structlog
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from services.chassis import audit, database
from services.chassis.access import Call, OrgId, Principal
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import ServiceError, ServiceUnavailable, ValidationFailed
from services.chassis.outbox import INSERT_OWED, Owed, Relay, owed_parameters
from services.inference.clients.metering import Decision, Metering, Wanted
from services.inference.domain import phi
from services.inference.domain.catalogue import Catalogue, Model
from services.inference.domain.errors import (
    BudgetExceeded,
    CreditsExhausted,
    OpusNotEnabled,
    PhiBlocked,
    PhiGuardUnavailable,
    PhiInToolSchema,
    RateLimited,
)
from services.inference.domain.record import Surface
from services.inference.usecases.gate import Entitlements
from services.inference.usecases.settlement import ENTITY, release_of

log = structlog.get_logger()

S = TypeVar("S", bound=phi.Scanned)
Scan = Callable[[], Awaitable[S]]


@dataclass(frozen=True, slots=True)
class Admitted(Generic[S]):
    scanned: S
    phi_ms: float
    wanted: Wanted

    @property
    def input_bound(self) -> int:
        return self.wanted.input_bound


class Admission:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        catalogue: Catalogue,
        metering: Metering,
        entitlements: Entitlements,
        relay: Relay,
        *,
        phi_policy: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._metering = metering
        self._entitlements = entitlements
        self._relay = relay
        self._phi_policy = phi_policy
        self.catalogue = catalogue
        self._background: set[asyncio.Task[None]] = set()

    async def model(self, principal: Principal, model_id: str) -> Model:
        """Raises ValidationFailed, ModelRetired, OpusNotEnabled."""
        model = self.catalogue.get(model_id, self._clock.now())
        if model.needs_opt_in:
            await self._entitlements.require_opus(principal.org_id)
        return model

    async def admit(
        self,
        call: Call,
        principal: Principal,
        surface: Surface,
        model: Model,
        scan: Scan[S],
        *,
        input_bound: int,
        max_tokens: int,
        count_only: bool = False,
        bound_after_scan: Callable[[S], int] | None = None,
    ) -> Admitted[S]:
        """Raises the first refusal in the contract's order; a reservation then is released. Rate limit headers are set either way.

        `bound_after_scan`: the input is only known once documents were read, so the reservation waits for the scan.
        """
        wanted = Wanted(
            org_id=principal.org_id,
            request_id=call.request_ulid,
            principal_id=principal.id,
            agent_id=principal.agent_id or "",
            model=model.id,
            catalogue_version=self.catalogue.version,
            input_bound=input_bound,
            max_tokens=max_tokens,
            count_only=count_only,
        )
        scanning = asyncio.create_task(_timed(scan))
        try:
            if bound_after_scan is not None:
                await asyncio.wait([scanning])
                if scanning.exception() is None:
                    wanted = replace(wanted, input_bound=bound_after_scan(scanning.result()[0]))
            reserving = asyncio.create_task(self._metering.reserve(wanted))
            try:
                decision = await asyncio.shield(reserving)
            except asyncio.CancelledError:
                self._in_background(self._release_after(reserving, wanted))
                raise
            except _UNREACHABLE:
                # Billing may hold it all the same, or be about to.
                self._in_background(self._owe_release(wanted, after=_SETTLED_BY_THEN))
                raise ServiceUnavailable from None
        except BaseException:
            scanning.cancel()
            raise
        call.answer_headers.update(decision.headers)
        try:
            _check_limits(decision)
            scanned, phi_ms = await scanning
            _check_credits(decision, surface)
        except (phi.PhiRefusal, ServiceError) as refusal:
            scanning.cancel()
            error = _translated(refusal)
            await self._refuse(call, principal, surface, wanted, decision, refusal, error)
            raise error from None
        except BaseException as failure:
            self._in_background(self.release(wanted))
            if isinstance(failure, Exception):
                # The guard says no by its own refusals: anything else is a defect of it, and nothing leaves unscanned.
                log.error("the PHI guard failed", request_id=call.request_id, exc_info=failure)
                raise PhiGuardUnavailable from None
            raise
        return Admitted(scanned, phi_ms, wanted)

    @asynccontextmanager
    async def holding(self, admitted: Admitted[S]) -> AsyncIterator[None]:
        """Up to the dispatching commit: what fails in here gives the reservation back before it is answered."""
        try:
            yield
        except BaseException:
            await asyncio.shield(self._in_background(self.release(admitted.wanted)))
            raise

    async def _refuse(
        self,
        call: Call,
        principal: Principal,
        surface: Surface,
        wanted: Wanted,
        decision: Decision,
        refusal: Exception,
        error: ServiceError,
    ) -> None:
        if decision.reserved:
            await self.release(wanted)
        if error.reason in _AUDITED:
            event = audit.build(
                self._clock,
                org_id=principal.org_id,
                action="inference.blocked",
                entity_type=ENTITY,
                entity_id=wanted.request_id,
                metadata={
                    "surface": surface.value,
                    "model": wanted.model,
                    "reason": error.reason,
                    "param": error.param,
                    "phi_policy": self._phi_policy,
                    **{name: error.details[name] for name in ("entity_types",) if name in error.details},
                    **_counted(refusal),
                },
            )
            await self.tell(event)

    async def tell(self, event: AuditEvent) -> None:
        """Owe the audit log an event that has no record beside it."""
        owed = Owed(event.id, OrgId(event.org_id), audit.TOPIC, event.SerializeToString())
        async with self._db.hot.connection() as connection:
            await connection.execute(INSERT_OWED, owed_parameters([owed]))
        self._relay.wake()

    async def release(self, wanted: Wanted) -> None:
        """At once where billing answers, through the outbox where it does not."""
        if wanted.count_only:
            return
        try:
            await self._metering.release(wanted.org_id, wanted.request_id)
        except _UNREACHABLE as failure:
            log.warning("a reservation is released later", request_id=f"req_{wanted.request_id}", exc_info=failure)
            await self._owe_release(wanted, after=timedelta(0))

    async def _release_after(self, reserving: asyncio.Task[Decision], wanted: Wanted) -> None:
        await asyncio.wait([reserving])
        await self.release(wanted)

    async def _owe_release(self, wanted: Wanted, *, after: timedelta) -> None:
        if wanted.count_only:
            return
        now = self._clock.now()
        try:
            async with self._db.hot.connection() as connection:
                await connection.execute(INSERT_OWED, owed_parameters([release_of(wanted, now, after=now + after)]))
        except database.UNAVAILABLE as failure:
            # Billing lets go by itself of what nobody renews.
            log.warning("a reservation was not released", request_id=f"req_{wanted.request_id}", exc_info=failure)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


_UNREACHABLE = (grpc.aio.AioRpcError, TimeoutError, OSError, *database.UNAVAILABLE)
_SETTLED_BY_THEN = timedelta(seconds=5)
"""A reservation whose call timed out has been made or not by then."""
_AUDITED = frozenset({"PHI_BLOCKED", "PHI_IN_TOOL_SCHEMA"})


def _check_limits(decision: Decision) -> None:
    if decision.opus_not_enabled:
        raise OpusNotEnabled
    if decision.rate_limited:
        raise RateLimited(decision.retry_after)


def _check_credits(decision: Decision, surface: Surface) -> None:
    if decision.exhausted:
        raise (CreditsExhausted if surface is Surface.NATIVE else BudgetExceeded)(decision.cycle_reset_at)
    if not decision.reserved:
        raise ServiceUnavailable


def _counted(refusal: Exception) -> dict[str, object]:
    if not isinstance(refusal, phi.PhiBlocked):
        return {}
    return {"detections_by_type": refusal.by_type, "detections_by_category": phi.by_category(refusal.by_type)}


def _translated(refusal: Exception) -> ServiceError:
    match refusal:
        case ServiceError():
            return refusal
        case phi.PhiInToolSchema():
            return PhiInToolSchema(refusal.tool, refusal.entity_types)
        case phi.PhiBlocked():
            return PhiBlocked(refusal.entity_types, refusal.reason, refusal.path)
        case phi.PhiTooComplex():
            return ValidationFailed("Nested more deeply than can be scanned.", param=refusal.path)
        case _:
            return PhiGuardUnavailable()


async def _timed(scan: Scan[S]) -> tuple[S, float]:
    started = time.perf_counter()
    scanned = await scan()
    return scanned, round((time.perf_counter() - started) * 1000, 2)
