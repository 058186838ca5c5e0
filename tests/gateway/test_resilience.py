"""Services that are gone, silent, strange or leaving; and the edge's own leaving."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.render import RenderSettings
from tests.gateway.backend import Backend
from tests.gateway.edge import Edge, free_port, running_edge
from tests.gateway.wire import anthropic_error, native_error, scenario


@contextlib.contextmanager
def own_edge(settings: RenderSettings, **changes: object) -> Iterator[Edge]:
    with running_edge(replace(settings, **changes), wait_for_health=False) as edge:
        yield edge
        assert edge.lua_errors() == 0, edge.log.read_text()


def test_a_dead_service_is_503(settings: RenderSettings) -> None:
    nobody = {service: ["127.0.0.1:1"] for service in settings.endpoints}
    with own_edge(settings, endpoints=nobody) as edge:
        started = time.monotonic()
        native = edge.client.get("/v1/api_keys")
        assert native.status_code == 503
        error = native_error(native)
        assert (error["code"], error["type"], error["retryable"]) == ("SERVICE_UNAVAILABLE", "unavailable", True)
        anthropic = edge.client.post("/v1/messages", json={})
        assert anthropic.status_code == 503
        assert anthropic_error(anthropic)["type"] == "overloaded_error"
        assert "x-should-retry" not in anthropic.headers
        assert time.monotonic() - started < 5


def test_a_service_without_a_replica_is_503(settings: RenderSettings) -> None:
    with own_edge(settings, endpoints={service: [] for service in settings.endpoints}) as edge:
        assert native_error(edge.client.get("/v1/api_keys"))["code"] == "SERVICE_UNAVAILABLE"


def test_a_silent_service_is_504(impatient: Edge) -> None:
    started = time.monotonic()
    response = impatient.client.get("/v1/api_keys", headers=scenario(sleep=30))
    assert response.status_code == 504
    error = native_error(response)
    assert (error["code"], error["retryable"]) == ("UPSTREAM_TIMEOUT", True)
    assert impatient.settings.unary_timeout <= time.monotonic() - started < impatient.settings.unary_timeout + 2


def test_a_model_that_stays_silent_is_504_after_the_idle_timeout(settings: RenderSettings) -> None:
    with own_edge(settings, stream_idle_timeout=0.5) as edge:
        response = edge.client.post("/v1/messages", json={}, headers=scenario(sleep=30))
        assert response.status_code == 504
        assert anthropic_error(response)["type"] == "timeout_error"


def test_a_peer_that_accepts_and_says_nothing_is_an_error_in_the_envelope(settings: RenderSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoints = dict(settings.endpoints) | {"identity": [f"127.0.0.1:{mute.getsockname()[1]}"]}
        with own_edge(settings, endpoints=endpoints) as edge:
            response = edge.client.get("/v1/api_keys")
            assert response.status_code in (503, 504)
            assert native_error(response)["retryable"] is True


def test_another_workloads_certificate_is_not_accepted(settings: RenderSettings) -> None:
    endpoints = dict(settings.endpoints) | {"identity": settings.endpoints["billing"]}
    with own_edge(settings, endpoints=endpoints) as edge:
        response = edge.client.get("/v1/api_keys")
        assert response.status_code == 503
        native_error(response)
        assert sum(edge.statistics("cluster.identity.ssl.fail_verify_san").values()) > 0


def test_a_replica_that_is_gone_is_not_noticed(settings: RenderSettings) -> None:
    endpoints = dict(settings.endpoints) | {"identity": ["127.0.0.1:1", *settings.endpoints["identity"]]}
    with own_edge(settings, endpoints=endpoints, health_interval=60) as edge:
        assert [edge.client.post("/v1/api_keys", json={}).status_code for _ in range(20)] == [200] * 20


def test_errors_of_a_service_never_eject_it(client: httpx.Client, edge: Edge) -> None:
    failure = scenario(code=13, message="No.")
    assert {client.post("/v1/api_keys", json={}, headers=failure).status_code for _ in range(30)} == {500}
    assert client.get("/v1/api_keys").status_code == 200
    assert sum(edge.statistics("cluster.identity.outlier_detection.ejections_enforced_total").values()) == 0


def test_a_replica_that_is_leaving_gets_no_new_calls(settings: RenderSettings, backend: Backend, tls_dir: Path) -> None:
    leaving = Backend(tls_dir, services=("identity",))
    try:
        both = [*backend.endpoints()["identity"], *leaving.endpoints()["identity"]]
        endpoints = dict(settings.endpoints) | {"identity": both}
        with running_edge(replace(settings, endpoints=endpoints, health_interval=0.1)) as edge:
            leaving.say_not_serving("identity")
            time.sleep(0.5)
            served = "cluster.identity.membership_healthy"
            assert edge.statistics(f"^{served}$")[served] == 1
            leaving.stop()
            assert [edge.client.get("/v1/api_keys").status_code for _ in range(20)] == [200] * 20
    finally:
        leaving.stop()


def test_a_service_that_dies_during_a_call_is_503_and_the_call_is_not_made_twice(
    settings: RenderSettings, tls_dir: Path
) -> None:
    dying = Backend(tls_dir, services=("identity",))
    try:
        endpoints = dict(settings.endpoints) | dying.endpoints()
        with own_edge(settings, endpoints=endpoints) as edge:
            undertaker = threading.Timer(0.5, dying.stop)
            undertaker.start()
            response = edge.client.post("/v1/api_keys", json={}, headers=scenario(sleep=10))
            undertaker.join()
            assert response.status_code == 503
            assert native_error(response)["code"] == "SERVICE_UNAVAILABLE"
            assert sum(edge.statistics("^cluster.identity.upstream_rq_retry$").values()) == 0
    finally:
        dying.stop()


def test_only_a_get_is_asked_again_when_a_service_is_unavailable(client: httpx.Client, edge: Edge) -> None:
    name = "cluster.identity.upstream_rq_retry"
    unavailable = scenario(code=14, message="No.")

    def retries() -> int:
        return edge.statistics(f"^{name}$")[name]

    before = retries()
    assert client.post("/v1/api_keys", json={}, headers=unavailable).status_code == 503
    assert retries() == before
    assert client.get("/v1/api_keys", headers=unavailable).status_code == 503
    assert retries() == before + 2


def test_too_many_requests_for_the_whole_edge_are_429(settings: RenderSettings) -> None:
    with own_edge(settings, requests_per_second=5) as edge:
        for path, read, key in (("/v1/models/m", anthropic_error, "hasp_code"), ("/v1/api_keys", native_error, "code")):
            refused = [r for r in (edge.client.get(path) for _ in range(30)) if r.status_code == 429]
            assert refused
            assert read(refused[0])[key] == "RATE_LIMITED"
            assert refused[0].headers["retry-after"] == "1"
            assert "x-should-retry" not in refused[0].headers
        assert native_error(refused[0])["details"] == {"retry_after_seconds": 1}


@pytest.fixture
def drained(settings: RenderSettings, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`python -m gateway`, and its base URL."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "--tls-dir", str(settings.tls_dir), "--port", str(port)]
    command += ["--admin", str(tmp_path / "admin.sock"), "--access-log", str(tmp_path / "access.log"), "--grace", "10"]
    for service, addresses in settings.endpoints.items():
        command += ["--endpoint", f"{service}={addresses[0]}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield process, f"http://127.0.0.1:{port}"
    if process.poll() is None:
        process.kill()
    process.wait()


def eventually_ready(url: str) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0:
                break
        time.sleep(0.05)
    with httpx.Client(base_url=url) as client:
        while time.monotonic() < deadline:
            if client.get("/v1/api_keys").status_code == 200:
                return
            time.sleep(0.05)
    raise AssertionError("the edge did not start")


def test_sigterm_lets_running_requests_finish(drained: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = drained
    eventually_ready(url)
    lines: list[str] = []

    def read() -> None:
        headers = scenario(chunks=20, interval=0.1)
        with (
            httpx.Client(base_url=url, timeout=20) as client,
            client.stream("POST", "/v1/messages", json={}, headers=headers) as response,
        ):
            lines.extend(line for line in response.iter_lines() if line.startswith("data: "))

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    reader.join(10)
    assert len(lines) == 20
    assert process.wait(5) == 0


def test_an_idle_edge_stops_at_once(drained: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = drained
    eventually_ready(url)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert process.wait(5) == 0
    assert time.monotonic() - started < 2


def test_a_port_that_is_taken_is_not_shared(client: httpx.Client, edge: Edge, settings: RenderSettings) -> None:
    command = [sys.executable, "-m", "gateway", "--tls-dir", str(settings.tls_dir), "--port", str(edge.settings.port)]
    command += ["--admin", f"{edge.settings.admin}.second"]
    command += [f"--endpoint={service}={addresses[0]}" for service, addresses in settings.endpoints.items()]
    second = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert second.returncode != 0
    assert b"Address already in use" in second.stderr + second.stdout


def test_envoy_does_not_outlive_its_supervisor(drained: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = drained
    eventually_ready(url)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0:
                return
        time.sleep(0.05)
    raise AssertionError("Envoy still listens")
