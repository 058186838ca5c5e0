"""The contract read as routes, without Envoy."""

from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from hasp.access.v1 import access_pb2

from gateway.routes import Route, UnroutableContractError, read_contract
from gateway.settings import DESCRIPTORS


def contract_of(
    tmp_path: Path, *methods: descriptor_pb2.MethodDescriptorProto, package: str = "hasp.identity.v1"
) -> Path:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    kept = [file for file in files.file if not file.service]
    empty = "google/protobuf/struct.proto"
    mine = descriptor_pb2.FileDescriptorProto(
        name="test.proto",
        package=package,
        syntax="proto3",
        dependency=[empty, "google/api/annotations.proto", "hasp/access/v1/access.proto"],
        service=[descriptor_pb2.ServiceDescriptorProto(name="TestService", method=methods)],
    )
    path = tmp_path / "descriptors.pb"
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[*kept, mine]).SerializeToString())
    return path


def method(
    name: str, rule: http_pb2.HttpRule, access: access_pb2.Access | None = None
) -> descriptor_pb2.MethodDescriptorProto:
    options: Any = descriptor_pb2.MethodOptions()
    options.Extensions[annotations_pb2.http].CopyFrom(rule)
    options.Extensions[access_pb2.access].CopyFrom(access or access_pb2.Access(scope="control:read"))
    message = ".google.protobuf.Struct"
    return descriptor_pb2.MethodDescriptorProto(name=name, input_type=message, output_type=message, options=options)


def test_every_public_service_of_the_contract_is_routed_and_no_internal_one() -> None:
    contract = read_contract(DESCRIPTORS)
    assert contract.services == ("billing", "compliance", "identity", "inference")
    internal = {"AuthenticationService", "OrganizationService", "PhiService", "BaaGateService", "AuditIntakeService"}
    internal |= {"EventPublisherService", "MeteringService", "AccountAdminService", "WatchService"}
    assert not {service.rpartition(".")[2] for service in contract.rpc_services} & internal
    assert {"hasp.inference.v1.MessagesService", "hasp.billing.v1.UsageService"} <= set(contract.rpc_services)


def test_what_waits_for_a_model_is_known_from_the_contract() -> None:
    contract = read_contract(DESCRIPTORS)
    waiting = {route.template for route in contract.routes if route.waits_for_model}
    assert waiting == {"/v1/ai/chat", "/v1/messages", "/v1/messages/count_tokens", "/v1/audit/export"}


def test_the_query_holds_what_neither_path_nor_body_holds() -> None:
    query = {(route.method, route.template): route.query for route in read_contract(DESCRIPTORS).routes}
    assert query["GET", "/v1/agents"] == ("page", "per_page", "search", "status")
    assert query["GET", "/v1/agents/{agent_id}/credentials"] == ("cursor", "limit", "status")
    assert query["POST", "/v1/agents"] == query["PATCH", "/v1/agents/{agent_id}"] == ()
    assert query["POST", "/v1/agents/{agent_id}/archive"] == query["POST", "/v1/messages"] == ()


def test_a_literal_segment_is_tried_before_a_variable() -> None:
    templates = [route.template for route in read_contract(DESCRIPTORS).routes]
    assert templates.index("/v1/audit/export") < templates.index("/v1/audit/{entry_id}")
    assert templates.index("/v1/webhooks/deliveries/bulk-replay") < templates.index("/v1/webhooks/{endpoint_id}/test")


def test_one_path_has_all_its_methods_and_bindings(tmp_path: Path) -> None:
    rule = http_pb2.HttpRule(get="/v1/things/{id}", additional_bindings=[http_pb2.HttpRule(put="/v1/things/{other}")])
    [(template, routes)] = read_contract(contract_of(tmp_path, method("Get", rule))).paths()
    assert template == "/v1/things/{id}"
    assert [route.method for route in routes] == ["GET", "PUT"]
    assert routes[0] == Route(
        "GET",
        "/v1/things/{id}",
        "identity",
        "hasp.identity.v1.TestService/Get",
        waits_for_model=False,
        takes_json=True,
        query=("fields",),
    )


@pytest.mark.parametrize("path", ["/v1/{name=things/*}", "/v1/things/**", "/v1/things:archive", "/v1/*"])
def test_a_path_that_envoy_cannot_match_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnroutableContractError, match="not supported"):
        read_contract(contract_of(tmp_path, method("Get", http_pb2.HttpRule(get=path))))


def test_two_claims_to_one_route_are_refused(tmp_path: Path) -> None:
    first = method("First", http_pb2.HttpRule(get="/v1/things/{a}"))
    second = method("Second", http_pb2.HttpRule(get="/v1/things/{b}"))
    with pytest.raises(UnroutableContractError, match="both claim"):
        read_contract(contract_of(tmp_path, first, second))


def test_an_internal_method_with_a_route_is_refused(tmp_path: Path) -> None:
    internal = method("Leak", http_pb2.HttpRule(get="/v1/leak"), access_pb2.Access(callers=["inference"]))
    with pytest.raises(UnroutableContractError, match="internal"):
        read_contract(contract_of(tmp_path, internal))


def test_a_routed_service_of_no_workload_is_refused(tmp_path: Path) -> None:
    stray = method("Get", http_pb2.HttpRule(get="/v1/things"))
    with pytest.raises(UnroutableContractError, match="package"):
        read_contract(contract_of(tmp_path, stray, package="hasp.v1"))
