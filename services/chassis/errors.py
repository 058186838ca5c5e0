"""The failures a caller can meet.

    ServiceError                refused or failed for a reason of hasp.errors.v1.Reason
    ├── ValidationFailed        a field breaks its limit; `param` names it
    ├── ResourceNotFound        no such row in the caller's organization
    ├── InvalidApiKey           one answer for missing, malformed, unknown, revoked and expired tokens
    ├── NotImplementedYet       declared in the contract, not built
    └── ServiceUnavailable      a sibling or the database is down

A service declares its own refusals in `domain/errors.py` as subclasses with a `reason`. The boundary interceptor turns them into a gRPC status with
google.rpc.ErrorInfo; everything else that escapes a handler is INTERNAL and its text stays in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import grpc

_Code = grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reason becomes on the wire."""

    code: grpc.StatusCode
    http_status: int
    type: str
    retryable: bool = False


ANSWERS: Mapping[str, Answer] = {
    "VALIDATION_FAILED": Answer(_Code.INVALID_ARGUMENT, 422, "unprocessable"),
    "MALFORMED_JSON": Answer(_Code.INVALID_ARGUMENT, 400, "invalid_request"),
    "UNSUPPORTED_PARAMETER": Answer(_Code.INVALID_ARGUMENT, 400, "invalid_request"),
    "PHI_IN_TOOL_SCHEMA": Answer(_Code.INVALID_ARGUMENT, 400, "invalid_request"),
    "INVALID_API_KEY": Answer(_Code.UNAUTHENTICATED, 401, "unauthorized"),
    "BAA_REQUIRED": Answer(_Code.FAILED_PRECONDITION, 402, "payment_required"),
    "AI_CREDITS_EXHAUSTED": Answer(_Code.RESOURCE_EXHAUSTED, 402, "payment_required"),
    "MISSING_SCOPE": Answer(_Code.PERMISSION_DENIED, 403, "forbidden"),
    "SCOPE_ESCALATION": Answer(_Code.PERMISSION_DENIED, 403, "forbidden"),
    "AGENT_NOT_PERMITTED": Answer(_Code.PERMISSION_DENIED, 403, "forbidden"),
    "PHI_BLOCKED": Answer(_Code.PERMISSION_DENIED, 403, "forbidden"),
    "OPUS_NOT_ENABLED": Answer(_Code.PERMISSION_DENIED, 403, "forbidden"),
    "TOOL_NOT_IN_SCOPE": Answer(_Code.PERMISSION_DENIED, 403, "forbidden"),
    "DELEGATION_NOT_PERMITTED": Answer(_Code.PERMISSION_DENIED, 403, "forbidden"),
    "RESOURCE_NOT_FOUND": Answer(_Code.NOT_FOUND, 404, "not_found"),
    "REQUEST_TOO_LARGE": Answer(_Code.INVALID_ARGUMENT, 413, "invalid_request"),
    "CONCURRENT_MODIFICATION": Answer(_Code.ABORTED, 409, "conflict"),
    "REQUEST_IN_PROGRESS": Answer(_Code.ABORTED, 409, "conflict", retryable=True),
    "DUPLICATE_REQUEST": Answer(_Code.ALREADY_EXISTS, 409, "conflict"),
    "MODEL_RETIRED": Answer(_Code.FAILED_PRECONDITION, 410, "gone"),
    "AGENT_NAME_TAKEN": Answer(_Code.ALREADY_EXISTS, 422, "unprocessable"),
    "AGENT_ARCHIVED": Answer(_Code.FAILED_PRECONDITION, 422, "unprocessable"),
    "INVALID_SCOPE_TYPE": Answer(_Code.INVALID_ARGUMENT, 422, "unprocessable"),
    "EXPIRY_IN_PAST": Answer(_Code.INVALID_ARGUMENT, 422, "unprocessable"),
    "SCOPE_EXCEEDS_PARENT": Answer(_Code.INVALID_ARGUMENT, 422, "unprocessable"),
    "EXPIRY_EXCEEDS_PARENT": Answer(_Code.INVALID_ARGUMENT, 422, "unprocessable"),
    "CHAIN_DEPTH_EXCEEDED": Answer(_Code.INVALID_ARGUMENT, 422, "unprocessable"),
    "IDEMPOTENCY_KEY_REUSED": Answer(_Code.INVALID_ARGUMENT, 422, "unprocessable"),
    "RATE_LIMITED": Answer(_Code.RESOURCE_EXHAUSTED, 429, "rate_limited", retryable=True),
    "CONCURRENCY_LIMIT_REACHED": Answer(_Code.RESOURCE_EXHAUSTED, 429, "rate_limited", retryable=True),
    "BUDGET_EXCEEDED": Answer(_Code.RESOURCE_EXHAUSTED, 429, "rate_limited"),
    "INTERNAL_ERROR": Answer(_Code.INTERNAL, 500, "internal"),
    "NOT_IMPLEMENTED": Answer(_Code.UNIMPLEMENTED, 501, "unavailable"),
    "INFERENCE_UPSTREAM_FAILURE": Answer(_Code.UNAVAILABLE, 502, "unavailable", retryable=True),
    "INFERENCE_UNAVAILABLE": Answer(_Code.UNAVAILABLE, 503, "unavailable", retryable=True),
    "PHI_GUARD_UNAVAILABLE": Answer(_Code.UNAVAILABLE, 503, "unavailable", retryable=True),
    "SERVICE_UNAVAILABLE": Answer(_Code.UNAVAILABLE, 503, "unavailable", retryable=True),
    "UPSTREAM_TIMEOUT": Answer(_Code.DEADLINE_EXCEEDED, 504, "unavailable", retryable=True),
}
"""Reason → answer, for every reason a service raises. The edge's own reasons (routes, sizes, media types) are made in gateway/edge.lua."""


class ServiceError(Exception):
    """A refusal or failure with a reason of the contract.

    `message` is one sentence for the caller: no PHI, no secret, no inner cause. `param` names the field; `details` are JSON values;
    `retry_after` is in whole seconds.
    """

    reason: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        details: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = dict(details or {})
        self.retry_after = retry_after

    @property
    def answer(self) -> Answer:
        return ANSWERS[self.reason]


class ValidationFailed(ServiceError):
    reason = "VALIDATION_FAILED"


class ResourceNotFound(ServiceError):
    reason = "RESOURCE_NOT_FOUND"


class InvalidApiKey(ServiceError):
    reason = "INVALID_API_KEY"

    def __init__(self) -> None:
        super().__init__("The API key is missing or not valid.")


class MissingScope(ServiceError):
    reason = "MISSING_SCOPE"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This call needs the scope {scope}.", details={"required_scope": scope})


class AgentNotPermitted(ServiceError):
    reason = "AGENT_NOT_PERMITTED"


class NotImplementedYet(ServiceError):
    reason = "NOT_IMPLEMENTED"

    def __init__(self) -> None:
        super().__init__("This operation is not available yet.")


class ServiceUnavailable(ServiceError):
    reason = "SERVICE_UNAVAILABLE"

    def __init__(self, message: str = "A part of the service is not available. Try again.") -> None:
        super().__init__(message)
