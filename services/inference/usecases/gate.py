"""What must be true of an organization before its requests are looked at: kept in memory by push, asked for without a lease."""

from typing import Protocol

from services.chassis.access import OrgId, Principal
from services.chassis.clock import Clock
from services.chassis.watching import Loaded, Remembered, Watch
from services.inference.clients.metering import Metering
from services.inference.domain.errors import OpusNotEnabled


class Agreements(Protocol):
    """What the gate needs of compliance."""

    async def open_gate(self, org_id: OrgId) -> Loaded[None]:
        """Raises BaaRequired when the gate is closed."""
        ...


class Gate:
    """The Business Associate Agreement's gate. Only open answers are kept, so that it lifts on the very next request."""

    def __init__(self, agreements: Agreements, watch: Watch, clock: Clock) -> None:
        self._open: Remembered[OrgId, None] = Remembered(watch, agreements.open_gate, clock=clock)

    async def admit(self, principal: Principal) -> None:
        """Raises BaaRequired."""
        await self._open.get(principal.org_id)


class Entitlements:
    """What an organization's budget opts in to."""

    def __init__(self, metering: Metering, watch: Watch, clock: Clock) -> None:
        self._opus: Remembered[OrgId, bool] = Remembered(watch, metering.opus_enabled, clock=clock)

    async def require_opus(self, org_id: OrgId) -> None:
        """Raises OpusNotEnabled."""
        if not await self._opus.get(org_id):
            raise OpusNotEnabled
