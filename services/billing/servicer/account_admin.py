"""AccountAdminService."""

from __future__ import annotations

from decimal import Decimal

import grpc.aio
from hasp.billing.v1 import account_admin_service_pb2 as pb
from hasp.billing.v1.account_admin_service_pb2_grpc import AccountAdminServiceServicer

from services.billing import wire
from services.billing.domain.adjustments import Reason
from services.billing.usecases.accounts import Accounts
from services.chassis.access import OrgId
from services.chassis.clock import from_unix_ms


class AccountAdminServicer(AccountAdminServiceServicer):
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def OpenAccount(
        self, request: pb.OpenAccountRequest, context: grpc.aio.ServicerContext
    ) -> pb.OpenAccountResponse:
        opened_at = from_unix_ms(request.opened_at_ms)
        await self._accounts.open(OrgId(request.org_id), plan=request.plan, opened_at=opened_at)
        return pb.OpenAccountResponse()

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetAccountResponse:
        return wire.account(*await self._accounts.show(OrgId(request.org_id)))

    async def ChangePlan(
        self, request: pb.ChangePlanRequest, context: grpc.aio.ServicerContext
    ) -> pb.ChangePlanResponse:
        await self._accounts.change_plan(OrgId(request.org_id), request.plan)
        return pb.ChangePlanResponse()

    async def AddOverage(
        self, request: pb.AddOverageRequest, context: grpc.aio.ServicerContext
    ) -> pb.AddOverageResponse:
        await self._accounts.add_overage(OrgId(request.org_id), credits_=request.credits, pack_id=request.pack_id)
        return pb.AddOverageResponse()

    async def AdjustCredits(
        self, request: pb.AdjustCreditsRequest, context: grpc.aio.ServicerContext
    ) -> pb.AdjustCreditsResponse:
        await self._accounts.adjust(
            OrgId(request.org_id),
            credits_=Decimal(request.credits),
            reason=Reason(request.reason),
            adjustment_id=request.adjustment_id,
        )
        return pb.AdjustCreditsResponse()

    async def Reconcile(self, request: pb.ReconcileRequest, context: grpc.aio.ServicerContext) -> pb.ReconcileResponse:
        checked, differences = await self._accounts.reconcile(OrgId(request.org_id) if request.org_id else None)
        return pb.ReconcileResponse(checked=checked, differences=differences)
