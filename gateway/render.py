"""Renders Envoy's configuration from envoy.yaml.in, edge.lua and the routes of the contract.

`render(RenderSettings(...))` returns the text; `python -m gateway.render --help` writes it to a file.
"""

import json
import string
from typing import Any

from gateway import virtual_host
from gateway.clusters import cluster, socket_address
from gateway.routes import read_contract
from gateway.settings import HERE, RenderSettings, seconds

__all__ = ["RenderSettings", "render"]

LUA_FILES = ("reasons.lua", "json.lua", "edge.lua")
TYPE = "type.googleapis.com/envoy."
# An allow-list: no header but our own request id, no query string, no path that matched no route (a stray path is text
# that a stranger typed).
ACCESS_LOG_FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%",
    "request_id": "%RESP(X-REQUEST-ID)%",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    # The route, not the path: what a caller wrote in the place of an id may be anything.
    "route": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
}


def render(settings: RenderSettings) -> str:
    """Envoy's bootstrap configuration as YAML. Raises ValueError for settings or a contract that cannot be served."""
    contract = read_contract(settings.descriptors)
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
        # One chunk: Envoy's Lua has no way to load a file that does not hang on the working directory.
        "edge_lua": "\n".join((HERE / name).read_text(encoding="utf-8") for name in LUA_FILES),
        "default_body_limit": virtual_host.DEFAULT_BODY_LIMIT,
        "transcoder": virtual_host.transcoder(settings, contract, virtual_host.DEFAULT_BODY_LIMIT),
        "virtual_host_filters": {"envoy.filters.http.cors": virtual_host.cors(settings.cors_origins)},
        "routes": virtual_host.routes(settings, contract),
        "clusters": [
            cluster(name, settings.endpoints[name], settings.tls_dir, settings.health_interval)
            for name in contract.services
        ],
    }
    template = string.Template((HERE / "envoy.yaml.in").read_text(encoding="utf-8"))
    return template.substitute({name: json.dumps(value) for name, value in values.items()})


def _access_log(path: str | None) -> dict[str, Any]:
    loggers = f"{TYPE}extensions.access_loggers"
    kind = f"{loggers}.file.v3.FileAccessLog" if path else f"{loggers}.stream.v3.StdoutAccessLog"
    target = {"path": path} if path else {}
    return {
        "name": "access_log",
        "typed_config": {"@type": kind, "log_format": {"json_format": ACCESS_LOG_FIELDS}} | target,
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
