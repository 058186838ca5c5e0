"""One upstream cluster per service: HTTP/2 over mutual TLS, health-checked, ejected only when it cannot be reached."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TYPE = "type.googleapis.com/envoy."
CONNECT_TIMEOUT = "2s"


def cluster(service: str, endpoints: Sequence[str], tls_dir: Path, health_interval: float) -> dict[str, Any]:
    """The cluster named after `service`, whose peers must prove to be spiffe://hasp/<service>."""
    addresses = [parse_endpoint(endpoint) for endpoint in endpoints]
    interval = f"{health_interval:.3f}s"
    return {
        "name": service,
        "type": "STATIC" if all(_is_ip(host) for host, _ in addresses) else "STRICT_DNS",
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        # Nobody healthy: try them all rather than refuse. With one replica a late health answer must not be an outage.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "ignore_health_on_host_removal": True,
        "load_assignment": {
            "cluster_name": service,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address(host, port)}} for host, port in addresses]}
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 10}},
        "transport_socket": _mutual_tls(service, tls_dir),
        "circuit_breakers": {
            "thresholds": [{"max_connections": 1024, "max_pending_requests": 4096, "max_requests": 16384}]
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": interval,
                "no_traffic_interval": interval,
                "unhealthy_interval": interval,
                "no_traffic_healthy_interval": interval,
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        # gRPC INTERNAL counts as a 5xx and would eject a healthy host, so only failures to reach one count.
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 5,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "enforcing_failure_percentage": 0,
            "enforcing_local_origin_success_rate": 0,
            "enforcing_failure_percentage_local_origin": 0,
            "base_ejection_time": "5s",
            "interval": "1s",
            "max_ejection_percent": 50,
        },
    }


def parse_endpoint(endpoint: str) -> tuple[str, int]:
    """Splits "host:port" ("[::1]:50051" for IPv6)."""
    host, separator, port = endpoint.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise ValueError(f"an endpoint is host:port, not {endpoint!r}")
    return host.strip("[]"), int(port)


def socket_address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _mutual_tls(service: str, tls_dir: Path) -> dict[str, Any]:
    folder = tls_dir.resolve()
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": service,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(folder / "edge.pem")},
                        "private_key": {"filename": str(folder / "edge.key")},
                    }
                ],
                "validation_context": {
                    "trusted_ca": {"filename": str(folder / "ca.pem")},
                    "match_typed_subject_alt_names": [
                        {"san_type": "URI", "matcher": {"exact": f"spiffe://hasp/{service}"}}
                    ],
                },
            },
        },
    }
