"""The state folder (`.hasp/`): private files that are written once and kept."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

_SOCKET_FOLDER_LIMIT = 85  # sun_path holds 107 bytes, and PostgreSQL adds ".s.PGSQL.5432.lock"


def private_folder(path: Path, *, owner: int | None = None) -> Path:
    """The folder, made with mode 0700. One that exists and belongs to somebody else is refused, not repaired."""
    owner = os.geteuid() if owner is None else owner
    if not path.exists():
        path.mkdir(mode=0o700, parents=True)
        os.chown(path, owner, -1)
    status = path.lstat()
    if not path.is_dir() or path.is_symlink() or status.st_uid != owner:
        raise PermissionError(f"{path} is not a folder of user {owner}")
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def write_private(path: Path, text: str) -> None:
    """Replace the file at once, mode 0600: a reader sees the old text or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; made and kept at first."""
    if not path.exists():
        write_private(path, make())
    return path.read_text()


def socket_folder(path: Path, *, owner: int | None = None) -> Path:
    """A private folder for Unix sockets: `path`, or where that is too long for one, a short name that stands for it."""
    if len(os.fsencode(path)) > _SOCKET_FOLDER_LIMIT:
        digest = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"hasp-{digest}"
    return private_folder(path, owner=owner)


def address_file(state: Path, service: str) -> Path:
    """Says where a running suite's service listens, for the operator's commands."""
    return state / f"{service}.address"
