"""Every RPC and every worker that changes something, and what it leaves in the audit log.

Whoever adds one adds it here: with the actions that its transaction records, or with the reason why it records none. That each action is
recorded with its effect or not at all is shown where the effect is tested, in `tests/<service>`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pool

from services.compliance.domain.event_names import AUDITED
from tests.contract.test_contracts import METHODS, ROOT

SOURCES = sorted((ROOT / "services").rglob("*.py"))

_INFERENCE = {"inference.completed", "inference.failed", "inference.cancelled", "inference.blocked"}
_MODELS_AND_TOOLS = _INFERENCE | {"agent.tool_denied"}
_ENDED = {"agent.credential_revoked", "agent.invocation_cancelled"}

RECORDED: dict[str, set[str]] = {
    "/hasp.identity.v1.OrganizationService/CreateOrganization": {"organization.created"},
    "/hasp.identity.v1.OrganizationService/CreateUser": {"user.created"},
    "/hasp.identity.v1.OrganizationService/IssueApiKey": {"api_key.created"},
    "/hasp.identity.v1.ApiKeyService/CreateApiKey": {"api_key.created"},
    "/hasp.identity.v1.ApiKeyService/RevokeApiKey": {"api_key.revoked"},
    "/hasp.identity.v1.AgentService/RegisterAgent": {"agent.registered"},
    "/hasp.identity.v1.AgentService/UpdateAgent": {"agent.metadata_updated"},
    "/hasp.identity.v1.AgentService/ArchiveAgent": {"agent.archived", *_ENDED},
    "/hasp.identity.v1.AgentService/ReactivateAgent": {"agent.reactivated"},
    "/hasp.identity.v1.CredentialService/IssueCredential": {"agent.credential_issued", "agent.credential_delegated"},
    "/hasp.identity.v1.CredentialService/RevokeCredential": _ENDED,
    "/hasp.identity.v1.InvocationService/AuthorizeInvocation": {"agent.tool_authorized", "agent.tool_denied"},
    "/hasp.identity.v1.InvocationService/CompleteInvocation": {"agent.invocation_completed"},
    "/hasp.inference.v1.ChatService/CreateChat": _INFERENCE,
    "/hasp.inference.v1.ChatService/StreamChat": _INFERENCE,
    "/hasp.inference.v1.MessagesService/CreateMessage": _MODELS_AND_TOOLS,
    "/hasp.inference.v1.MessagesService/CountTokens": {
        "inference.tokens_counted",
        "inference.blocked",
        "agent.tool_denied",
    },
    "/hasp.inference.v1.SettingsService/UpdateSettings": {"settings.updated"},
    "/hasp.compliance.v1.BaaService/AcceptBaa": {"baa.signed"},
    "/hasp.compliance.v1.BaaService/DownloadAcceptance": {"baa.document_made"},
    "/hasp.compliance.v1.AuditService/ExportAudit": {"audit.exported"},
    "/hasp.compliance.v1.WebhookService/CreateWebhook": {"webhook.created"},
    "/hasp.compliance.v1.WebhookService/DeleteWebhook": {"webhook.deleted"},
    "/hasp.compliance.v1.WebhookService/RotateWebhookSecret": {"webhook.secret_rotated"},
    "/hasp.compliance.v1.WebhookService/ReplayDeliveries": {"webhook.replayed"},
    "/hasp.billing.v1.BudgetService/UpdateBudget": {"budget.updated"},
    "/hasp.billing.v1.AccountAdminService/OpenAccount": {"account.opened"},
    "/hasp.billing.v1.AccountAdminService/ChangePlan": {"account.plan_changed"},
    "/hasp.billing.v1.AccountAdminService/AddOverage": {"account.overage_added"},
    "/hasp.billing.v1.AccountAdminService/AdjustCredits": {"account.credits_adjusted"},
}

_OF_ONE_REQUEST = "the request's own entry tells what it used; the ledger, which is append-only too, keeps each booking"
_STATELESS = "nothing is kept of what was scanned"
UNRECORDED = {
    "/hasp.identity.v1.AuthenticationService/RecordUse": "when a key was last used; what it was used for records itself",
    "/hasp.compliance.v1.AuditIntakeService/AppendEvents": "it is the log",
    "/hasp.compliance.v1.EventPublisherService/PublishEvents": "events of the applications, passed on to whom they subscribed",
    "/hasp.compliance.v1.WebhookService/TestWebhook": "it is in the endpoint's deliveries; if it enables the endpoint, the dispatcher records that",
    "/hasp.billing.v1.MeteringService/Reserve": _OF_ONE_REQUEST,
    "/hasp.billing.v1.MeteringService/Renew": _OF_ONE_REQUEST,
    "/hasp.billing.v1.MeteringService/Settle": _OF_ONE_REQUEST,
    "/hasp.billing.v1.MeteringService/Release": _OF_ONE_REQUEST,
}

WORKERS: dict[str, set[str]] = {
    "services.identity.usecases.invocations.sweeping": {"agent.invocation_cancelled"},
    "services.inference.usecases.recovery": {"inference.failed"},
    "services.inference.usecases.retention": {"inference.expired"},
    "services.billing.usecases.sweeper": {"account.cycle_started"},
    "services.billing.usecases.reconciler": {"account.difference_found"},
    "services.billing.usecases.budgets": {"budget.threshold_reached"},
    "services.compliance.usecases.dispatcher": {"webhook.disabled", "webhook.enabled"},
}
UNRECORDED_WORK = {
    "services.identity.usecases.invocations.sweeping": "forgets invocations that ended 30 days ago: the audit has each of their states",
    "services.billing.usecases.sweeper": "lets go of reservations that nobody renewed: nothing was used",
    "services.compliance.usecases.pruning": "forgets webhook deliveries that ended 30 days ago: the entries they told of stay",
    "services.chassis.idempotency": "forgets kept answers after a day",
    "services.inference.usecases.upkeep": "makes and drops empty tables, forgets dead processes",
}

# Work that changes nothing of an organization's: it passes on, places or remembers what is recorded already.
PASSES_ON = {
    "services.chassis.authentication",
    "services.chassis.outbox",
    "services.chassis.watch",
    "services.chassis.watch_stream",
    "services.compliance.usecases.fan_out",
    "services.compliance.usecases.sequencer",
    "services.identity.usecases.authentication",
    "services.identity.usecases.invocations",
    "services.identity.usecases.invocations.watching",
}

# Without a route, and changing nothing.
READS = {
    "/hasp.identity.v1.AuthenticationService/Authenticate",
    "/hasp.identity.v1.OrganizationService/GetOrganization",
    "/hasp.identity.v1.OrganizationService/ListOrganizations",
    "/hasp.identity.v1.InvocationService/WatchInvocation",
    "/hasp.inference.v1.PhiService/Scan",
    "/hasp.inference.v1.PhiService/Redact",
    "/hasp.inference.v1.PhiService/Restore",
    "/hasp.inference.v1.PhiService/ScanStream",
    "/hasp.compliance.v1.BaaGateService/GetGate",
    "/hasp.billing.v1.MeteringService/GetEntitlements",
    "/hasp.billing.v1.AccountAdminService/GetAccount",
    "/hasp.billing.v1.AccountAdminService/Reconcile",
    "/hasp.watch.v1.WatchService/Watch",
}


def verb(method: str) -> str | None:
    """Of the method's route; None without one."""
    service, name = method[1:].split("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    http: Any = annotations_pb2.http  # the stubs type an extension as a bare FieldDescriptor
    return found.GetOptions().Extensions[http].WhichOneof("pattern")


def union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_it_is_recorded_or_there_is_a_reason_why_not(method: str) -> None:
    places = [method in each for each in (RECORDED, UNRECORDED, READS)]
    assert sum(places) == (0 if verb(method) == "get" and method not in RECORDED else 1)
    assert method not in READS or verb(method) is None


def test_the_lists_name_what_there_is() -> None:
    assert {*RECORDED, *UNRECORDED, *READS} <= {method.name for method in METHODS}
    assert {*WORKERS, *UNRECORDED_WORK, *PASSES_ON} <= {module(path) for path in SOURCES}


def test_every_worker_is_in_a_list() -> None:
    working = {module(path) for path in SOURCES if "async def run(self)" in path.read_text()}
    assert working <= {*WORKERS, *UNRECORDED_WORK, *PASSES_ON}


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_action_of_the_suite_comes_from_an_rpc_or_a_worker_named_here() -> None:
    # The catalogue is held to the sources by tests/compliance/test_event_names.py.
    assert union(RECORDED.values()) | union(WORKERS.values()) == AUDITED
