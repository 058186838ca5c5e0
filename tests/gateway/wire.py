"""Small words for the tests of this folder: scenarios for the backend, and requests that no client library would send."""

import json
import re
import socket
from typing import Any

import httpx

REQUEST_ID = re.compile(r"req_[0-7][0-9A-HJKMNP-TV-Z]{25}")


def scenario(**behaviour: Any) -> dict[str, str]:
    """Headers that tell the backend what to do; see tests/gateway/backend.py."""
    return {"x-test-scenario": json.dumps(behaviour)}


def native_error(response: httpx.Response) -> dict[str, Any]:
    """The `error` of a native failure, after checking all that every failure must have."""
    body = response.json()
    assert body["success"] is False
    assert set(body) == {"success", "error", "meta"}
    request_id = response.headers["x-request-id"]
    assert body["meta"] == {"request_id": request_id}
    error = body["error"]
    assert error["request_id"] == request_id
    assert set(error) <= {"code", "type", "message", "param", "details", "retryable", "request_id", "docs_hint"}
    _check_headers(response)
    return error


def anthropic_error(response: httpx.Response) -> dict[str, Any]:
    """The `error` of a failure on the Anthropic surface, after checking all that every one must have."""
    body = response.json()
    assert body["type"] == "error"
    assert set(body) == {"type", "error", "request_id"}
    assert body["request_id"] == response.headers["x-request-id"] == response.headers["request-id"]
    assert set(body["error"]) <= {"type", "message", "hasp_code", "hasp_details"}
    _check_headers(response)
    return body["error"]


def _check_headers(response: httpx.Response) -> None:
    assert response.headers["content-type"] == "application/json"
    hidden = {"grpc-status", "grpc-message", "grpc-encoding", "grpc-accept-encoding", "x-http-status", "trailer"}
    assert not hidden & set(response.headers)
    assert not [name for name in response.headers if name.startswith(("x-envoy-", "x-hasp-"))]


def spoken(port: int, text: str, *, timeout: float = 10) -> httpx.Response:
    """Whatever the edge answers to these bytes, up to the end of the body."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(text.encode("latin-1"))
        received = b""
        while b"\r\n\r\n" not in received:
            more = connection.recv(65536)
            if not more:
                break
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        length = int(dict(headers).get("content-length", 0))
        while len(body) < length:
            body += connection.recv(65536)
    return httpx.Response(int(lines[0].split()[1]), headers=headers, content=body)
