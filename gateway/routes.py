"""What the contract says about the edge: every google.api.http annotation of a descriptor set, as routes.

The descriptor set is read through a pool of its own, so that rendering needs no generated stubs. A service whose
methods carry no annotation is internal and never appears here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HTTP_OPTION = "google.api.http"
ACCESS_OPTION = "hasp.access.v1.access"
RAW_BODY = ".google.api.HttpBody"
VARIABLE = re.compile(r"\{[A-Za-z0-9_.]+\}")
LITERAL = re.compile(r"[A-Za-z0-9_.-]+")


class UnroutableContractError(ValueError):
    """The descriptor set holds a route that the edge cannot serve; the message names the method."""


@dataclass(frozen=True)
class Route:
    """One HTTP method of one path, and the service that answers it.

    waits_for_model: the answer streams, or needs a BAA and so comes from a model.
    takes_json: the transcoder reads the body, and not the service.
    query: the fields of the request that neither the path nor the body holds.
    """

    method: str
    template: str
    service: str
    rpc: str
    waits_for_model: bool
    takes_json: bool
    query: tuple[str, ...]

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.template.strip("/").split("/"))

    @property
    def is_literal(self) -> bool:
        return not any(VARIABLE.fullmatch(segment) for segment in self.segments)


@dataclass(frozen=True)
class Contract:
    """Routes ordered so that a literal segment is always tried before a variable one."""

    routes: tuple[Route, ...]
    rpc_services: tuple[str, ...]

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(sorted({route.service for route in self.routes}))

    def paths(self) -> Iterator[tuple[str, Sequence[Route]]]:
        by_path: dict[str, list[Route]] = {}
        for route in self.routes:
            by_path.setdefault(VARIABLE.sub("{}", route.template), []).append(route)
        for routes in by_path.values():
            yield routes[0].template, routes


def read_contract(descriptors: Path) -> Contract:
    """The routes of a serialized FileDescriptorSet (imports included)."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    http = pool.FindExtensionByName(HTTP_OPTION)
    access = pool.FindExtensionByName(ACCESS_OPTION)
    options_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MethodOptions"))
    routes: list[Route] = []
    rpc_services: set[str] = set()
    for file in files.file:
        for service in file.service:
            name = f"{file.package}.{service.name}"
            for method in service.method:
                options: Any = options_class.FromString(method.options.SerializeToString())
                fields = pool.FindMessageTypeByName(method.input_type.removeprefix(".")).fields_by_name
                for http_method, template, body in _bindings(options.Extensions[http]):
                    if options.Extensions[access].callers:
                        raise UnroutableContractError(f"{name}/{method.name}: internal, and yet it has a route")
                    rpc_services.add(name)
                    routes.append(
                        Route(
                            method=http_method,
                            template=template,
                            service=_workload(name),
                            rpc=f"{name}/{method.name}",
                            waits_for_model=method.server_streaming or options.Extensions[access].baa,
                            takes_json=method.input_type != RAW_BODY,
                            query=_query(fields, template, body),
                        )
                    )
    _refuse_unroutable(routes)
    return Contract(routes=tuple(sorted(routes, key=_specificity)), rpc_services=tuple(sorted(rpc_services)))


def _bindings(rule: Any) -> Iterator[tuple[str, str, str]]:
    """HTTP method, template and the field that the body is bound to, `*` for all that the path leaves."""
    for each in (rule, *rule.additional_bindings):
        match each.WhichOneof("pattern"):
            case None:
                continue
            case "custom":
                yield each.custom.kind.upper(), each.custom.path, each.body
            case name:
                yield name.upper(), getattr(each, name), each.body


def _query(fields: Iterable[str], template: str, body: str) -> tuple[str, ...]:
    if body == "*":
        return ()
    bound = {variable.strip("{}") for variable in VARIABLE.findall(template)} | {body}
    return tuple(sorted(set(fields) - bound))


def _workload(service: str) -> str:
    parts = service.split(".")
    if len(parts) != 4 or parts[0] != "hasp":
        raise UnroutableContractError(f"{service}: a routed service lives in a package hasp.<workload>.v<N>")
    return parts[1]


def _specificity(route: Route) -> tuple[tuple[int, ...], tuple[str, ...], str]:
    return tuple(1 if VARIABLE.fullmatch(segment) else 0 for segment in route.segments), route.segments, route.method


def _refuse_unroutable(routes: Iterable[Route]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for route in routes:
        for segment in route.segments:
            if not VARIABLE.fullmatch(segment) and not LITERAL.fullmatch(segment):
                raise UnroutableContractError(f"{route.rpc}: segment {segment!r} of {route.template} is not supported")
        key = route.method, VARIABLE.sub("{}", route.template)
        if key in seen:
            raise UnroutableContractError(f"{route.rpc} and {seen[key]} both claim {route.method} {route.template}")
        seen[key] = route.rpc
