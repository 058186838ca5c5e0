"""What both surfaces run on: the guard, the admission, the runs and the provider."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from services.chassis.access import Call, Principal
from services.chassis.clock import Clock
from services.chassis.sealing import Sealer
from services.chassis.watching import RunningCalls
from services.inference.clients.upstream import Pieces
from services.inference.domain import phi
from services.inference.domain.record import pack_detections
from services.inference.domain.settings import Settings
from services.inference.usecases.admission import Admission
from services.inference.usecases.pump import Pump, Stop, Stopped
from services.inference.usecases.runs import Run, Runs
from services.inference.usecases.settings import SettingsOfOrganizations


class Provider(Protocol):
    """What use cases need of the model provider."""

    async def ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]: ...
    async def stream(self, path: str, body: bytes, headers: Mapping[str, str]) -> Pieces: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """`phi_policy`: version and tier of the guard. `phi_patience`: seconds that a scan may take."""

    clock: Clock
    sealer: Sealer
    guard: phi.Guard
    upstream: Provider
    settings: SettingsOfOrganizations
    admission: Admission
    runs: Runs
    running_calls: RunningCalls
    phi_policy: str
    phi_patience: float = 5.0

    @contextmanager
    def watched(self, principal: Principal, stop: Stop) -> Iterator[ExitStack]:
        """Stopped when the credential is revoked. `pop_all` of the stack keeps it watched beyond the block."""
        with ExitStack() as stack:
            stack.enter_context(self.running_calls.register(principal, stop))
            yield stack

    def deadline(self) -> float:
        return time.monotonic() + self.phi_patience

    async def org_key(self, principal: Principal) -> bytes:
        """Keys the guard's memory of what it scanned."""
        return await self.sealer.derive(principal.org_id, "phi-cache")

    async def hash_salt(self, principal: Principal) -> bytes:
        """Of the hashes that stand in the place of values: for good, so that they can be compared across calls."""
        return await self.sealer.derive(principal.org_id, "phi-hash", lasting=True)

    def policy(self, settings: Settings) -> phi.Policy:
        return phi.Policy(mode=settings.phi_mode, image_policy=settings.image_policy, restore=settings.phi_restore)

    def phi_of(self, settings: Settings, scanned: phi.Scanned) -> dict[str, Any]:
        """As the record keeps it readable, and the audit log too: types and counts."""
        return {
            "mode": settings.phi_mode,
            "policy": self.phi_policy,
            "restore": settings.phi_restore,
            "action": scanned.action,
            "entity_types": scanned.entity_types,
            "redaction_count": scanned.redaction_count,
            "by_type": scanned.by_type,
        }

    async def sealed_request(self, principal: Principal, call: Call, packed: bytes) -> bytes:
        return await self.sealer.seal(
            principal.org_id, table="records", row=f"{call.request_ulid}/request", plaintext=packed
        )

    async def sealed_detections(self, principal: Principal, call: Call, scanned: phi.Scanned) -> bytes | None:
        if not scanned.redactions:
            return None
        return await self.sealer.seal(
            principal.org_id,
            table="records",
            row=f"{call.request_ulid}/detections",
            plaintext=pack_detections(scanned.redactions),
        )

    async def asked(self, run: Run, stop: Stop, path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """The provider's whole answer. Raises Stopped as soon as `stop` says so."""
        run.upstream_started = time.perf_counter()
        asking = asyncio.create_task(self.upstream.ask(path, body, headers))
        stop.then(asking.cancel)
        try:
            return await asking
        except asyncio.CancelledError:
            asking.cancel()
            # Which of the two was cancelled: this call, or only the question to the provider.
            if stop.why is not None and not _is_cancelling():
                raise Stopped(stop.why) from None
            raise
        finally:
            run.upstream_ended = time.perf_counter()

    def opened(self, run: Run, stop: Stop, path: str, body: bytes, headers: Mapping[str, str]) -> Pump:
        """The provider's answer as it comes."""
        run.upstream_started = time.perf_counter()
        return Pump(lambda: self.upstream.stream(path, body, headers), stop)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
