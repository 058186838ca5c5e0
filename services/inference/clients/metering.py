"""Billing: limits and credits before a request, the settlement after it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc.aio
from hasp.billing.v1 import metering_service_pb2 as pb
from hasp.billing.v1.metering_service_pb2_grpc import MeteringServiceStub

from services.chassis.access import OrgId
from services.chassis.outbox import OutboxRow
from services.chassis.watching import Loaded

_DEADLINE = 2.0
SETTLE_TOPIC = "billing.settle"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is about to run. Bounds are in tokens."""

    org_id: OrgId
    request_id: str
    principal_id: str
    agent_id: str
    model: str
    catalogue_version: str
    input_bound: int
    max_tokens: int
    count_only: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Billing's decisions, each by itself. `headers` are the X-RateLimit ones, of the limits that the plan has."""

    reserved: bool
    opus_not_enabled: bool = False
    rate_limited: bool = False
    exhausted: bool = False
    retry_after: int = 0
    cycle_reset_at: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Metering(Protocol):
    """What use cases need of billing."""

    async def reserve(self, wanted: Wanted) -> Decision: ...
    async def release(self, org_id: OrgId, request_id: str) -> None:
        """End a reservation that was never dispatched."""
        ...

    async def renew(self, running: Sequence[tuple[OrgId, str]]) -> None:
        """Keep reservations of running requests from expiring."""
        ...

    async def opus_enabled(self, org_id: OrgId) -> Loaded[bool]: ...


class Billing:
    """Metering over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = MeteringServiceStub(channel)

    async def reserve(self, wanted: Wanted) -> Decision:
        answer = await self._stub.Reserve(
            pb.ReserveRequest(
                org_id=wanted.org_id,
                request_id=wanted.request_id,
                principal_id=wanted.principal_id,
                agent_id=wanted.agent_id,
                model=wanted.model,
                catalogue_version=wanted.catalogue_version,
                input_tokens_bound=wanted.input_bound,
                max_tokens=wanted.max_tokens,
                count_only=wanted.count_only,
            ),
            timeout=_DEADLINE,
        )
        headers: dict[str, str] = {}
        for name in ("requests", "tokens"):
            if answer.HasField(name):
                limit = answer.requests if name == "requests" else answer.tokens
                headers[f"x-ratelimit-limit-{name}"] = str(limit.limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(limit.remaining)
                headers[f"x-ratelimit-reset-{name}"] = limit.reset_at
        return Decision(
            reserved=answer.reserved,
            opus_not_enabled=answer.opus_not_enabled,
            rate_limited=answer.rate_limited,
            exhausted=answer.exhausted,
            retry_after=max(1, answer.retry_after_seconds),
            cycle_reset_at=answer.cycle_reset_at,
            headers=headers,
        )

    async def release(self, org_id: OrgId, request_id: str) -> None:
        ref = pb.RequestRef(org_id=org_id, request_id=request_id)
        await self._stub.Release(pb.ReleaseRequest(requests=[ref]), timeout=_DEADLINE)

    async def renew(self, running: Sequence[tuple[OrgId, str]]) -> None:
        for first in range(0, len(running), 10_000):
            refs = [pb.RequestRef(org_id=org, request_id=ulid) for org, ulid in running[first : first + 10_000]]
            await self._stub.Renew(pb.RenewRequest(requests=refs), timeout=_DEADLINE)

    async def opus_enabled(self, org_id: OrgId) -> Loaded[bool]:
        answer = await self._stub.GetEntitlements(pb.GetEntitlementsRequest(org_id=org_id), timeout=_DEADLINE)
        return Loaded(value=answer.opus_enabled, seq=answer.seq, org_id=org_id)

    async def settle(self, rows: Sequence[OutboxRow]) -> Collection[str]:
        """Deliver settlements from the outbox; ids of those that are booked."""
        settlements = [pb.Settlement.FromString(row.payload) for row in rows]
        answer = await self._stub.Settle(pb.SettleRequest(settlements=settlements), timeout=_DEADLINE * 2)
        return {rows[position].id for position in answer.booked}
