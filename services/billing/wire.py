"""Domain → protobuf, and what the hot calls carry back."""

from __future__ import annotations

from google.protobuf.struct_pb2 import ListValue
from hasp.billing.v1 import account_admin_service_pb2 as admin_pb
from hasp.billing.v1 import budget_service_pb2 as budget_pb
from hasp.billing.v1 import metering_service_pb2 as metering_pb
from hasp.billing.v1 import usage_service_pb2 as usage_pb

from services.billing.domain.accounts import Account, CycleBalances, credits_of
from services.billing.domain.metering import Decision, Demand, RateLimit, RequestRef, Settlement
from services.billing.domain.usage import Basis, CycleCredits, Group, Tokens, Usage, exact, shown
from services.billing.usecases.budgets import BudgetOfPlan
from services.chassis.access import OrgId
from services.chassis.clock import from_unix_ms
from services.chassis.paging import nullable
from services.chassis.timestamps import iso
from services.chassis.ulids import is_ulid

_MOST_TOKENS = 10**12
_LATEST_MS = 253_402_300_800_000
"""The end of the year 9999."""


def demand(request: metering_pb.ReserveRequest) -> Demand:
    return Demand(
        org_id=OrgId(request.org_id),
        request_id=request.request_id,
        principal_id=request.principal_id,
        model=request.model,
        catalogue_version=request.catalogue_version,
        input_tokens_bound=request.input_tokens_bound,
        max_tokens=request.max_tokens,
        count_only=request.count_only,
    )


def request_ref(ref: metering_pb.RequestRef) -> RequestRef:
    return RequestRef(OrgId(ref.org_id), ref.request_id)


def settlement(told: metering_pb.Settlement) -> Settlement:
    """Raises ValueError for what no honest sender tells and no table holds: nothing of it may fail the batch it would join."""
    tokens = Tokens(
        input=told.input_tokens,
        output=told.output_tokens,
        cache_read=told.cache_read_tokens,
        cache_write=told.cache_write_tokens,
    )
    if min(tokens.input, tokens.output, tokens.cache_read, tokens.cache_write) < 0 or tokens.total > _MOST_TOKENS:
        raise ValueError("an impossible count of tokens")
    if not 0 <= told.occurred_at_ms < _LATEST_MS:
        raise ValueError("an impossible moment")
    if not is_ulid(told.org_id) or not is_ulid(told.request_id):
        raise ValueError("an id that is no ULID")
    if "\0" in told.principal_id + told.agent_id + told.model + told.catalogue_version:
        raise ValueError("a NUL in a text")
    return Settlement(
        org_id=OrgId(told.org_id),
        request_id=told.request_id,
        principal_id=told.principal_id,
        agent_id=told.agent_id,
        model=told.model,
        catalogue_version=told.catalogue_version,
        tokens=tokens,
        basis=Basis(told.basis),
        occurred_at=from_unix_ms(told.occurred_at_ms),
        undelivered=told.undelivered,
    )


def decision(made: Decision) -> metering_pb.ReserveResponse:
    return metering_pb.ReserveResponse(
        reserved=made.reserved,
        opus_not_enabled=made.opus_not_enabled,
        rate_limited=made.rate_limited,
        exhausted=made.exhausted,
        retry_after_seconds=made.retry_after,
        cycle_reset_at=iso(made.cycle_end),
        requests=_rate_limit(made.requests),
        tokens=_rate_limit(made.tokens),
    )


def _rate_limit(limit: RateLimit | None) -> metering_pb.RateLimit | None:
    if limit is None:
        return None
    return metering_pb.RateLimit(limit=limit.limit, remaining=limit.remaining, reset_at=iso(limit.reset_at))


def budget(of_plan: BudgetOfPlan) -> budget_pb.Budget:
    return budget_pb.Budget(
        spend_cap=nullable(of_plan.budget.spend_cap),
        alert_thresholds=of_plan.budget.alert_thresholds,
        credits_allotment=shown(of_plan.allotment),
        opus_enabled=of_plan.budget.opus_enabled,
    )


def account(of: Account, cycle: CycleBalances) -> admin_pb.GetAccountResponse:
    return admin_pb.GetAccountResponse(
        plan=of.plan,
        next_plan=of.next_plan or of.plan,
        cycle_start=iso(cycle.cycle_start),
        cycle_end=iso(cycle.cycle_end),
        allotment=exact(cycle.allotment - cycle.adjustments),
        adjustments=exact(cycle.adjustments),
        overage=exact(cycle.overage),
        used=exact(cycle.used),
        reserved=exact(of.reserved),
        spend_cap="" if of.spend_cap is None else exact(of.spend_cap),
        limit=exact(credits_of(of, cycle).limit),
    )


def usage(used: Usage) -> usage_pb.Usage:
    return usage_pb.Usage(
        period=usage_pb.Usage.Period(start=iso(used.start), end=iso(used.end)),
        credits=_credits(used.credits),
        requests=usage_pb.Usage.Requests(total=used.requests),
        by_model=[
            usage_pb.ModelUsage(
                model=group.key or "",
                requests=group.requests,
                input_tokens=group.input_tokens,
                output_tokens=group.output_tokens,
                credits=shown(group.credits),
            )
            for group in used.by_model
        ],
        series=_series(used),
    )


def _credits(cycle: CycleCredits) -> usage_pb.Usage.Credits:
    return usage_pb.Usage.Credits(
        allotment=shown(cycle.granted),
        used=shown(cycle.used),
        remaining=shown(cycle.remaining),
        reserved=shown(cycle.reserved),
        overage_purchased=shown(cycle.overage),
        overage_consumed=shown(cycle.overage_consumed),
    )


def _series(used: Usage) -> ListValue | None:
    if used.grouping is None:
        return None
    series = ListValue()
    for group in used.series:
        series.add_struct().update(_item(used.grouping.value, group))
    return series


def _item(name: str, group: Group) -> dict[str, str | int | None]:
    return {
        name: group.key,
        "requests": group.requests,
        "input_tokens": group.input_tokens,
        "output_tokens": group.output_tokens,
        "credits": shown(group.credits),
    }
