"""Billing's proto services: request → use case → response."""

from hasp.billing.v1 import account_admin_service_pb2, budget_service_pb2, metering_service_pb2, usage_service_pb2
from hasp.billing.v1.account_admin_service_pb2_grpc import add_AccountAdminServiceServicer_to_server
from hasp.billing.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
from hasp.billing.v1.metering_service_pb2_grpc import add_MeteringServiceServicer_to_server
from hasp.billing.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server
from hasp.watch.v1 import watch_service_pb2
from hasp.watch.v1.watch_service_pb2_grpc import add_WatchServiceServicer_to_server

from services.billing.servicer.account_admin import AccountAdminServicer
from services.billing.servicer.metering import MeteringServicer
from services.billing.servicer.own import BudgetServicer, UsageServicer
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.budgets import Budgets
from services.billing.usecases.metering import Metering
from services.billing.usecases.usage import Usages
from services.chassis.server import Server
from services.chassis.watch import ChangeLog, WatchServicer

SERVICES = tuple(
    service
    for file in (
        account_admin_service_pb2,
        budget_service_pb2,
        metering_service_pb2,
        usage_service_pb2,
        watch_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)
"""What this process serves: the boundary admits the methods of these and no other."""


def register(
    server: Server, *, accounts: Accounts, budgets: Budgets, metering: Metering, usages: Usages, changes: ChangeLog
) -> None:
    server.add(add_AccountAdminServiceServicer_to_server, AccountAdminServicer(accounts))
    server.add(add_BudgetServiceServicer_to_server, BudgetServicer(budgets))
    server.add(add_MeteringServiceServicer_to_server, MeteringServicer(metering))
    server.add(add_UsageServiceServicer_to_server, UsageServicer(usages))
    server.add(add_WatchServiceServicer_to_server, WatchServicer(changes))
