"""Renders Envoy's configuration from envoy.yaml.in, edge.lua and the routes of the contract.

`render(RenderSettings(...))` returns the text; `python -m gateway.render --help` writes it to a file.
"""

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import routes as contract_routes
from gateway.clusters import cluster, socket_address
from gateway.routes import Contract, Route

HERE = Path(__file__).resolve().parent
DESCRIPTORS = HERE / "descriptors.pb"

KIB = 1024
MIB = 1024 * KIB
DEFAULT_BODY_LIMIT = 1 * MIB
MESSAGES_BODY_LIMIT = 32 * MIB  # stays below the services' gRPC receive limit of 40 MiB, or the refusal becomes a 429
RESPONSE_BODY_LIMIT = 40 * MIB

TYPE = "type.googleapis.com/envoy."
ALLOWED_CORS_HEADERS = (
    "authorization,x-api-key,content-type,accept,idempotency-key,anthropic-version,anthropic-beta,"
    "anthropic-dangerous-direct-browser-access,x-stainless-arch,x-stainless-lang,x-stainless-os,"
    "x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,"
    "x-stainless-timeout,x-stainless-helper-method"
)
EXPOSED_CORS_HEADERS = (
    "x-request-id,request-id,retry-after,idempotent-replayed,x-should-retry,content-disposition,"
    "x-ratelimit-limit-requests,x-ratelimit-remaining-requests,x-ratelimit-reset-requests,"
    "x-ratelimit-limit-tokens,x-ratelimit-remaining-tokens,x-ratelimit-reset-tokens"
)
# An allow-list: no header but our own request id, no query string, no path that matched no route (a stray path is text
# that a stranger typed).
ACCESS_LOG_FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%",
    "request_id": "%RESP(X-REQUEST-ID)%",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": "%DYNAMIC_METADATA(hasp.edge:path)%",
    "status": "%RESPONSE_CODE%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
}


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """What differs between a laptop, compose and a cluster. Durations are seconds.

    endpoints: workload name ("identity") to its "host:port" addresses, for every workload with routes.
    tls_dir: holds ca.pem, edge.pem and edge.key, the client side of mutual TLS to the services.
    admin: a path of a Unix socket, or "host:port" on the loopback interface.
    access_log: a file; /dev/stdout by default.
    """

    endpoints: Mapping[str, Sequence[str]]
    tls_dir: Path
    admin: str
    port: int = 8080
    listen: str = "127.0.0.1"
    descriptors: Path = DESCRIPTORS
    downstream_certificate: Path | None = None
    downstream_key: Path | None = None
    cors_origins: Sequence[str] = ()
    trusted_proxies: int = 0
    requests_per_second: int = 10_000
    max_connections: int = 10_000
    max_request_headers_kb: int = 32
    request_headers_timeout: float = 10
    request_receive_timeout: float = 60
    unary_timeout: float = 15
    stream_idle_timeout: float = 600
    health_interval: float = 0.5
    access_log: str = "/dev/stdout"


def render(settings: RenderSettings) -> str:
    """Envoy's bootstrap configuration as YAML. Raises ValueError for settings or a contract that cannot be served."""
    contract = contract_routes.read_contract(settings.descriptors)
    missing = sorted(set(contract.services) - set(settings.endpoints))
    if missing:
        raise ValueError(f"no endpoints given for: {', '.join(missing)}")
    values = {
        "admin_address": _admin_address(settings.admin),
        "listen_address": socket_address(settings.listen, settings.port),
        "downstream_transport_socket": _downstream_tls(settings),
        "max_connections": settings.max_connections,
        "trusted_proxies": settings.trusted_proxies,
        "max_request_headers_kb": settings.max_request_headers_kb,
        "request_headers_timeout": seconds(settings.request_headers_timeout),
        "request_receive_timeout": seconds(settings.request_receive_timeout),
        "requests_per_second": settings.requests_per_second,
        "access_log": [_access_log(settings.access_log)],
        "edge_lua": (HERE / "edge.lua").read_text(encoding="utf-8"),
        "transcoder": _transcoder(settings, contract, DEFAULT_BODY_LIMIT),
        "virtual_host_filters": {"envoy.filters.http.cors": _cors(settings.cors_origins)},
        "routes": _routes(settings, contract),
        "clusters": [
            cluster(name, settings.endpoints[name], settings.tls_dir, settings.health_interval)
            for name in contract.services
        ],
    }
    template = string.Template((HERE / "envoy.yaml.in").read_text(encoding="utf-8"))
    return template.substitute({name: json.dumps(value) for name, value in values.items()})


def seconds(value: float) -> str:
    """Protobuf's JSON form of a duration."""
    return f"{value:.3f}s"


def _routes(settings: RenderSettings, contract: Contract) -> list[dict[str, Any]]:
    rendered: list[dict[str, Any]] = []
    for template, routes in contract.paths():
        rendered.extend(_service_route(settings, contract, route) for route in routes)
        rendered.append(_method_not_allowed(template, [route.method for route in routes]))
    rendered.append(
        {
            "name": "not_found",
            "match": {"prefix": "/"},
            "direct_response": {"status": 404},
            "typed_per_filter_config": _TRANSCODER_OFF,
        }
    )
    return rendered


def _service_route(settings: RenderSettings, contract: Contract, route: Route) -> dict[str, Any]:
    limit = MESSAGES_BODY_LIMIT if route.template.startswith("/v1/messages") else DEFAULT_BODY_LIMIT
    rendered: dict[str, Any] = {
        "name": f"{route.method} {route.template}",
        "match": _match(route.template) | {"headers": [{"name": ":method", "string_match": {"exact": route.method}}]},
        "metadata": {"filter_metadata": {"envoy.filters.http.lua": {"limit_bytes": limit}}},
        "route": {
            "cluster": route.service,
            "retry_policy": _retry_policy(route.method),
            **_timeouts(settings, route),
        },
    }
    if limit != DEFAULT_BODY_LIMIT:
        rendered["typed_per_filter_config"] = {
            # Older SDKs post to /v1/messages?beta=true; it means nothing here.
            "envoy.filters.http.grpc_json_transcoder": _transcoder(settings, contract, limit)
            | {"ignored_query_parameters": ["beta"]}
        }
    return rendered


def _timeouts(settings: RenderSettings, route: Route) -> dict[str, str]:
    if route.waits_for_model:
        return {"timeout": "0s", "idle_timeout": seconds(settings.stream_idle_timeout)}
    return {"timeout": seconds(settings.unary_timeout)}


def _method_not_allowed(template: str, methods: Sequence[str]) -> dict[str, Any]:
    return {
        "name": f"method_not_allowed {template}",
        "match": _match(template),
        "direct_response": {"status": 405},
        "response_headers_to_add": [
            {
                "header": {"key": "allow", "value": ", ".join(sorted(methods))},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "typed_per_filter_config": _TRANSCODER_OFF,
    }


# With reject_unknown_method the transcoder would answer 404 before the router could answer at all.
_TRANSCODER_OFF = {
    "envoy.filters.http.grpc_json_transcoder": {
        "@type": f"{TYPE}config.route.v3.FilterConfig",
        "disabled": True,
    }
}


def _match(template: str) -> dict[str, Any]:
    if not contract_routes.VARIABLE.search(template):
        return {"path": template}
    names = iter(range(100))
    # Envoy caps a variable's name at 16 characters and the edge has no use for it.
    renamed = contract_routes.VARIABLE.sub(lambda _: f"{{v{next(names)}}}", template)
    return {
        "path_match_policy": {
            "name": "envoy.path.match.uri_template.uri_template_matcher",
            "typed_config": {
                "@type": f"{TYPE}extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
                "path_template": renamed,
            },
        }
    }


def _retry_policy(method: str) -> dict[str, Any]:
    # A refused connection or stream never reached the service, whatever the method; `unavailable` may have, so only a
    # read is asked again.
    conditions = "connect-failure,refused-stream" + (",unavailable" if method == "GET" else "")
    return {
        "retry_on": conditions,
        "num_retries": 2,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": f"{TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _transcoder(settings: RenderSettings, contract: Contract, body_limit: int) -> dict[str, Any]:
    return {
        "@type": f"{TYPE}extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(settings.descriptors.resolve()),
        "services": list(contract.rpc_services),
        "convert_grpc_status": True,
        "match_incoming_request_route": True,
        "print_options": {"always_print_primitive_fields": True, "preserve_proto_field_names": True},
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        "max_request_body_size": body_limit,
        "max_response_body_size": RESPONSE_BODY_LIMIT,
    }


def _cors(origins: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": f"{TYPE}extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"exact": origin} for origin in origins],
        "allow_methods": "GET,POST,PUT,PATCH,DELETE",
        "allow_headers": ALLOWED_CORS_HEADERS,
        "expose_headers": EXPOSED_CORS_HEADERS,
        "max_age": "600",
    }


def _access_log(path: str) -> dict[str, Any]:
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{TYPE}extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": ACCESS_LOG_FIELDS},
        },
    }


def _admin_address(admin: str) -> dict[str, Any]:
    if admin.startswith("/"):
        return {"pipe": {"path": admin, "mode": 0o600}}
    host, _, port = admin.rpartition(":")
    if host not in ("127.0.0.1", "[::1]", "localhost"):
        raise ValueError(f"the admin interface stays on the loopback interface or a socket, not on {admin!r}")
    return socket_address(host.strip("[]").replace("localhost", "127.0.0.1"), int(port))


def _downstream_tls(settings: RenderSettings) -> dict[str, Any]:
    if settings.downstream_certificate is None or settings.downstream_key is None:
        return {
            "name": "envoy.transport_sockets.raw_buffer",
            "typed_config": {"@type": f"{TYPE}extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
        }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(settings.downstream_certificate.resolve())},
                        "private_key": {"filename": str(settings.downstream_key.resolve())},
                    }
                ],
            },
        },
    }


if __name__ == "__main__":
    from gateway.arguments import main

    main()
