"""One Envoy in front of real gRPC services for the whole folder; a test that needs its own starts its own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.render import RenderSettings
from tests.gateway.backend import Backend
from tests.gateway.edge import Edge, running_edge


@pytest.fixture(scope="session")
def backend(tls_dir: Path) -> Iterator[Backend]:
    running = Backend(tls_dir)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def settings(backend: Backend, tls_dir: Path) -> RenderSettings:
    return RenderSettings(endpoints=backend.endpoints(), tls_dir=tls_dir, admin="/chosen/later")


@pytest.fixture(scope="session")
def _edge(settings: RenderSettings) -> Iterator[Edge]:
    with running_edge(settings) as running:
        yield running


@pytest.fixture
def edge(_edge: Edge) -> Iterator[Edge]:
    """The shared edge. A Lua error fails open, so every test that uses it ends by asserting that there was none."""
    yield _edge
    assert _edge.lua_errors() == 0, _edge.log.read_text()


@pytest.fixture(scope="session")
def _impatient(settings: RenderSettings) -> Iterator[Edge]:
    hasty = replace(settings, unary_timeout=0.5, request_receive_timeout=1, request_headers_timeout=1)
    with running_edge(hasty) as running:
        yield running


@pytest.fixture
def impatient(_impatient: Edge) -> Iterator[Edge]:
    """An edge that waits half a second for a service and one second for a request."""
    yield _impatient
    assert _impatient.lua_errors() == 0, _impatient.log.read_text()


@pytest.fixture
def client(edge: Edge) -> httpx.Client:
    return edge.client
