"""What a deployment chooses about the edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DESCRIPTORS = HERE / "descriptors.pb"


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """What differs between a laptop, compose and a cluster. Durations are seconds.

    endpoints: workload name ("identity") to its "host:port" addresses, for every workload with routes.
    tls_dir: holds ca.pem, edge.pem and edge.key, the client side of mutual TLS to the services.
    admin: a path of a Unix socket, or "host:port" on the loopback interface.
    access_log: a file; standard output by default.
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
    access_log: str | None = None


def seconds(value: float) -> str:
    """Protobuf's JSON form of a duration."""
    return f"{value:.3f}s"
