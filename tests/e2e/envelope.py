"""Every refusal, as its client sees it."""

from typing import Any

import httpx

TYPES = {
    400: ("invalid_request", "invalid_request_error"),
    401: ("unauthorized", "authentication_error"),
    402: ("payment_required", "permission_error"),
    403: ("forbidden", "permission_error"),
    404: ("not_found", "not_found_error"),
    405: ("invalid_request", "invalid_request_error"),
    409: ("conflict", "invalid_request_error"),
    413: ("invalid_request", "request_too_large"),
    415: ("invalid_request", "invalid_request_error"),
    422: ("unprocessable", "invalid_request_error"),
    429: ("rate_limited", "rate_limit_error"),
    501: ("unavailable", "api_error"),
    503: ("unavailable", "overloaded_error"),
}


def check(
    answer: httpx.Response, status: int, code: str, param: str | None = None, *, retryable: bool = False
) -> dict[str, Any]:
    """One envelope a surface, whoever refuses; returns the error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    path = answer.request.url.path
    native, anthropic = TYPES[status]
    error = body["error"]
    if path.startswith(("/v1/messages", "/v1/models")):
        assert set(body) == {"type", "error", "request_id"}
        assert (body["type"], error["type"], error["hasp_code"]) == ("error", anthropic, code)
        request_id = body["request_id"]
        assert answer.headers["request-id"] == request_id
        assert answer.headers.get("x-should-retry") == (None if retryable else "false")
    else:
        assert set(body) == {"success", "error", "meta"}
        assert body["success"] is False
        assert {"code", "type", "message", "retryable", "request_id"} <= set(error)
        assert set(error) <= {"code", "type", "message", "param", "details", "retryable", "request_id", "docs_hint"}
        assert (error["type"], error["code"], error["retryable"]) == (native, code, retryable)
        request_id = body["meta"]["request_id"]
        assert error["request_id"] == request_id
        if param is not None:
            assert error["param"] == param
    assert answer.headers["x-request-id"] == request_id
    assert request_id.startswith("req_")
    assert len(request_id) == 30
    assert error["message"]
    return error
