"""How a run that was dispatched fails: its status, the caller's error, and the stream's last event."""

import orjson
import structlog

from services.chassis import database
from services.chassis.errors import ServiceError, ServiceUnavailable
from services.inference.domain.answer import GarbledAnswer
from services.inference.domain.errors import RunCancelled, UpstreamFailure, UpstreamTimeout, UpstreamUnavailable
from services.inference.domain.record import Status
from services.inference.domain.stream import ProviderError
from services.inference.usecases.pump import Stopped

log = structlog.get_logger()

_OVERLOADED = frozenset({"overloaded_error", "rate_limit_error"})
_TYPES = {
    "VALIDATION_FAILED": "invalid_request_error",
    "REQUEST_TOO_LARGE": "request_too_large",
    "INVALID_API_KEY": "authentication_error",
    "INFERENCE_UNAVAILABLE": "overloaded_error",
    "SERVICE_UNAVAILABLE": "overloaded_error",
    "UPSTREAM_TIMEOUT": "timeout_error",
}


def failure_of(failure: Exception) -> tuple[Status, ServiceError]:
    """What to record and what to say."""
    match failure:
        case Stopped():
            return Status.CANCELLED, RunCancelled()
        case ServiceError():
            return Status.FAILED, failure
        case ProviderError():
            overloaded = failure.kind in _OVERLOADED
            return Status.FAILED, UpstreamUnavailable() if overloaded else UpstreamFailure("The model provider failed.")
        case GarbledAnswer():
            return Status.FAILED, UpstreamFailure("The model provider sent no valid answer.")
        case TimeoutError():
            return Status.FAILED, UpstreamTimeout()
        case _ if isinstance(failure, database.UNAVAILABLE):
            return Status.FAILED, ServiceUnavailable()
        case _:
            log.error("a run failed unexpectedly", exc_info=failure)
            return Status.FAILED, ServiceError("internal error")


def error_event(failure: Exception, error: ServiceError, request_id: str) -> bytes:
    """Anthropic's `error` event with our code. The provider's own words pass, its placeholders masked."""
    if isinstance(failure, ProviderError):
        kind, message = failure.kind, failure.message
    else:
        kind, message = _TYPES.get(error.reason, "api_error"), error.message
    body = {
        "type": "error",
        "error": {"type": kind, "message": message, "hasp_code": error.reason},
        "request_id": f"req_{request_id}",
    }
    return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
