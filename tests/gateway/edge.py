"""A real Envoy for tests: rendered, started, asked for its statistics, stopped."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx

from gateway.arguments import envoy_binary
from gateway.render import RenderSettings, render

EPHEMERAL_PORTS_BEGIN = 32768


def free_port() -> int:
    """Below the ephemeral range, where no outgoing connection can take it before Envoy listens."""
    for _ in range(100):
        port = random.randrange(20_000, EPHEMERAL_PORTS_BEGIN)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


class Edge:
    """A running Envoy. `client` speaks HTTP/1.1 to it."""

    def __init__(self, settings: RenderSettings, process: subprocess.Popen[bytes], log: Path) -> None:
        self.settings = settings
        self.process = process
        self.log = log
        self.access_log_file = log.with_name("access.log")
        self.url = f"http://127.0.0.1:{settings.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20)
        self._admin = httpx.Client(transport=httpx.HTTPTransport(uds=settings.admin), base_url="http://admin")

    def is_ready(self, *, wait_for_health: bool) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self.settings.admin) != 0:
                return False
        # Envoy listens once every cluster has had its first health check, whatever that said.
        if self._admin.get("/ready").text.strip() != "LIVE":
            return False
        clusters = self._admin.get("/clusters?format=json").json().get("cluster_statuses", [])
        hosts = [host["health_status"] for each in clusters for host in each.get("host_statuses", [])]
        return not wait_for_health or not any("failed_active_health_check" in health for health in hosts)

    def statistics(self, pattern: str) -> dict[str, int]:
        found = self._admin.get("/stats", params={"filter": pattern, "format": "json"}).json()["stats"]
        return {each["name"]: each["value"] for each in found if "name" in each}

    def lua_errors(self) -> int:
        return sum(self.statistics(r"lua.*errors").values())

    def access_log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.access_log_file.read_text().splitlines()]

    def stop(self) -> None:
        self.client.close()
        self._admin.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def running_edge(settings: RenderSettings, *, wait_for_health: bool = True) -> Iterator[Edge]:
    """Starts Envoy with `settings`; port, admin and access log are chosen here. It is stopped on leaving."""
    with tempfile.TemporaryDirectory(prefix="edge") as name:
        folder = Path(name)
        settings = replace(settings, port=free_port(), admin=f"{name}/admin.sock", access_log=f"{name}/access.log")
        config, log = folder / "envoy.yaml", folder / "envoy.log"
        config.write_text(render(settings), encoding="utf-8")
        command = [envoy_binary(), "-c", str(config), "--disable-hot-restart", "--concurrency", "2"]
        command += ["--log-level", "warn", "--file-flush-interval-msec", "100"]
        with log.open("wb") as sink:
            process = subprocess.Popen(command, stdout=sink, stderr=sink)
        edge = Edge(settings, process, log)
        try:
            deadline = time.monotonic() + 15
            while not edge.is_ready(wait_for_health=wait_for_health):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Envoy did not become ready:\n{log.read_text()}")
                time.sleep(0.05)
            yield edge
        finally:
            edge.stop()
