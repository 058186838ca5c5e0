"""Billing accounts, over billing's internal service."""

from collections.abc import Sequence
from dataclasses import dataclass

from hasp.billing.v1 import account_admin_service_pb2 as pb

from cli.clients import InternalClient

_RECONCILE_SECONDS = 600.0  # it reads the whole journal


@dataclass(frozen=True)
class Reconciled:
    checked: int
    """Accounts."""
    differences: Sequence[str]
    """A line each."""


class Accounts(InternalClient):
    """A client of billing's AccountAdminService."""

    owner = "billing"
    service = pb.DESCRIPTOR.services_by_name["AccountAdminService"]

    def get(self, org_id: str) -> pb.GetAccountResponse:
        """The account and its current cycle; credits are exact decimals."""
        return self._call("GetAccount", pb.GetAccountRequest(org_id=org_id), pb.GetAccountResponse)

    def change_plan(self, org_id: str, plan: str) -> None:
        """From the next cycle on."""
        self._call("ChangePlan", pb.ChangePlanRequest(org_id=org_id, plan=plan), pb.ChangePlanResponse)

    def add_pack(self, org_id: str, credits_: int, pack_id: str) -> None:
        request = pb.AddOverageRequest(org_id=org_id, credits=credits_, pack_id=pack_id)
        self._call("AddOverage", request, pb.AddOverageResponse)

    def adjust(self, org_id: str, credits_: str, *, reason: str, adjustment_id: str) -> None:
        """`credits_`: an exact decimal, negative to take."""
        request = pb.AdjustCreditsRequest(org_id=org_id, credits=credits_, reason=reason, adjustment_id=adjustment_id)
        self._call("AdjustCredits", request, pb.AdjustCreditsResponse)

    def reconcile(self, org_id: str | None) -> Reconciled:
        """None: all organizations."""
        request = pb.ReconcileRequest(org_id=org_id or "")
        report = self._call("Reconcile", request, pb.ReconcileResponse, seconds=_RECONCILE_SECONDS)
        return Reconciled(report.checked, list(report.differences))
