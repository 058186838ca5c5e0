"""The operator's audit signing keys. They live outside of the database: who can write there cannot sign what it says."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """From unencrypted PKCS #8 PEM. Raises ValueError for another kind of key, or none."""
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path}: expected an Ed25519 key")  # noqa: TRY004 - what is wrong is the file's content
    return key


def load_endorsements(path: Path | None) -> list[str]:
    """Notes, oldest first; between two of them stands a line of `---`."""
    if path is None:
        return []
    return [f"{note.strip(chr(10))}\n" for note in path.read_text(encoding="utf-8").split("---\n") if note.strip()]
