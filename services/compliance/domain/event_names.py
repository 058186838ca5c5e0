"""The events that webhooks can be subscribed to: a group, a dot and what happened, as `agent.archived`."""

AUDITED = frozenset(
    {
        "account.credits_adjusted",
        "account.cycle_started",
        "account.difference_found",
        "account.opened",
        "account.overage_added",
        "account.plan_changed",
        "agent.archived",
        "agent.credential_delegated",
        "agent.credential_issued",
        "agent.credential_revoked",
        "agent.invocation_cancelled",
        "agent.invocation_completed",
        "agent.metadata_updated",
        "agent.reactivated",
        "agent.registered",
        "agent.tool_authorized",
        "agent.tool_denied",
        "api_key.created",
        "api_key.revoked",
        "audit.exported",
        "baa.document_made",
        "baa.signed",
        "budget.threshold_reached",
        "budget.updated",
        "inference.blocked",
        "inference.cancelled",
        "inference.completed",
        "inference.expired",
        "inference.failed",
        "inference.tokens_counted",
        "organization.created",
        "settings.updated",
        "user.created",
        "webhook.created",
        "webhook.deleted",
        "webhook.disabled",
        "webhook.enabled",
        "webhook.replayed",
        "webhook.secret_rotated",
    }
)
"""Every action of the suite's audit log. A test compares it with the services' sources."""

PUBLISHED = frozenset({"record.bulk_created", "record.created", "record.deleted", "record.updated", "schema.updated"})
"""What internal callers publish."""

TEST = "webhook.test"
"""Sent to an endpoint on request. Nobody subscribes to it."""

EVERYTHING = "*"


def group_of(event: str) -> str:
    """`agent.*` for `agent.archived`."""
    return f"{event.partition('.')[0]}.*"


SUBSCRIBABLE = AUDITED | PUBLISHED | frozenset(map(group_of, AUDITED | PUBLISHED)) | {EVERYTHING}


def patterns_of(event: str) -> tuple[str, str, str]:
    """What matches it in a subscription."""
    return EVERYTHING, group_of(event), event
