"""C2SP signed notes: text that Ed25519 keys sign, in the form of Go's checksum database.

    <text, ending in a newline>
    <empty line>
    — <key name> <base64(key id || signature)>

A verifier key ("vkey") is `<name>+<key id in hex>+<base64(0x01 || public key)>`; the key id is the first four bytes of
SHA-256(name || "\\n" || 0x01 || public key). https://c2sp.org/signed-note
"""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ED25519 = b"\x01"


class Signer:
    """Signs under one name. One key may sign under several: the name is part of the key's id, and of what each text begins with."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        """Raises ValueError for a name that a note cannot hold."""
        if not name or "+" in name or any(map(str.isspace, name)):
            raise ValueError("a key's name is not empty and has no blank or plus sign")
        self.name = name
        self._key = key
        self._public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._id = hashlib.sha256(name.encode() + b"\n" + _ED25519 + self._public).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self._id.hex()}+{base64.b64encode(_ED25519 + self._public).decode()}"

    def sign(self, text: str) -> str:
        """The note."""
        return f"{text}\n{self.signature(text)}"

    def signature(self, text: str) -> str:
        """The line of this key. Raises ValueError for a text that does not end in a newline."""
        if not text.endswith("\n"):
            raise ValueError("a note's text ends in a newline")
        signed = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        return f"— {self.name} {signed}\n"
