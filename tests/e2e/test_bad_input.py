"""Bad input of every kind the contract names: its status, code, `param` and envelope; and nothing of it reaches the provider."""

import json
import socket
from typing import Any

import pytest

from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.envelope import check
from tests.e2e.upstream import Upstream

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
USER = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/nothing", 404, "ROUTE_NOT_FOUND"),
        ("POST", "/v1/messages/batches", 404, "ROUTE_NOT_FOUND"),
        ("GET", f"/v1/ai/messages/{ULID}/more", 404, "ROUTE_NOT_FOUND"),
        ("POST", "/hasp.identity.v1.AuthenticationService/Authenticate", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/ai/chat", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/messages", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/v1/usage", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/models", 405, "METHOD_NOT_ALLOWED"),
        ("PATCH", "/v1/usage/budget", 405, "METHOD_NOT_ALLOWED"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_wrong_routes_and_methods_are_refused_before_anybody_is_asked_for_a_key(
    shared_clinic: Clinic, method: str, path: str, status: int, code: str, known: bool
):
    with shared_clinic.http_with(shared_clinic.key if known else None) as http:
        answer = http.request(method, path)
    check(answer, status, code)
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/ai/chat", "/v1/api_keys", "/v1/compliance/baa/acceptances"])
@pytest.mark.parametrize("body", ['{"message": ', "[1, 2]", '"text"', "\x00", '{"message": 5e', "{'a': 1}"])
def test_a_body_that_is_no_json_object_is_malformed(shared_clinic: Clinic, path: str, body: str):
    answer = shared_clinic.http.post(path, content=body, headers={"content-type": "application/json"})
    check(answer, 400, "MALFORMED_JSON")


@pytest.mark.parametrize(("path", "status", "param"), [("/v1/ai/chat", 400, "message"), ("/v1/api_keys", 422, "name")])
def test_no_body_is_a_body_without_fields(shared_clinic: Clinic, path: str, status: int, param: str):
    answer = shared_clinic.http.post(path, headers={"content-type": "application/json"})
    check(answer, status, "VALIDATION_FAILED", param)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("body", ['{"model": ', "[1, 2]", '"text"', "", '{"a": NaN}', "{'a': 1}", "\xff"])
def test_a_messages_body_that_is_no_json_object_is_malformed(
    shared_clinic: Clinic, upstream: Upstream, path: str, body: str
):
    answer = shared_clinic.http.post(path, content=body.encode("latin-1"), headers={"content-type": "application/json"})
    check(answer, 400, "MALFORMED_JSON")
    assert upstream.received() == []


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"message": None}, "VALIDATION_FAILED", "message"),
        ({"message": ""}, "VALIDATION_FAILED", "message"),
        ({"max_tokens": 0}, "VALIDATION_FAILED", "max_tokens"),
        ({"max_tokens": -5}, "VALIDATION_FAILED", "max_tokens"),
        ({"model": "gpt-4o"}, "VALIDATION_FAILED", "model"),
        ({"model": ""}, "VALIDATION_FAILED", "model"),
        ({"message": 5}, "MALFORMED_JSON", None),
        ({"stream": "perhaps"}, "MALFORMED_JSON", None),
        ({"max_tokens": "many"}, "MALFORMED_JSON", None),
        ({"system": ["a"]}, "MALFORMED_JSON", None),
    ],
)
def test_a_bad_chat_field_is_named(
    shared_clinic: Clinic, upstream: Upstream, change: dict[str, Any], code: str, param: str | None
):
    answer = shared_clinic.http.post("/v1/ai/chat", json={"message": "Hello", "stream": False, **change})
    check(answer, 400, code, param)
    assert upstream.received() == []


def test_unknown_fields_of_a_chat_are_ignored(shared_clinic: Clinic):
    assert shared_clinic.chat("Hello", mood="cheerful").status_code == 200


def block(value: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": value}]}


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"store": True}, "UNSUPPORTED_PARAMETER", "store"),
        ({"mood": "cheerful"}, "UNSUPPORTED_PARAMETER", "mood"),
        ({"model": None}, "VALIDATION_FAILED", "model"),
        ({"model": "gpt-4o"}, "VALIDATION_FAILED", "model"),
        ({"model": 5}, "VALIDATION_FAILED", "model"),
        ({"max_tokens": None}, "VALIDATION_FAILED", "max_tokens"),
        ({"max_tokens": 0}, "VALIDATION_FAILED", "max_tokens"),
        ({"max_tokens": "many"}, "VALIDATION_FAILED", "max_tokens"),
        ({"messages": None}, "VALIDATION_FAILED", "messages"),
        ({"messages": []}, "VALIDATION_FAILED", "messages"),
        ({"messages": "Hello"}, "VALIDATION_FAILED", "messages"),
        ({"messages": [5]}, "VALIDATION_FAILED", "messages[0]"),
        ({"messages": [{"role": "nurse", "content": "Hi"}]}, "VALIDATION_FAILED", "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "VALIDATION_FAILED", "messages[0].content"),
        (block(5), "VALIDATION_FAILED", "messages[0].content"),
        (block([5]), "VALIDATION_FAILED", "messages[0].content[0]"),
        (block([{"text": "Hi"}]), "VALIDATION_FAILED", "messages[0].content[0].type"),
        (block([{"type": "text", "text": 5}]), "VALIDATION_FAILED", "messages[0].content[0].text"),
        ({"stream": "yes"}, "VALIDATION_FAILED", "stream"),
        ({"system": 5}, "VALIDATION_FAILED", "system"),
        ({"stop_sequences": "END"}, "VALIDATION_FAILED", "stop_sequences"),
        ({"tools": {}}, "VALIDATION_FAILED", "tools"),
        ({"metadata": "me"}, "VALIDATION_FAILED", "metadata"),
    ],
)
def test_a_bad_messages_field_is_a_400(
    shared_clinic: Clinic, upstream: Upstream, change: dict[str, Any], code: str, param: str
):
    body = {"model": MODEL, "max_tokens": 50, "messages": USER, **change}
    if None in change.values():
        body = {name: value for name, value in body.items() if value is not None}
    error = check(shared_clinic.http.post("/v1/messages", json=body), 400, code)
    assert param.split("[", maxsplit=1)[0] in json.dumps(error)
    if code == "UNSUPPORTED_PARAMETER":
        assert error["hasp_details"]["param"] == param
    assert upstream.received() == []


@pytest.mark.parametrize("parameter", ["mood=cheerful", "limit=many", "limit=5&limit=x"])
def test_a_query_that_the_path_does_not_have_is_refused_before_authentication(shared_clinic: Clinic, parameter: str):
    with shared_clinic.http_with(None) as http:
        check(http.get(f"/v1/api_keys?{parameter}"), 400, "UNSUPPORTED_PARAMETER")


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/v1/api_keys", {"scopes": ["ai:chat"]}, "name"),
        ("POST", "/v1/api_keys", {"name": "x" * 101, "scopes": ["ai:chat"]}, "name"),
        ("POST", "/v1/api_keys", {"name": "x", "scopes": []}, "scopes"),
        ("POST", "/v1/api_keys", {"name": "x", "scopes": ["ai:chat", "ai:fly"]}, "scopes[1]"),
        ("POST", "/v1/api_keys", {"name": "x", "scopes": ["ai:chat"], "format": "wa_dead"}, "format"),
        ("POST", "/v1/api_keys", {"name": "x", "scopes": ["ai:chat"], "expires_at": "tomorrow"}, "expires_at"),
        ("PUT", "/v1/ai/settings", {"phi_mode": "off"}, "phi_mode"),
        ("PUT", "/v1/ai/settings", {"phi_restore": "yes"}, "phi_restore"),
        ("PUT", "/v1/ai/settings", {"storage_mode": "some"}, "storage_mode"),
        ("PUT", "/v1/ai/settings", {"image_policy": "ask"}, "image_policy"),
        ("PUT", "/v1/ai/settings", {"retention_days": 0}, "retention_days"),
        ("PUT", "/v1/ai/settings", {"mood": "cheerful"}, "mood"),
        ("PUT", "/v1/usage/budget", {"spend_cap": -1}, "spend_cap"),
        ("PUT", "/v1/usage/budget", {"spend_cap": 1.5}, "spend_cap"),
        ("PUT", "/v1/usage/budget", {"spend_cap": "all"}, "spend_cap"),
        ("PUT", "/v1/usage/budget", {"alert_thresholds": [10, 20, 30, 40]}, "alert_thresholds"),
        ("PUT", "/v1/usage/budget", {"alert_thresholds": [100]}, "alert_thresholds[0]"),
        ("PUT", "/v1/usage/budget", {"credits_allotment": 5}, "credits_allotment"),
        ("PUT", "/v1/usage/budget", {"mood": "cheerful"}, "mood"),
        ("POST", "/v1/compliance/baa/acceptances", {"template_version": "1", "accept": False}, None),
        ("GET", "/v1/audit?limit=0", None, "limit"),
        ("GET", "/v1/audit?limit=201", None, "limit"),
        ("GET", "/v1/audit?since=yesterday", None, "since"),
        ("GET", "/v1/audit/export?since=yesterday", None, "since"),
        ("GET", "/v1/audit/export?from_size=999999999", None, "from_size"),
        ("GET", "/v1/audit/export?from_size=-1", None, "from_size"),
        ("GET", "/v1/audit/consistency?from_size=999999999", None, "from_size"),
        ("GET", "/v1/audit/log?from_size=999999999", None, "from_size"),
        ("GET", "/v1/audit/checkpoints?limit=0", None, "limit"),
        ("GET", "/v1/usage?start=yesterday", None, "start"),
        ("GET", "/v1/usage?group_by=mood", None, "group_by"),
        ("GET", "/v1/api_keys?limit=1000", None, "limit"),
    ],
)
def test_a_bad_field_of_the_control_plane_is_a_422_that_names_it(
    shared_clinic: Clinic, method: str, path: str, body: Any, param: str | None
):
    answer = shared_clinic.http.request(method, path, json=body)
    check(answer, 422, "VALIDATION_FAILED", param)


def test_an_expiry_in_the_past_is_refused(shared_clinic: Clinic):
    body = {"name": "x", "scopes": ["ai:chat"], "expires_at": "2020-01-01T00:00:00+00:00"}
    answer = shared_clinic.http.post("/v1/api_keys", json=body)
    check(answer, 422, answer.json()["error"]["code"])
    assert answer.json()["error"]["code"] in ("EXPIRY_IN_PAST", "VALIDATION_FAILED")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v1/ai/messages/{ULID}"),
        ("GET", "/v1/ai/messages/nonsense"),
        ("DELETE", f"/v1/api_keys/{ULID}"),
        ("DELETE", "/v1/api_keys/nonsense"),
        ("GET", "/v1/models/claude-none"),
        ("GET", f"/v1/audit/{ULID}"),
        ("GET", f"/v1/audit/{ULID}/proof"),
        ("GET", "/v1/audit/consistency?from_size=1&to_size=999999999"),
        ("GET", f"/v1/compliance/baa/acceptances/{ULID}"),
    ],
)
def test_what_does_not_exist_is_not_found(shared_clinic: Clinic, method: str, path: str):
    check(shared_clinic.http.request(method, path), 404, "RESOURCE_NOT_FOUND")


def test_a_large_body_is_refused_with_the_limit(shared_clinic: Clinic):
    native = shared_clinic.http.post("/v1/ai/chat", json={"message": "x" * 1_100_000})
    assert check(native, 413, "REQUEST_TOO_LARGE")["details"]["limit_bytes"] == 1024 * 1024
    body = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "x" * (33 * 1024 * 1024)}]}
    compatible = shared_clinic.http.post("/v1/messages", json=body)
    assert check(compatible, 413, "REQUEST_TOO_LARGE")["hasp_details"]["limit_bytes"] == 32 * 1024 * 1024


def test_another_media_type_is_refused(shared_clinic: Clinic):
    for path in ("/v1/ai/chat", "/v1/messages"):
        answer = shared_clinic.http.post(path, content=b"message=Hello", headers={"content-type": "text/plain"})
        check(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_grpc_does_not_pass_the_edge(shared_clinic: Clinic):
    answer = shared_clinic.http.post(
        "/hasp.inference.v1.ChatService/StreamChat", content=b"\0\0\0\0\0", headers={"content-type": "application/grpc"}
    )
    assert answer.status_code in (404, 415)
    check(answer, answer.status_code, answer.json()["error"]["code"])


def test_headers_over_the_limit_are_refused_in_the_envelope(shared_clinic: Clinic):
    answer = shared_clinic.http.get("/v1/usage", headers={"x-long": "a" * 100_000})
    assert answer.status_code == 431
    assert answer.json()["error"]["code"] == "HEADERS_TOO_LARGE"


def test_internal_headers_of_a_caller_are_ignored(shared_clinic: Clinic):
    answer = shared_clinic.http.get(
        "/v1/usage",
        headers={
            "x-request-id": "req_" + "0" * 26,
            "x-http-status": "418",
            "x-hasp-org": "other",
            "grpc-timeout": "1n",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != "req_" + "0" * 26


@pytest.mark.parametrize("token", ["", "Bearer", "Basic dXNlcjpwYXNz", "Bearer a b", "Bearer \u00e9"])
def test_a_missing_or_malformed_token_is_one_and_the_same_401(shared_clinic: Clinic, token: str):
    with shared_clinic.http_with(None) as http:
        answers = [
            http.get("/v1/usage", headers=[(b"authorization", token.encode("latin-1"))] if token else []),
            http.get("/v1/usage", headers={"authorization": "Bearer wa_live_" + "0" * 32}),
        ]
    errors = [check(answer, 401, "INVALID_API_KEY") for answer in answers]
    assert errors[0]["message"] == errors[1]["message"]


def test_a_request_that_is_not_http_gets_no_proxy_text(shared_clinic: Clinic):
    with socket.create_connection(("127.0.0.1", shared_clinic.suite.places.edge_port), timeout=5) as raw:
        raw.sendall(b"NONSENSE\r\n\r\n")
        answer = raw.recv(4096)
    assert b"envoy" not in answer.lower()
    assert b"upstream" not in answer.lower()
