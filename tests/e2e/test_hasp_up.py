"""`hasp up` as a person runs it: ready, used, stopped, started again, killed."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from cli.processes import free_port

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


@dataclass
class Here:
    """A state folder and a port of the test's own."""

    state: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        ours = {"HASP_STATE_DIR": str(self.state), "HASP_PORT": str(self.port)}
        return {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")} | ours

    def hasp(self, *arguments: str) -> str:
        command = [str(ROOT / "hasp"), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout.strip()


class Running:
    def __init__(self, here: Here) -> None:
        self.here = here
        self.output = here.state.with_suffix(".out")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [str(ROOT / "hasp"), "up"], env=here.environment, stdout=output, stderr=output, start_new_session=True
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while not (self.here.state / "dev.env").exists():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    @property
    def variables(self) -> dict[str, str]:
        lines = (self.here.state / "dev.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {key or self.variables['HASP_API_KEY']}"}
        return httpx.get(self.variables["HASP_BASE_URL"] + path, headers=headers, trust_env=False)

    def ask(self) -> httpx.Response:
        return httpx.post(
            self.variables["HASP_BASE_URL"] + "/v1/messages",
            json={"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]},
            headers={"x-api-key": self.variables["HASP_API_KEY"]},
            trust_env=False,
        )

    def family(self) -> list[psutil.Process]:
        """Every process below this one, wherever it put itself."""
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    here = Here(tmp_path / "state", free_port())
    yield here
    for process in psutil.process_iter(["cmdline"]):
        if str(here.state) in " ".join(process.info["cmdline"] or []):
            process.kill()


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive if process.is_running())


def assert_billing_comes_back(running: Running) -> None:
    (billing,) = [each for each in running.family() if each.cmdline()[-1] == "services.billing"]
    billing.kill()
    billing.wait(10)
    deadline = time.monotonic() + 60
    while running.get("/v1/usage").status_code != 200:
        assert time.monotonic() < deadline, running.output.read_text()
        time.sleep(0.3)
    assert "billing ended with -9" in running.output.read_text()


def test_it_starts_answers_stops_and_leaves_nothing_behind(here: Here):
    first = Running(here)
    variables = first.variables
    assert (here.state / "dev.env").stat().st_mode & 0o777 == 0o600
    assert variables["HASP_BASE_URL"] == f"http://127.0.0.1:{here.port}"
    assert "SIMULATOR" in first.output.read_text()
    assert first.ask().status_code == 200

    org_id = here.hasp("org", "create", "Second Clinic", "--plan", "growth")
    user_id = here.hasp("user", "create", org_id, "owner@second.example", "--name", "Second Owner", "--role", "owner")
    key = here.hasp("key", "create", org_id, user_id, "--scope", "control:read")
    assert first.get("/v1/api_keys", key).json()["data"][0]["scopes"] == ["control:read"]

    family = first.family()
    os.killpg(first.process.pid, signal.SIGINT)  # what Ctrl-C sends: to all of the terminal's foreground
    assert first.process.wait(60) == 0, first.output.read_text()
    assert gone(family)
    assert not (here.state / "dev.env").exists()

    second = Running(here)
    assert second.variables == variables, "the same organization and key as before"
    assert second.ask().status_code == 200
    assert_billing_comes_back(second)

    family = second.family()
    second.process.kill()
    second.process.wait()
    assert gone(family), "killed, it takes all of its processes with it"


def test_a_taken_port_is_told_at_once(here: Here):
    with socket.socket() as other:
        other.bind(("127.0.0.1", here.port))
        other.listen()
        command = [str(ROOT / "hasp"), "up"]
        told = subprocess.run(command, env=here.environment, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 1
    assert "HASP_PORT" in told.stderr
    assert not (here.state / "dev.env").exists()
