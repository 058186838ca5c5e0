"""What identity refuses, beyond the chassis' own refusals."""

from __future__ import annotations

from collections.abc import Collection

from services.chassis.errors import ServiceError


class ScopeEscalation(ServiceError):
    reason = "SCOPE_ESCALATION"

    def __init__(self, scopes: Collection[str]) -> None:
        super().__init__(
            "A key cannot create a key with a scope that it does not hold.", details={"missing_scopes": sorted(scopes)}
        )


class AgentNameTaken(ServiceError):
    reason = "AGENT_NAME_TAKEN"

    def __init__(self) -> None:
        super().__init__("An active agent with this name already exists in your organization.", param="name")


class AgentArchived(ServiceError):
    reason = "AGENT_ARCHIVED"

    def __init__(self) -> None:
        super().__init__("The agent is archived: no credential can be issued to it.")


class InvalidScopeType(ServiceError):
    """An unknown scope type, or one that the agent may not carry."""

    reason = "INVALID_SCOPE_TYPE"

    def __init__(self, *, param: str, message: str = "There is no such scope type.") -> None:
        super().__init__(message, param=param)


class ExpiryInPast(ServiceError):
    reason = "EXPIRY_IN_PAST"

    def __init__(self) -> None:
        super().__init__("expires_at is not in the future.", param="expires_at")


class DelegationNotPermitted(ServiceError):
    reason = "DELEGATION_NOT_PERMITTED"

    def __init__(self) -> None:
        super().__init__("This credential holds no agent.delegate grant to this agent.")


class ScopeExceedsParent(ServiceError):
    reason = "SCOPE_EXCEEDS_PARENT"

    def __init__(self, *, param: str) -> None:
        super().__init__(f"{param} goes beyond what the delegating credential holds.", param=param)


class ExpiryExceedsParent(ServiceError):
    reason = "EXPIRY_EXCEEDS_PARENT"

    def __init__(self) -> None:
        super().__init__("expires_at is after the end of the delegating credential.", param="expires_at")


class ChainDepthExceeded(ServiceError):
    reason = "CHAIN_DEPTH_EXCEEDED"

    def __init__(self, *, permitted: int) -> None:
        super().__init__(
            "The chain of delegations would become longer than permitted.", details={"max_chain_depth": permitted}
        )


class ToolNotInScope(ServiceError):
    """No grant of the credential matches the action. `details` name the tool, or the action's type where it is no tool."""

    reason = "TOOL_NOT_IN_SCOPE"

    def __init__(self, *, type_: str, tool_id: str | None = None) -> None:
        details = {"type": type_} if tool_id is None else {"tool_id": tool_id}
        super().__init__("No granted scope of this credential permits this action.", details=details)


class ConcurrencyLimitReached(ServiceError):
    reason = "CONCURRENCY_LIMIT_REACHED"

    def __init__(self, limit: int) -> None:
        super().__init__(
            "As many invocations run as this credential permits.",
            details={"max_concurrent_invocations": limit},
            retry_after=1,
        )


class RateLimited(ServiceError):
    reason = "RATE_LIMITED"

    def __init__(self, retry_after: int) -> None:
        super().__init__("The grant's hourly rate is used up.", retry_after=retry_after)


class InvocationEnded(ServiceError):
    """It was completed with another outcome, cancelled, or has expired."""

    reason = "CONCURRENT_MODIFICATION"

    def __init__(self, status: str) -> None:
        super().__init__("The invocation has already ended.", details={"status": status})
