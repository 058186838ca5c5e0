"""The witness, before a deployment that says what it should not."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from cli.app import app
from cli.audit_verifier import node_hash
from services.chassis.notes import Signer

ORIGIN = "hasp.example/audit/ORG"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"an audit signing key for tests.."))
STRANGER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"the signing key of somebody else"))
ONE, TWO = (hashlib.sha256(b"\x00" + leaf).digest() for leaf in (b"one", b"two"))


def note(size: int, root: bytes, signer: Signer = SIGNER, origin: str = ORIGIN) -> str:
    return signer.sign(f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n")


def proof(checkpoint: object, *hashes: bytes) -> bytes:
    return json.dumps({"data": {"checkpoint": checkpoint, "hashes": [hashed.hex() for hashed in hashes]}}).encode()


@contextmanager
def deployment(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base calls it
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def look(body: bytes, state: Path, status: int = 200) -> int:
    with deployment(body, status) as url:
        asked = CliRunner().invoke(app, ["audit", "witness", url, "--state", str(state), "--key", SIGNER.vkey])
    assert asked.exception is None or isinstance(asked.exception, SystemExit), asked.exception
    assert asked.output.startswith({0: "CONSISTENT ", 1: "NOT CONSISTENT: ", 2: "hasp: "}[asked.exit_code])
    return asked.exit_code


def test_a_continuation_is_kept_and_anything_else_is_not(tmp_path: Path) -> None:
    state = tmp_path / "seen"
    first, second = note(1, ONE), note(2, node_hash(ONE, TWO))
    assert look(proof(first), state) == 0
    assert state.read_text() == first
    for bad in (
        proof(note(2, node_hash(TWO, ONE)), TWO),
        proof(second),
        proof(second, ONE),
        proof(note(1, TWO)),
        proof(note(0, hashlib.sha256(b"").digest())),
        proof(note(2, node_hash(ONE, TWO), STRANGER), TWO),
        proof(note(2, node_hash(ONE, TWO), SIGNER, "hasp.example/audit/X"), TWO),
    ):
        assert look(bad, state) == 1
        assert state.read_text() == first
    assert look(b"{}", state, 422) == 1
    assert look(proof(second, TWO), state) == 0
    assert state.read_text() == second


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"nonsense", 200),
        (b"[" * 100_000, 200),
        (b"[]", 200),
        (b"{}", 200),
        (b'{"data":null}', 200),
        (proof(None), 200),
        (proof("\ud800"), 200),
        (b'{"data":{"checkpoint":"x","hashes":[5]}}', 200),
        (b'{"data":{"checkpoint":"x","hashes":["0"]}}', 200),
        (b"{}", 500),
        (b"{}", 302),
        (b"{}", 422),
    ],
)
def test_what_is_no_answer_accuses_nobody(body: bytes, status: int, tmp_path: Path) -> None:
    assert look(body, tmp_path / "seen", status) == 2
    assert not (tmp_path / "seen").exists()


def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    for arguments in (
        ["tcp://x", "--key", SIGNER.vkey],
        ["http://127.0.0.1:99999", "--key", SIGNER.vkey],
        ["http://[::1", "--key", SIGNER.vkey],
        ["http://127.0.0.1:1", "--key", "nonsense"],
    ):
        asked = CliRunner().invoke(app, ["audit", "witness", *arguments, "--state", str(tmp_path / "seen")])
        assert asked.exit_code == 2
        assert isinstance(asked.exception, SystemExit)
