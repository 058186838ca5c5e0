"""The provider's error answers: one shape, a type for each status."""

import orjson

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ProviderError(Exception):
    """The provider says no; becomes an answer in its error shape."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def body(status: int, message: str, request_id: str) -> bytes:
    """The JSON body that goes with `status`; statuses of no own type are `api_error`."""
    return error(TYPES.get(status, "api_error"), message, request_id)


def error(kind: str, message: str, request_id: str) -> bytes:
    """The JSON of an error of type `kind`, as a body or as a stream's `error` event carries it."""
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id})
