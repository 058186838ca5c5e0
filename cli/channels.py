"""gRPC channels of the command to the services, as the workload `cli`."""

from pathlib import Path

import grpc

from services.chassis.tls import Tls

# The suite's processes are starting when they are first called: a refused connection is tried again at once.
_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]


def workload_channel(address: str, tls: Path) -> grpc.Channel:
    """A channel under mutual TLS."""
    return grpc.secure_channel(address, Tls.from_dir(tls, "cli").channel_credentials(), _OPTIONS)
