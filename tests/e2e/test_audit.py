"""What an auditor does who trusts a key and nothing else: over the edge, and with the command on the auditor's own machine."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cli.audit_keys import ensure_key, rotate, vkey
from cli.audit_verifier import Keys, checkpoint, is_included, is_prefix
from cli.settings import ROOT
from services.chassis.notes import Signer
from tests.e2e.clinic import Clinic, wait_until

DEPLOYMENT = "hasp.local"
AGENT = {"default_expiry_hours": 24, "default_revocation_policy": "kill"}


def hasp(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=variables | environment, cwd=ROOT
    )


def key_file(clinic: Clinic) -> Path:
    return clinic.suite.state / "secrets" / "audit.key"


@pytest.fixture
def vkey_of_clinic(clinic: Clinic) -> str:
    printed = hasp("audit", "key", clinic.org_id, HASP_STATE_DIR=str(clinic.suite.state))
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.strip() == vkey(key_file(clinic), DEPLOYMENT, clinic.org_id)
    return printed.stdout.strip()


@pytest.fixture
def keys(vkey_of_clinic: str) -> Keys:
    keys = Keys()
    keys.add(vkey_of_clinic)
    return keys


def fill(clinic: Clinic, count: int) -> None:
    """So many more entries, each sequenced."""
    before = len(clinic.audit())
    for number in range(count):
        made = clinic.http.post("/v1/agents", json=AGENT | {"name": f"agent {before} {number}"})
        assert made.status_code == 201, made.text
    wait_until(lambda: len(clinic.audit()) >= before + count)


def export(clinic: Clinic, path: Path, **parameters: object) -> Path:
    answer = clinic.http.get("/v1/audit/export", params=parameters)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["content-disposition"] == f'attachment; filename="audit-{clinic.org_id}.jsonl"'
    path.write_bytes(answer.content)
    return path


def unhex(hashes: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(hashed) for hashed in hashes]


def test_an_export_over_the_edge_is_verified_by_the_command(clinic: Clinic, vkey_of_clinic: str, tmp_path: Path):
    fill(clinic, 12)
    first = export(clinic, tmp_path / "monday")
    verified = hasp("audit", "verify", str(first), "--key", vkey_of_clinic)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith(f"VERIFIED {DEPLOYMENT}/audit/{clinic.org_id}")
    assert vkey_of_clinic.split("+", 2)[2] not in verified.stdout
    fill(clinic, 5)
    second = export(clinic, tmp_path / "tuesday")
    verified = hasp("audit", "verify", str(second), "--key", vkey_of_clinic, "--earlier", str(first))
    assert verified.returncode == 0, verified.stderr
    assert "is a prefix" in verified.stdout
    assert len(clinic.audit(action="audit.exported")) == 2


def test_a_middle_row_removed_is_not_verified(clinic: Clinic, vkey_of_clinic: str, tmp_path: Path):
    fill(clinic, 9)
    file = export(clinic, tmp_path / "export")
    lines = file.read_bytes().splitlines(keepends=True)
    entries = [number for number, line in enumerate(lines) if line.startswith(b'{"action"')]
    removed = len(entries) // 2
    del lines[entries[removed]]
    file.write_bytes(b"".join(lines))
    refused = hasp("audit", "verify", str(file), "--key", vkey_of_clinic)
    assert refused.returncode == 1
    assert "NOT VERIFIED" in refused.stderr
    named = re.search(r"first bad entry: (\d+)(?: to (\d+), one of them)?", refused.stderr)
    assert named
    assert int(named[1]) <= removed <= int(named[2] or named[1])


def test_a_key_from_elsewhere_verifies_nothing(clinic: Clinic, tmp_path: Path):
    file = export(clinic, tmp_path / "export")
    for arguments in ([], ["--key", "hasp.local/audit+00000000+AAAA"]):
        refused = hasp("audit", "verify", str(file), *arguments)
        assert refused.returncode == 1
        assert refused.stdout == ""


def test_an_entry_is_proven_against_the_newest_checkpoint(clinic: Clinic, keys: Keys):
    fill(clinic, 4)
    for entry in clinic.audit()[:5]:
        proof = clinic.get(f"/v1/audit/{entry['id']}/proof")
        signed = checkpoint(proof["checkpoint"], f"{DEPLOYMENT}/audit/{clinic.org_id}", keys)
        assert proof["leaf_hash"] == entry["integrity_hash"]
        assert (proof["leaf_index"], proof["tree_size"]) == (entry["seq"], signed.size)
        hashed = bytes.fromhex(proof["leaf_hash"])
        assert is_included(entry["seq"], signed.size, hashed, unhex(proof["hashes"]), signed.root)
        assert proof["tlog_proof"].startswith(f"c2sp.org/tlog-proof@v1\nindex {entry['seq']}\n")
        assert proof["tlog_proof"].endswith(f"\n\n{proof['checkpoint']}")


def test_the_checkpoints_of_a_tree_are_prefixes_of_one_another(clinic: Clinic, keys: Keys):
    for _ in range(3):
        fill(clinic, 2)
    origin, cursor, signed = f"{DEPLOYMENT}/audit/{clinic.org_id}", None, []
    while True:
        page = clinic.http.get(
            "/v1/audit/checkpoints", params={"limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        for told in page["data"]:
            signed.append(checkpoint(told["note"], origin, keys))
            assert (told["tree_size"], told["root_hash"]) == (signed[-1].size, signed[-1].root.hex())
        cursor = page["meta"]["next_cursor"]
        if not page["meta"]["has_more"]:
            break
    sizes = [each.size for each in signed]
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(sizes) >= 3
    for later, earlier in pairwise(signed):
        proof = clinic.get("/v1/audit/consistency", from_size=earlier.size, to_size=later.size)
        assert is_prefix(earlier.size, later.size, earlier.root, later.root, unhex(proof["hashes"]))


def test_a_tree_is_seen_by_its_own_organization_alone(clinic: Clinic, shared_clinic: Clinic):
    fill(shared_clinic, 1)
    entry = shared_clinic.audit()[0]
    assert clinic.http.get(f"/v1/audit/{entry['id']}/proof").status_code == 404
    assert shared_clinic.org_id not in clinic.http.get("/v1/audit/export").text
    assert shared_clinic.org_id not in clinic.http.get("/v1/audit/log").text


def test_a_witness_takes_a_later_tree_and_no_other(clinic: Clinic, vkey_of_clinic: str, keys: Keys, tmp_path: Path):
    fill(clinic, 3)
    kept = tmp_path / "seen"

    def look() -> subprocess.CompletedProcess[str]:
        arguments = ("audit", "witness", clinic.suite.base_url, "--state", str(kept), "--key", vkey_of_clinic)
        return hasp(*arguments, HASP_API_KEY=clinic.key)

    first = look()
    assert first.returncode == 0, first.stderr
    fill(clinic, 4)
    assert look().returncode == 0
    seen = kept.read_text()
    # Another history: the same size, signed by the operator, with another root.
    key = load_pem_private_key(key_file(clinic).read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    signer = Signer(f"{DEPLOYMENT}/audit/{clinic.org_id}", key)
    size = int(seen.split("\n")[1])
    forged_root = "A" * 43 + "="
    for forged in (size, size + 1000):
        kept.write_text(signer.sign(f"{signer.name}\n{forged}\n{forged_root}\n"))
        refused = look()
        assert refused.returncode == 1
        assert "NOT CONSISTENT" in refused.stderr
        assert f"\n{forged}\n" in kept.read_text()
    kept.write_text(seen)
    assert look().returncode == 0


def test_the_log_of_logs_only_grows(clinic: Clinic):
    keys = Keys()
    keys.add(vkey(key_file(clinic), DEPLOYMENT))
    before = checkpoint(clinic.get("/v1/audit/log")["checkpoint"], f"{DEPLOYMENT}/audit", keys)
    fill(clinic, 2)
    told = clinic.get("/v1/audit/log", from_size=before.size)
    after = checkpoint(told["checkpoint"], f"{DEPLOYMENT}/audit", keys)
    assert after.size > before.size
    assert is_prefix(before.size, after.size, before.root, after.root, unhex(told["hashes"]))


def test_a_rotated_key_is_believed_by_those_who_trust_the_one_before(clinic: Clinic, tmp_path: Path):
    old, file = vkey(key_file(clinic), DEPLOYMENT), key_file(clinic)
    kept_endorsements = file.with_name("audit.endorsements").read_text()
    kept = rotate(file, DEPLOYMENT)
    try:
        clinic.suite.restart("compliance")
        wait_until(lambda: clinic.http.get("/v1/audit").status_code == 200)
        fill(clinic, 2)
        exported = export(clinic, tmp_path / "export")
        new = vkey(file, DEPLOYMENT)
        for trusted in (old, new):
            verified = hasp("audit", "verify", str(exported), "--key", trusted)
            assert verified.returncode == 0
            assert (f"a trusted key has signed for {new}\n" in verified.stdout) is (trusted == old)
        printed = hasp("audit", "key", HASP_STATE_DIR=str(clinic.suite.state))
        signed_by = re.search(r"^signed by ([0-9a-f]{64})$", verified.stdout, re.MULTILINE)
        assert signed_by
        assert signed_by[1] in printed.stderr
        pinned = tmp_path / "trusted"
        pinned.write_text(f"# of the operator\n{old}\n{printed.stdout}")
        arguments = (
            "audit",
            "witness",
            clinic.suite.base_url,
            "--state",
            str(tmp_path / "seen"),
            "--trusted",
            str(pinned),
        )
        assert hasp(*arguments, HASP_API_KEY=clinic.key).returncode == 0
        nobody = hasp(*arguments, HASP_API_KEY="")
        assert nobody.returncode == 2
        assert "HASP_API_KEY must hold a key" in nobody.stderr
        stranger = ensure_key(tmp_path / "stranger.key")
        assert hasp("audit", "verify", str(exported), "--key", vkey(stranger, DEPLOYMENT)).returncode == 1
    finally:
        file.write_bytes(kept.read_bytes())
        file.with_name("audit.endorsements").write_text(kept_endorsements)
        clinic.suite.restart("compliance")
        wait_until(lambda: clinic.http.get("/v1/audit").status_code == 200)
