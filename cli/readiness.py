"""When a part of the suite counts as ready: asked the way its callers ask it."""

import functools
from collections.abc import Callable, Iterable
from http import HTTPStatus

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.channels import workload_channel
from cli.edge import Edge
from cli.table import Places, service_of
from gateway.supervision import healthy_endpoints

_SECONDS = 1.0
# One route of each service. Without a token the service itself answers 401; until the edge reaches it, 503.
_ROUTES = {
    "identity": "/v1/api_keys",
    "inference": "/v1/models",
    "compliance": "/v1/compliance/baa",
    "billing": "/v1/usage",
}


def probe(places: Places, name: str) -> Callable[[], bool]:
    """A question to be asked again until it answers True: does the process do its work?"""
    if name == "simulator":
        return lambda: _status(places.ports["simulator"], "/_sim/health") == HTTPStatus.OK
    stub = health_pb2_grpc.HealthStub(workload_channel(places.address(name), places.tls))
    return functools.partial(_serves, stub)


def edge_probe(places: Places, names: Iterable[str]) -> Callable[[], bool]:
    """The same for the edge: does it reach these processes? It looks after their health itself, twice a second."""
    processes = list(names)
    waiting = [_ROUTES[service] for service in dict.fromkeys(service_of(name) for name in processes)]
    # One replica that answers says nothing of the others.
    addresses = {places.address(name) for name in processes} if places.replicas > 1 else set()
    return lambda: _edge_reaches_all(places.edge_port, waiting) and addresses <= _healthy(str(places.admin_socket))


def _serves(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
    except grpc.RpcError:
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _edge_reaches_all(port: int, waiting: list[str]) -> bool:
    while waiting:
        if _status(port, waiting[-1]) != HTTPStatus.UNAUTHORIZED:
            return False
        waiting.pop()
    return True


def _healthy(admin: str) -> set[str]:
    try:
        return healthy_endpoints(admin)
    except OSError:
        return set()


def _status(port: int, path: str) -> int | None:
    try:
        return Edge(port).get(path, timeout=_SECONDS).status
    except OSError:
        return None
