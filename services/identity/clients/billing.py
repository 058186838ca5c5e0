"""Billing, as identity's outbox talks to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import grpc.aio
from hasp.billing.v1.account_admin_service_pb2 import OpenAccountRequest
from hasp.billing.v1.account_admin_service_pb2_grpc import AccountAdminServiceStub

from services.chassis.outbox import OutboxRow

_DEADLINE = 3.0


class Accounts:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = AccountAdminServiceStub(channel)

    async def open(self, rows: Sequence[OutboxRow]) -> Collection[str]:
        """Open the account of each row's organization: a Relay's Deliver. Raises what keeps any of them from being opened."""
        for row in rows:
            await self._stub.OpenAccount(OpenAccountRequest.FromString(row.payload), timeout=_DEADLINE)
        return [row.id for row in rows]
