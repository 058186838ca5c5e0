"""The contracts themselves: every method says who may call it and how it is reached, every reason is declared and used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import hasp.errors.v1.reason_pb2 as reasons
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from hasp.access.v1 import access_pb2

from services.chassis.contract import Method, methods_of
from services.chassis.errors import ANSWERS
from services.chassis.timestamps import iso, parse_iso

ROOT = Path(__file__).parents[2]
SCOPES = {"ai:chat", "control:read", "control:write", "control:webhooks"}
WORKLOADS = {"edge", "identity", "inference", "compliance", "billing", "cli"}
# Reasons that gateway/edge.lua gives by itself; the services never see those requests.
OF_THE_EDGE = {
    "MALFORMED_JSON",
    "UNSUPPORTED_PARAMETER",
    "ROUTE_NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "REQUEST_TOO_LARGE",
    "REQUEST_TIMEOUT",
    "UNSUPPORTED_MEDIA_TYPE",
    "UPGRADE_REQUIRED",
    "HEADERS_TOO_LARGE",
}
# Methods with a scope and without a route, and where their callers come from.
FOR_GRPC_CALLERS = {
    "/hasp.identity.v1.InvocationService/WatchInvocation": "a stream of states; HTTP callers read GetInvocation",
    "/hasp.inference.v1.ChatService/StreamChat": "the typed twin of CreateChat",
    "/hasp.inference.v1.PhiService/Scan": "the guard for internal callers",
    "/hasp.inference.v1.PhiService/Redact": "the guard for internal callers",
    "/hasp.inference.v1.PhiService/Restore": "the guard for internal callers",
    "/hasp.inference.v1.PhiService/ScanStream": "the guard for internal callers",
    "/hasp.compliance.v1.EventPublisherService/PublishEvents": "record events come from internal callers",
}


def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString((ROOT / "gateway" / "descriptors.pb").read_bytes())


def all_methods() -> list[Method]:
    for path in sorted((ROOT / "protos" / "gen" / "hasp").rglob("*_pb2.py")):
        __import__(".".join(path.relative_to(ROOT / "protos" / "gen").with_suffix("").parts))
    pool = descriptor_pool.Default()
    files = [file for file in descriptor_set().file if file.name.startswith("hasp/")]
    services = [pool.FindServiceByName(f"{file.package}.{service.name}") for file in files for service in file.service]
    return list(methods_of(services).values())


METHODS = all_methods()


def routed() -> set[str]:
    found = set()
    for file in descriptor_set().file:
        for service in file.service:
            for method in service.method:
                if "google.api.http" in str(method.options):
                    found.add(f"/{file.package}.{service.name}/{method.name}")
    return found


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_says_who_may_call_it(method: Method) -> None:
    rule = method.access
    assert rule is not None
    assert bool(rule.scope) != bool(rule.callers), "a scope for the public or callers for the suite, not both"
    if rule.scope:
        assert rule.scope in SCOPES
    assert set(rule.callers) <= WORKLOADS


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_public_methods_have_a_route_and_internal_ones_none(method: Method) -> None:
    rule = method.access
    assert rule is not None
    if rule.callers:
        assert method.name not in routed()
    elif method.name not in FOR_GRPC_CALLERS:
        assert method.name in routed()


def test_the_agreement_guards_inference_and_nothing_else() -> None:
    guarded = {method.name.rpartition("/")[2] for method in METHODS if method.access is not None and method.access.baa}
    assert guarded == {"CreateChat", "StreamChat", "CreateMessage", "CountTokens"}


def test_every_mutation_over_http_takes_an_idempotency_key() -> None:
    """api: every POST and PUT; token counting leaves nothing behind that a repeat could double."""
    for file in descriptor_set().file:
        for service in file.service:
            for method in service.method:
                text = str(method.options)
                name = f"/{file.package}.{service.name}/{method.name}"
                if re.search(r"\b(post|put): ", text) and method.name != "CountTokens":
                    rule = next(each.access for each in METHODS if each.name == name)
                    assert rule is not None, name
                    assert rule.idempotency != access_pb2.IDEMPOTENCY_UNSPECIFIED, name


def test_every_reason_has_an_answer_and_the_reverse() -> None:
    declared = {name.removeprefix("REASON_") for name in reasons.Reason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert set(ANSWERS) | OF_THE_EDGE == declared


def test_every_reason_that_code_raises_is_declared() -> None:
    declared = {name.removeprefix("REASON_") for name in reasons.Reason.keys()}  # noqa: SIM118
    for path in (ROOT / "services").rglob("*.py"):
        for reason in re.findall(r"^\s+reason(?:: ClassVar\[str\])? = \"([A-Z_]+)\"", path.read_text(), re.MULTILINE):
            assert reason in declared, f"{path}: {reason}"


def test_stubs_descriptors_and_baseline_are_fresh() -> None:
    finished = subprocess.run(
        [sys.executable, str(ROOT / "protos" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_timestamps_print_an_offset_and_read_back() -> None:
    assert iso(parse_iso("2026-05-11T12:00:00+00:00")) == "2026-05-11T12:00:00+00:00"
    assert iso(parse_iso("2026-05-11T14:00:00+02:00")) == "2026-05-11T12:00:00+00:00"
    with pytest.raises(ValueError, match="offset"):
        parse_iso("2026-05-11T12:00:00")
    for beyond in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        with pytest.raises(ValueError, match="year"):
            parse_iso(beyond)
