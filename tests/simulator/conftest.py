import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
KEY = "sk-ant-any"


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.simulator", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        ready = process.stdout.readline()
        yield ready.rsplit(" ", 1)[-1].strip()
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def http(simulator_url: str) -> Iterator[httpx.Client]:
    """A bare client with the provider's headers; the journal starts empty."""
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=simulator_url, headers=headers, timeout=10, trust_env=False) as client:
        client.delete("/_sim/requests")
        yield client
