"""The operator's audit signing key: made once, shown to auditors, replaced under the signature of the one before."""

import base64
import datetime as dt
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cli.audit_verifier import ENDORSEMENT
from cli.state import read_or_create, write_private
from services.chassis.notes import Signer

ENDORSEMENTS = "audit.endorsements"
"""Beside the key: notes that believe in later keys, `---` between two. It is public."""


def ensure_key(path: Path) -> Path:
    """An Ed25519 key as PKCS #8 PEM, and an empty list of endorsements beside it; what exists is kept."""
    read_or_create(path, lambda: _pem(Ed25519PrivateKey.generate()))
    read_or_create(path.with_name(ENDORSEMENTS), lambda: "")
    return path


def vkey(path: Path, deployment: str, org_id: str | None = None) -> str:
    """What an auditor is to be given, by another way than the file that it is to check: of one organization's tree, or of all."""
    return _signer(_load(path), deployment, org_id).vkey


def rotate(path: Path, deployment: str) -> Path:
    """A new key in the place of the old, which signs for it and is kept beside it; where. Services read it at their start."""
    old, new = _load(path), Ed25519PrivateKey.generate()
    moment = dt.datetime.now(dt.UTC).replace(microsecond=0)
    said = endorsement(deployment, _raw(old), _raw(new), moment.isoformat())
    endorsements = path.with_name(ENDORSEMENTS)
    before = endorsements.read_text(encoding="utf-8") if endorsements.exists() else ""
    kept = path.with_name(f"{path.name}.until-{moment:%Y%m%dT%H%M%SZ}")
    write_private(kept, _pem(old))
    # First the endorsement: one of a key that signs nothing yet does no harm, a key without one is believed by nobody.
    write_private(endorsements, f"{before}{'---' + chr(10) if before else ''}{_signer(old, deployment).sign(said)}")
    write_private(path, _pem(new))
    return kept


def endorsement(deployment: str, old: bytes, new: bytes, at: str) -> str:
    """What the old key signs of the new one (raw public keys), under the name `<deployment>/audit`."""
    keys = f"old {base64.b64encode(old).decode()}\nnew {base64.b64encode(new).decode()}"
    return f"{ENDORSEMENT}\n{deployment}/audit\n{keys}\nat {at}\n"


def _signer(key: Ed25519PrivateKey, deployment: str, org_id: str | None = None) -> Signer:
    return Signer(f"{deployment}/audit/{org_id}" if org_id else f"{deployment}/audit", key)


def _load(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path}: expected an Ed25519 key")  # noqa: TRY004 - what is wrong is the file's content
    return key


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
