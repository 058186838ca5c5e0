"""Every failure a client can meet, in both envelopes, through a real Envoy."""

import json
from typing import Any

import httpx
import pytest

from services.chassis.errors import ANSWERS
from tests.gateway.wire import anthropic_error, native_error, scenario

NATIVE = "/v1/api_keys"
ANTHROPIC = "/v1/messages"
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "permission_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    409: "invalid_request_error",
    410: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    426: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    500: "api_error",
    501: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
RETRYABLE = {"RATE_LIMITED", "CONCURRENCY_LIMIT_REACHED", "REQUEST_IN_PROGRESS"}


def failing(client: httpx.Client, path: str, **behaviour: Any) -> httpx.Response:
    return client.post(path, json={"name": "x"}, headers=scenario(**behaviour))


def is_retryable(code: str, status: int) -> bool:
    return code in RETRYABLE or status in (502, 503, 504)


@pytest.mark.parametrize("code", ANSWERS)
def test_a_reason_alone_becomes_status_and_type_in_both_envelopes(client: httpx.Client, code: str) -> None:
    answer = ANSWERS[code]
    status = 400 if code == "VALIDATION_FAILED" else answer.http_status
    kind = "invalid_request" if code == "VALIDATION_FAILED" else answer.type
    behaviour = {"code": answer.code.value[0], "message": "A sentence.", "reason": code}

    native = failing(client, NATIVE, **behaviour)
    error = native_error(native)
    assert (native.status_code, error["code"], error["type"]) == (status, code, kind)
    assert error["retryable"] is answer.retryable is is_retryable(code, status)
    assert error["message"] == ("An internal error occurred." if code == "INTERNAL_ERROR" else "A sentence.")
    assert "x-should-retry" not in native.headers

    anthropic = failing(client, ANTHROPIC, **behaviour)
    error = anthropic_error(anthropic)
    assert (anthropic.status_code, error["hasp_code"], error["type"]) == (status, code, ANTHROPIC_TYPES[status])
    assert anthropic.headers.get("x-should-retry") == (None if answer.retryable else "false")


def test_the_service_decides_status_type_and_retryable(client: httpx.Client) -> None:
    metadata = {"http_status": "422", "type": "unprocessable", "retryable": "true", "param": "scopes[0]"}
    response = failing(client, NATIVE, code=3, message="No.", reason="VALIDATION_FAILED", metadata=metadata)
    error = native_error(response)
    assert response.status_code == 422
    assert error["type"] == "unprocessable"
    assert error["retryable"] is True
    assert error["param"] == "scopes[0]"


def test_details_and_hint_pass_as_they_are(client: httpx.Client) -> None:
    details = {"entity_types": ["PERSON", "US_SSN"], "path": 'a"b\\c', "n": 1.5, "nothing": None, "é": "\u2028😀"}
    metadata = {"details": json.dumps(details), "docs_hint": "phi#blocked", "http_status": "403"}
    behaviour = {"code": 7, "message": 'Blocked "here" \\ 😀\n.', "reason": "PHI_BLOCKED", "metadata": metadata}
    error = native_error(failing(client, NATIVE, **behaviour))
    assert error["details"] == details
    assert error["docs_hint"] == "phi#blocked"
    assert error["message"] == 'Blocked "here" \\ 😀\n.'
    assert anthropic_error(failing(client, ANTHROPIC, **behaviour))["hasp_details"] == details


@pytest.mark.parametrize(
    "details",
    ['{"a": ', "[1]", '"text"', '{"a": 1} {"b": 2}', '{"a": 01x}', '{"a": "\n"}', "", "{a: 1}", '{"a": "\\x"}'],
)
def test_details_that_are_no_json_object_are_left_out(client: httpx.Client, details: str) -> None:
    behaviour = {"code": 7, "message": "No.", "reason": "PHI_BLOCKED", "metadata": {"details": details}}
    assert "details" not in native_error(failing(client, NATIVE, **behaviour))
    assert "hasp_details" not in anthropic_error(failing(client, ANTHROPIC, **behaviour))


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (None, {"param": "max_tokens"}),
        ("{}", {"param": "max_tokens"}),
        ('{"limit": {"a": [1, "}"]}}', {"param": "max_tokens", "limit": {"a": [1, "}"]}}),
        ('{"param": "its own"}', {"param": "its own"}),
    ],
)
def test_param_joins_the_details_on_the_anthropic_surface(
    client: httpx.Client, details: str | None, expected: dict[str, Any]
) -> None:
    metadata = {"param": "max_tokens"} | ({"details": details} if details else {})
    response = failing(client, ANTHROPIC, code=3, message="No.", reason="VALIDATION_FAILED", metadata=metadata)
    assert anthropic_error(response)["hasp_details"] == expected


@pytest.mark.parametrize(
    ("grpc_code", "status", "code"),
    [
        (1, 503, "SERVICE_UNAVAILABLE"),
        (2, 500, "INTERNAL_ERROR"),
        (3, 400, "VALIDATION_FAILED"),
        (4, 504, "UPSTREAM_TIMEOUT"),
        (5, 404, "RESOURCE_NOT_FOUND"),
        (6, 409, "CONCURRENT_MODIFICATION"),
        (7, 403, "MISSING_SCOPE"),
        (8, 429, "RATE_LIMITED"),
        (9, 400, "VALIDATION_FAILED"),
        (10, 409, "CONCURRENT_MODIFICATION"),
        (11, 400, "VALIDATION_FAILED"),
        (12, 501, "NOT_IMPLEMENTED"),
        (13, 500, "INTERNAL_ERROR"),
        (14, 503, "SERVICE_UNAVAILABLE"),
        (15, 500, "INTERNAL_ERROR"),
        (16, 401, "INVALID_API_KEY"),
    ],
)
@pytest.mark.parametrize("domain", [None, "grpc.io"])
def test_a_status_without_our_reason_says_nothing_of_its_text(
    client: httpx.Client, grpc_code: int, status: int, code: str, domain: str | None
) -> None:
    behaviour: dict[str, Any] = {"code": grpc_code, "message": "secret inner cause"}
    if domain:
        behaviour |= {"reason": "SOMETHING", "domain": domain}
    native = failing(client, NATIVE, **behaviour)
    assert (native.status_code, native_error(native)["code"]) == (status, code)
    anthropic = failing(client, ANTHROPIC, **behaviour)
    assert (anthropic.status_code, anthropic_error(anthropic)["hasp_code"]) == (status, code)
    assert "secret" not in native.text + anthropic.text + str(native.headers) + str(anthropic.headers)


def test_an_unhandled_exception_leaks_nothing(client: httpx.Client) -> None:
    for path, read in ((NATIVE, native_error), (ANTHROPIC, anthropic_error)):
        response = failing(client, path, **{"raise": "password=hunter2"})
        assert response.status_code == 500
        assert read(response)["message"] == "An internal error occurred."
        assert "hunter2" not in response.text + str(response.headers)


def test_a_reason_of_tomorrow_keeps_the_status_its_service_gave_it(client: httpx.Client) -> None:
    given = failing(client, NATIVE, code=9, message="No.", reason="NEW", metadata={"http_status": "409"})
    assert (given.status_code, native_error(given)["type"]) == (409, "conflict")
    derived = failing(client, NATIVE, code=5, message="No.", reason="NEW")
    assert (derived.status_code, native_error(derived)["type"]) == (404, "not_found")


def test_an_operation_that_is_not_built_yet_is_501(client: httpx.Client) -> None:
    response = client.get("/v1/usage")
    assert response.status_code == 501
    assert native_error(response)["code"] == "NOT_IMPLEMENTED"


def test_when_to_try_again_is_a_header_when_the_service_says_it_in_the_error(client: httpx.Client) -> None:
    response = failing(client, NATIVE, code=14, message="No.", reason="X", metadata={"retry_after": "5"})
    assert response.headers["retry-after"] == "5"


def test_rate_limit_headers_pass_on_errors_whether_initial_or_trailing(client: httpx.Client) -> None:
    headers = {"retry-after": "7", "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
    for kind in ("initial", "trailing"):
        behaviour: dict[str, Any] = {kind: headers, "code": 8, "message": "Slow down.", "reason": "RATE_LIMITED"}
        for path in (NATIVE, ANTHROPIC):
            response = failing(client, path, **behaviour)
            assert response.status_code == 429
            assert {name: response.headers.get(name) for name in headers} == headers


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/api_keys", "/v1/api_keys/", "/v1/usage/budgets", "/v1/modelsx"])
def test_an_unknown_path_is_404_in_the_native_envelope(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert native_error(response)["code"] == "ROUTE_NOT_FOUND"


@pytest.mark.parametrize("path", ["/v1/messages/unknown", "/v1/models/a/b", "/v1/messages/?x=1"])
def test_an_unknown_path_of_the_anthropic_surface_is_404_in_its_envelope(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    error = anthropic_error(response)
    assert (error["type"], error["hasp_code"]) == ("not_found_error", "ROUTE_NOT_FOUND")
    assert response.headers["x-should-retry"] == "false"


def test_a_grpc_path_is_not_reachable(client: httpx.Client) -> None:
    for path in (
        "/hasp.identity.v1.OrganizationService/CreateOrganization",
        "/hasp.identity.v1.ApiKeyService/ListApiKeys",
    ):
        assert client.post(path, json={}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/api_keys", "GET, POST"),
        ("POST", "/v1/api_keys/01M8", "DELETE"),
        ("GET", "/v1/ai/chat", "POST"),
        ("DELETE", "/v1/agents/01M8", "GET, PATCH"),
        ("GET", "/v1/webhooks/deliveries/bulk-replay", "POST"),
        ("OPTIONS", "/v1/usage/budget", "GET, PUT"),
        ("TRACE", "/v1/usage", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    client: httpx.Client, method: str, path: str, allow: str
) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allow)
    assert native_error(response)["code"] == "METHOD_NOT_ALLOWED"


def test_a_wrong_method_on_the_anthropic_surface_is_405_in_its_envelope(client: httpx.Client) -> None:
    for method, path, allow in (("GET", "/v1/messages", "POST"), ("POST", "/v1/models", "GET")):
        response = client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, allow)
        assert anthropic_error(response)["hasp_code"] == "METHOD_NOT_ALLOWED"


def test_head_answers_like_a_wrong_method_without_a_body(client: httpx.Client) -> None:
    for path, status in (("/v1/api_keys", 405), ("/v1/models", 405), ("/nowhere", 404)):
        response = client.head(path)
        assert response.status_code == status
        assert response.content == b""
        assert response.headers["x-request-id"].startswith("req_")
    assert client.get("/v1/api_keys").status_code == 200  # the connection is still in step
