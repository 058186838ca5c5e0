"""The rendered configuration: what it refuses to be, and what Envoy says of it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hasp.errors.v1 import reason_pb2

from gateway import arguments
from gateway.render import RenderSettings, render
from gateway.routes import read_contract
from gateway.settings import DESCRIPTORS
from gateway.virtual_host import DEFAULT_BODY_LIMIT, MESSAGES_BODY_LIMIT
from services.chassis.errors import ANSWERS

GRPC_RECEIVE_LIMIT = 40 * 1024 * 1024
REASONS = DESCRIPTORS.parent / "reasons.lua"


@pytest.fixture
def plain(tmp_path: Path) -> RenderSettings:
    endpoints = {service: ["127.0.0.1:1"] for service in read_contract(DESCRIPTORS).services}
    return RenderSettings(endpoints=endpoints, tls_dir=tmp_path, admin="/run/admin.sock")


def routes_of(settings: RenderSettings) -> list[dict]:
    listener = yaml.safe_load(render(settings))["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager["route_config"]["virtual_hosts"][0]["routes"]


def test_envoy_accepts_it() -> None:
    assert arguments.validate() == 0


def test_every_path_has_its_405_and_the_last_route_is_the_404(plain: RenderSettings) -> None:
    routes = routes_of(plain)
    contract = read_contract(DESCRIPTORS)
    refusals = [route for route in routes if route.get("direct_response", {}).get("status") == 405]
    assert len(refusals) == len(list(contract.paths()))
    assert len(routes) == len(contract.routes) + len(refusals) + 1
    assert routes[-1]["direct_response"] == {"status": 404}


def test_body_limits_are_in_order(plain: RenderSettings) -> None:
    limits = {
        route["name"]: route["metadata"]["filter_metadata"]["envoy.filters.http.lua"]["limit_bytes"]
        for route in routes_of(plain)
        if "metadata" in route
    }
    large = {name for name, limit in limits.items() if limit == MESSAGES_BODY_LIMIT}
    assert large == {"POST /v1/messages", "POST /v1/messages/count_tokens"}
    assert set(limits.values()) == {DEFAULT_BODY_LIMIT, MESSAGES_BODY_LIMIT}
    assert MESSAGES_BODY_LIMIT < GRPC_RECEIVE_LIMIT


def test_nothing_of_the_template_is_left_unfilled(plain: RenderSettings) -> None:
    assert "${" not in render(plain)


def test_a_service_without_endpoints_is_refused(plain: RenderSettings) -> None:
    with pytest.raises(ValueError, match="billing"):
        render(replace(plain, endpoints={k: v for k, v in plain.endpoints.items() if k != "billing"}))


@pytest.mark.parametrize("endpoint", ["localhost", "localhost:", ":80", "localhost:http"])
def test_an_endpoint_that_is_none_is_refused(plain: RenderSettings, endpoint: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        render(replace(plain, endpoints={**plain.endpoints, "billing": [endpoint]}))


@pytest.mark.parametrize("admin", ["0.0.0.0:9901", "192.168.1.1:9901", "9901"])
def test_the_admin_interface_stays_at_home(plain: RenderSettings, admin: str) -> None:
    with pytest.raises(ValueError, match="admin"):
        render(replace(plain, admin=admin))


def test_names_are_resolved_and_addresses_are_not(plain: RenderSettings) -> None:
    endpoints = {**plain.endpoints, "billing": ["billing-0:50051", "billing-1:50051"], "identity": ["[::1]:50051"]}
    clusters = yaml.safe_load(render(replace(plain, endpoints=endpoints)))["static_resources"]["clusters"]
    kinds = {cluster["name"]: cluster["type"] for cluster in clusters}
    assert (kinds["billing"], kinds["identity"]) == ("STRICT_DNS", "STATIC")
    assert all("spiffe://hasp/" + cluster["name"] in json.dumps(cluster) for cluster in clusters)


def test_every_reason_of_a_service_is_known_to_the_edge_with_the_same_status() -> None:
    known = dict(re.findall(r'^  ([A-Z_]+) = \{(\d+), "', REASONS.read_text(), re.MULTILINE))
    expected = {code: str(answer.http_status) for code, answer in ANSWERS.items()} | {"VALIDATION_FAILED": "400"}
    assert expected.items() <= known.items()


def test_the_edge_speaks_only_reasons_of_the_contract() -> None:
    values = reason_pb2.DESCRIPTOR.enum_types_by_name["Reason"].values
    declared = {value.name.removeprefix("REASON_") for value in values} - {"UNSPECIFIED"}
    known = set(re.findall(r'^  ([A-Z_]+) = \{\d+, "', REASONS.read_text(), re.MULTILINE))
    assert known == declared
