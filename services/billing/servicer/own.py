"""UsageService and BudgetService: what an organization sees and sets of its own account."""

from __future__ import annotations

from datetime import datetime

import grpc.aio
from google.protobuf.json_format import MessageToDict
from hasp.billing.v1 import budget_service_pb2 as budget_pb
from hasp.billing.v1 import usage_service_pb2 as usage_pb
from hasp.billing.v1.budget_service_pb2_grpc import BudgetServiceServicer
from hasp.billing.v1.usage_service_pb2_grpc import UsageServiceServicer

from services.billing import wire
from services.billing.domain.usage import Grouping
from services.billing.usecases.budgets import Budgets
from services.billing.usecases.usage import Usages
from services.chassis.access import caller, meta
from services.chassis.errors import ValidationFailed
from services.chassis.timestamps import parse_iso


class BudgetServicer(BudgetServiceServicer):
    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    async def GetBudget(
        self, request: budget_pb.GetBudgetRequest, context: grpc.aio.ServicerContext
    ) -> budget_pb.GetBudgetResponse:
        budget = await self._budgets.get(caller())
        return budget_pb.GetBudgetResponse(success=True, data=wire.budget(budget), meta=meta())

    async def UpdateBudget(
        self, request: budget_pb.UpdateBudgetRequest, context: grpc.aio.ServicerContext
    ) -> budget_pb.UpdateBudgetResponse:
        budget = await self._budgets.update(caller(), MessageToDict(request.budget))
        return budget_pb.UpdateBudgetResponse(success=True, data=wire.budget(budget), meta=meta())


class UsageServicer(UsageServiceServicer):
    def __init__(self, usages: Usages) -> None:
        self._usages = usages

    async def GetUsage(
        self, request: usage_pb.GetUsageRequest, context: grpc.aio.ServicerContext
    ) -> usage_pb.GetUsageResponse:
        usage = await self._usages.get(
            caller(),
            start=_moment(request.start, "start"),
            end=_moment(request.end, "end"),
            grouping=Grouping(request.group_by) if request.HasField("group_by") else None,
        )
        return usage_pb.GetUsageResponse(success=True, data=wire.usage(usage), meta=meta())


def _moment(text: str, param: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_iso(text)
    except ValueError:
        raise ValidationFailed(f"{param} must be an ISO 8601 timestamp with an offset.", param=param) from None
