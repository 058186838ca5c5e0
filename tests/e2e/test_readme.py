"""What the README shows of agents is run as it stands there."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.clinic import Clinic

README = Path(__file__).parents[2] / "README.md"


def shell_of(section: str) -> str:
    """The first block of shell commands below a heading."""
    found = re.search(rf"^## {section}$.*?^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def run(clinic: Clinic, script: str, folder: Path) -> list[Any]:
    """The JSON lines that the commands print."""
    (folder / ".hasp").mkdir()
    (folder / ".hasp" / "dev.env").write_text(f"HASP_BASE_URL={clinic.suite.base_url}\nHASP_API_KEY={clinic.key}\n")
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_commands_about_agents_do_what_they_say(clinic: Clinic, tmp_path: Path):
    completed, refused, reading, revoked, gone, *archived, entries = run(clinic, shell_of("Agents"), tmp_path)
    assert completed["data"]["invocation"]["status"] == "completed"
    assert refused["error"]["code"] == "TOOL_NOT_IN_SCOPE"
    assert reading["data"]["invocation"]["filters"] == {"clinician": clinic.email}
    assert revoked["data"]["credential"]["status"] == "revoked"
    assert len(revoked["data"]["cascade_revoked_credential_ids"]) == 1
    assert gone["error"]["hasp_code"] == "INVALID_API_KEY"
    assert [each["data"]["agent"]["status"] for each in archived] == ["archived"] * 2
    assert {len(entry["metadata"]["delegation_path"]) for entry in entries["data"]} == {2, 3}
