"""Signed notes read by the book (C2SP signed-note), with a key that is trusted."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def text_of(note: str, vkey: str) -> str:
    """What the key signed. Raises InvalidSignature, or ValueError where the key's line is missing."""
    name, key_id, encoded = vkey.split("+", 2)
    public = base64.b64decode(encoded)
    assert public[:1] == b"\x01"
    assert hashlib.sha256(f"{name}\n".encode() + public).hexdigest()[:8] == key_id
    text, separator, signatures = note.rpartition("\n\n")
    assert separator
    for line in signatures.splitlines():
        dash, signed_by, signature = line.split(" ")
        raw = base64.b64decode(signature)
        if (dash, signed_by, raw[:4].hex()) == ("—", name, key_id):
            Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], f"{text}\n".encode())
            return f"{text}\n"
    raise ValueError("the note is not signed by this key")
