"""What docker-compose.yml needs before its first start: a folder of secrets, and databases with their roles."""

import base64
import secrets
from pathlib import Path

from cli.audit_keys import ensure_key
from cli.certificates import ensure_certificates
from cli.databases import SERVICES, role_names
from cli.signing_certificates import ensure_signing_certificate
from cli.state import private_folder, read_or_create


def write_secrets(folder: Path, anthropic_api_key: str) -> None:
    """Every file that docker-compose.yml mounts as a secret; what exists is kept.

    Compose mounts files with the modes they have, and the containers run as other users: the files are readable, and
    the folder that holds them is closed to everybody but its owner.
    """
    private_folder(folder)
    ensure_certificates(folder)
    for role in ("postgres", *(role for service in SERVICES for role in role_names(service))):
        read_or_create(folder / f"{role}.password", lambda: secrets.token_urlsafe(32))
    for name in ("token-pepper", *(f"{service}.kek" for service in SERVICES)):
        read_or_create(folder / name, lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    ensure_key(folder / "audit.key")
    ensure_signing_certificate(folder / "baa.key")
    (folder / "anthropic-api-key").write_text(anthropic_api_key)
    for file in folder.iterdir():
        file.chmod(0o600 if file.name == "ca.key" else 0o644)
