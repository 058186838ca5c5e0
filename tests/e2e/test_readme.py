"""What the README shows is run as it stands there."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cli.processes import free_port
from tests.compliance.receivers import Authority
from tests.e2e.clinic import Clinic, wait_until

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PATH = f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"


def shell_of(section: str) -> str:
    """The first block of shell commands below a heading."""
    return code_of(section, "sh")


def code_of(section: str, language: str) -> str:
    """The first block of a language below a heading."""
    found = re.search(rf"^## {section}$.*?^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def run(clinic: Clinic, script: str, folder: Path) -> list[Any]:
    """The JSON lines that the commands print."""
    done = shell(clinic, script, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def shell(clinic: Clinic, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / ".hasp").mkdir()
    variables = {"BASE_URL": clinic.suite.base_url, "API_KEY": clinic.key, "ORG_ID": clinic.org_id}
    (folder / ".hasp" / "dev.env").write_text("".join(f"HASP_{name}={value}\n" for name, value in variables.items()))
    (folder / "hasp").write_text(f'#!/bin/sh\nPYTHONPATH={PATH} exec {sys.executable} -m cli "$@"\n')
    (folder / "hasp").chmod(0o700)
    return subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"HASP_STATE_DIR": str(clinic.suite.state)},
    )


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


def test_the_commands_about_the_audit_log_do_what_they_say(clinic: Clinic, tmp_path: Path):
    time.sleep(0.5)  # what the clinic was opened with has its places
    done = shell(clinic, shell_of("Audit, without trusting the operator"), tmp_path)
    assert done.returncode == 0, done.stderr
    verified, *rest = done.stdout.splitlines()
    assert verified == f"VERIFIED hasp.local/audit/{clinic.org_id}"
    assert any("is a prefix" in line for line in rest)
    assert rest[-1] == "found"
    # Where a checkpoint was signed right behind it, that names the entries among which one is missing.
    assert re.search(r"NOT VERIFIED: (entry 1 is missing|.*among the entries \d+ to \d+ one is missing)", done.stderr)


def test_the_commands_about_the_signed_agreement_do_what_they_say(clinic: Clinic, tmp_path: Path):
    done = shell(clinic, shell_of("The signed agreement"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    pdf = (tmp_path / "agreement.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    sha256, *certificates = done.stdout.splitlines()
    assert sha256 == hashlib.sha256(pdf).hexdigest()
    assert sum(line.startswith("  SHA-256 ") for line in certificates) == 2


@contextmanager
def readme_receiver(authority: Authority, folder: Path, port: int) -> Iterator[Path]:
    """The README's receiver of webhooks, on another port, with a certificate that the suite believes; what it prints."""
    certified = authority.certify("127.0.0.1").read_bytes()
    for name in ("receiver.pem", "receiver.key"):
        (folder / name).write_bytes(certified)
    (folder / "receiver.py").write_text(code_of("Webhooks", "python").replace("8443", str(port)))
    printed = folder / "printed"
    with printed.open("w") as output:
        receiver = subprocess.Popen([sys.executable, "receiver.py"], cwd=folder, stdout=output)
    try:
        wait_until(lambda: accepts(port))
        yield printed
    finally:
        receiver.kill()
        receiver.wait()


def accepts(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_commands_and_the_receiver_of_webhooks_do_what_they_say(
    clinic: Clinic, authority: Authority, tmp_path: Path
):
    port = free_port()
    with readme_receiver(authority, tmp_path, port) as printed:
        queued, deliveries, replayed, deleted = run(clinic, shell_of("Webhooks").replace("8443", str(port)), tmp_path)
    assert queued["data"]["event"] == "webhook.test"
    assert [(each["id"], each["status"]) for each in deliveries["data"]] == [(queued["data"]["id"], "delivered")]
    assert replayed["data"] == {"replayed": 1}
    assert deleted["data"]["id"] == queued["data"]["endpoint_id"]
    assert [line.split()[:2] for line in printed.read_text().splitlines()] == [
        [queued["data"]["id"], "webhook.test"]
    ] * 2


def test_the_commands_about_credits_do_what_they_say(clinic: Clinic, tmp_path: Path):
    done = shell(clinic, shell_of("Credits"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *shown, usage, reconciled = done.stdout.splitlines()
    account = {line[:12].rstrip(): line[13:] for line in shown}
    assert account["plan"] == "enterprise, then growth"
    assert (account["allotment"], account["adjustments"], account["packs"]) == ("1000000000", "-12.5", "500000")
    assert (account["spend cap"], account["limit"]) == ("none", "1000499987.5")
    credits_ = json.loads(usage)["data"]["credits"]
    assert (credits_["allotment"], credits_["overage_purchased"]) == (999_999_988, 500_000)
    assert reconciled == "checked 1, differences 0"
