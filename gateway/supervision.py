"""One Envoy process: it dies with its supervisor, and a SIGTERM lets running requests finish first."""

import ctypes
import http.client
import json
import signal
import socket
import subprocess
import threading
import time

ACTIVE_REQUESTS = "http.edge.downstream_rq_active"
PR_SET_PDEATHSIG = 1
POLL = 0.1


def supervise(command: list[str], admin: str, grace: float) -> int:
    """Runs `command` until it ends or SIGTERM or SIGINT comes. Returns its exit code, 0 after a requested stop.

    admin: where Envoy's admin interface listens, as in RenderSettings. grace: seconds that running requests get.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # A session of its own, so that Ctrl-C in a terminal reaches Envoy through the drain below and not around it.
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=_die_with_parent)  # noqa: PLW1509  single thread
    while not stop.wait(POLL):
        if process.poll() is not None:
            return process.returncode
    drain(admin, grace)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 0


def drain(admin: str, grace: float) -> None:
    """Asks clients to go elsewhere and waits until no request runs, `grace` seconds at most."""
    deadline = time.monotonic() + grace
    try:
        _admin(admin, "POST", "/healthcheck/fail")
        _admin(admin, "POST", "/drain_listeners?graceful&skip_exit")
        while time.monotonic() < deadline and _active_requests(admin):
            time.sleep(POLL)
    except OSError:
        return  # Envoy is gone or was never up: nothing to drain


def healthy_endpoints(admin: str) -> set[str]:
    """host:port of every replica that Envoy sends requests to. Raises OSError when Envoy is not reached."""
    clusters = json.loads(_admin(admin, "GET", "/clusters?format=json"))["cluster_statuses"]
    return {
        f"{address['address']}:{address['port_value']}"
        for cluster in clusters
        for host in cluster.get("host_statuses", ())
        for address in [host["address"]["socket_address"]]
        # What failed is listed beside the verdict of the control plane, which is always HEALTHY.
        if not any(value is True for value in host["health_status"].values())
    }


def _active_requests(admin: str) -> int:
    stats = json.loads(_admin(admin, "GET", f"/stats?format=json&filter=^{ACTIVE_REQUESTS}$"))["stats"]
    return sum(each["value"] for each in stats)


def _admin(admin: str, method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection("localhost", timeout=2)
    if admin.startswith("/"):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(2)
        connection.sock.connect(admin)
    else:
        host, _, port = admin.rpartition(":")
        connection.sock = socket.create_connection((host.strip("[]"), int(port)), 2)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
