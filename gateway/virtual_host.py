"""The edge's one virtual host: a route per method and path of the contract, a 405 per path, a 404 for the rest."""

from collections.abc import Sequence
from typing import Any

from gateway.routes import VARIABLE, Contract, Route
from gateway.settings import RenderSettings, seconds

KIB = 1024
MIB = 1024 * KIB
DEFAULT_BODY_LIMIT = 1 * MIB
MESSAGES_BODY_LIMIT = 32 * MIB  # stays below the services' gRPC receive limit of 40 MiB, or the refusal becomes a 429
RESPONSE_BODY_LIMIT = 40 * MIB
DEADLINE_MARGIN_MS = 500

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


def routes(settings: RenderSettings, contract: Contract) -> list[dict[str, Any]]:
    """Tried from the first to the last."""
    rendered = [_preflight(origin, contract.services[0]) for origin in settings.cors_origins]
    for template, members in contract.paths():
        rendered.extend(_service_route(settings, contract, route) for route in members)
        rendered.append(_method_not_allowed(template, [route.method for route in members]))
    rendered.append(
        {
            "name": "not_found",
            "match": {"prefix": "/"},
            "direct_response": {"status": 404},
            "typed_per_filter_config": _REFUSED,
        }
    )
    return rendered


def _preflight(origin: str, cluster: str) -> dict[str, Any]:
    """The cors filter answers on routes to a cluster only, so a preflight gets one, though it never goes there."""
    return {
        "name": f"preflight {origin}",
        "match": {
            "prefix": "/v1/",
            "headers": [
                {"name": ":method", "string_match": {"exact": "OPTIONS"}},
                {"name": "origin", "string_match": {"exact": origin}},
                {"name": "access-control-request-method", "present_match": True},
            ],
        },
        "route": {"cluster": cluster},
        "typed_per_filter_config": _REFUSED,
    }


def _service_route(settings: RenderSettings, contract: Contract, route: Route) -> dict[str, Any]:
    is_messages = route.template.startswith("/v1/messages")
    limit = MESSAGES_BODY_LIMIT if is_messages else DEFAULT_BODY_LIMIT
    # Older SDKs post to /v1/messages?beta=true; it means nothing here.
    ignored = ["beta"] if is_messages else []
    rendered: dict[str, Any] = {
        "name": f"{route.method} {route.template}",
        "match": _match(route.template) | {"headers": [{"name": ":method", "string_match": {"exact": route.method}}]},
        "metadata": {
            "filter_metadata": {
                "envoy.filters.http.lua": {
                    "limit_bytes": limit,
                    "json_body": route.takes_json,
                    "query": "".join(f"{name}&" for name in (*route.query, *ignored)),
                }
            }
        },
        "route": {
            "cluster": route.service,
            "retry_policy": _retry_policy(route.method),
            **_timeouts(settings, route),
        },
        "request_headers_to_add": _deadline(settings, route),
    }
    if is_messages:
        rendered["typed_per_filter_config"] = {
            "envoy.filters.http.grpc_json_transcoder": transcoder(settings, contract, limit)
            | {"ignored_query_parameters": ignored},
            "envoy.filters.http.buffer": _BUFFER | {"buffer": {"max_request_bytes": limit}},
        }
    return rendered


def _timeouts(settings: RenderSettings, route: Route) -> dict[str, str]:
    if route.waits_for_model:
        return {"timeout": "0s", "idle_timeout": seconds(settings.stream_idle_timeout)}
    return {"timeout": seconds(settings.unary_timeout)}


def _deadline(settings: RenderSettings, route: Route) -> list[dict[str, Any]]:
    """What the service may hand down to its siblings; a little more than the edge waits, so that the edge answers."""
    if route.waits_for_model:
        return []
    milliseconds = int(settings.unary_timeout * 1000) + DEADLINE_MARGIN_MS
    return [
        {"header": {"key": "grpc-timeout", "value": f"{milliseconds}m"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    ]


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
        "typed_per_filter_config": _REFUSED,
    }


_BUFFER = {"@type": f"{TYPE}extensions.filters.http.buffer.v3.BufferPerRoute"}
# With reject_unknown_method the transcoder would answer 404 before the router could answer at all; and there is no
# reason to wait for the body of a request that is refused.
_REFUSED = {
    "envoy.filters.http.grpc_json_transcoder": {"@type": f"{TYPE}config.route.v3.FilterConfig", "disabled": True},
    "envoy.filters.http.buffer": _BUFFER | {"disabled": True},
}


def _match(template: str) -> dict[str, Any]:
    if not VARIABLE.search(template):
        return {"path": template}
    names = iter(range(100))
    # Envoy caps a variable's name at 16 characters and the edge has no use for it.
    renamed = VARIABLE.sub(lambda _: f"{{v{next(names)}}}", template)
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


def transcoder(settings: RenderSettings, contract: Contract, body_limit: int) -> dict[str, Any]:
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
        # As every form and most clients write a space. Timestamps are read with a space for their `+` too.
        "query_param_unescape_plus": True,
        "max_request_body_size": body_limit,
        "max_response_body_size": RESPONSE_BODY_LIMIT,
    }


def cors(origins: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": f"{TYPE}extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"exact": origin} for origin in origins],
        "allow_methods": "GET,POST,PUT,PATCH,DELETE",
        "allow_headers": ALLOWED_CORS_HEADERS,
        "expose_headers": EXPOSED_CORS_HEADERS,
        "max_age": "600",
    }
