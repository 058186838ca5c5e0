"""Why an inference request is refused or fails. Each reason is in the contract's enum; the HTTP status follows from it.

ServiceError
 ├─ MalformedJson, UnsupportedParameter, RequestTooLarge      the body
 ├─ BaaRequired                                               the gate
 ├─ OpusNotEnabled, ModelRetired                              the model
 ├─ ToolNotInScope                                            the agent's grants
 ├─ RateLimited, CreditsExhausted, BudgetExceeded             billing
 ├─ PhiInToolSchema, PhiBlocked, PhiGuardUnavailable          the guard
 ├─ ConversationChanged                                       two turns at once
 └─ UpstreamFailure, UpstreamUnavailable, UpstreamTimeout     the provider
"""

from typing import ClassVar

from services.chassis.errors import ServiceError


class MalformedJson(ServiceError):
    reason: ClassVar[str] = "MALFORMED_JSON"


class UnsupportedParameter(ServiceError):
    reason: ClassVar[str] = "UNSUPPORTED_PARAMETER"


class RequestTooLarge(ServiceError):
    reason: ClassVar[str] = "REQUEST_TOO_LARGE"


class BaaRequired(ServiceError):
    reason: ClassVar[str] = "BAA_REQUIRED"

    def __init__(self) -> None:
        super().__init__(
            "A signed Business Associate Agreement is required before inference.",
            details={"baa_url": "/v1/compliance/baa"},
        )


class OpusNotEnabled(ServiceError):
    reason: ClassVar[str] = "OPUS_NOT_ENABLED"

    def __init__(self) -> None:
        super().__init__("This model needs the organization's opt-in (`opus_enabled` of the budget).", param="model")


class ModelRetired(ServiceError):
    reason: ClassVar[str] = "MODEL_RETIRED"

    def __init__(self, recommended_replacement: str | None) -> None:
        super().__init__(
            "This model is retired.", param="model", details={"recommended_replacement": recommended_replacement}
        )


class ToolNotInScope(ServiceError):
    reason: ClassVar[str] = "TOOL_NOT_IN_SCOPE"

    def __init__(self, tool_id: str, param: str) -> None:
        super().__init__("The agent's grants do not include this tool.", param=param, details={"tool_id": tool_id})


class RateLimited(ServiceError):
    reason: ClassVar[str] = "RATE_LIMITED"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"A rate limit is reached. Try again in {retry_after} s.", retry_after=retry_after)


class CreditsExhausted(ServiceError):
    """On the native surface."""

    reason: ClassVar[str] = "AI_CREDITS_EXHAUSTED"

    def __init__(self, cycle_reset_at: str) -> None:
        super().__init__("The credits of this cycle are used up.", details={"cycle_reset_at": cycle_reset_at})


class BudgetExceeded(ServiceError):
    """On the Anthropic surface."""

    reason: ClassVar[str] = "BUDGET_EXCEEDED"

    def __init__(self, cycle_reset_at: str) -> None:
        super().__init__("The credits of this cycle are used up.", details={"cycle_reset_at": cycle_reset_at})


class PhiInToolSchema(ServiceError):
    reason: ClassVar[str] = "PHI_IN_TOOL_SCHEMA"

    def __init__(self, tool: str, entity_types: list[str]) -> None:
        super().__init__(
            "A tool's name, description or schema holds protected health information.",
            param=tool,
            details={"tool": tool, "entity_types": entity_types},
        )


class PhiBlocked(ServiceError):
    reason: ClassVar[str] = "PHI_BLOCKED"

    def __init__(self, entity_types: list[str], why: str, path: str) -> None:
        said = "content that cannot be scanned" if why == "unscannable" else "protected health information"
        super().__init__(
            f"The request holds {said}.",
            param=path,
            details={"entity_types": entity_types, "reason": why, "path": path},
        )


class PhiGuardUnavailable(ServiceError):
    reason: ClassVar[str] = "PHI_GUARD_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The PHI guard is not available. Nothing has left; try again.", retry_after=1)


class ConversationChanged(ServiceError):
    reason: ClassVar[str] = "CONCURRENT_MODIFICATION"

    def __init__(self) -> None:
        super().__init__("Another turn of this conversation began at the same moment.", param="conversation_id")


class UpstreamFailure(ServiceError):
    reason: ClassVar[str] = "INFERENCE_UPSTREAM_FAILURE"

    def __init__(self, message: str, upstream_status: int | None = None) -> None:
        super().__init__(message, details={"upstream_status": upstream_status})


class UpstreamUnavailable(ServiceError):
    reason: ClassVar[str] = "INFERENCE_UNAVAILABLE"

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__("The model provider is overloaded. Try again.", retry_after=retry_after)


class UpstreamTimeout(ServiceError):
    reason: ClassVar[str] = "UPSTREAM_TIMEOUT"

    def __init__(self) -> None:
        super().__init__("The model provider did not answer in time.")


class RunCancelled(ServiceError):
    """The credential was revoked, or whether it was can no longer be told, while the answer was under way."""

    reason: ClassVar[str] = "INVALID_API_KEY"

    def __init__(self) -> None:
        super().__init__("The call was cancelled: its credential is no longer accepted.")
