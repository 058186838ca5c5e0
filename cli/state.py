"""The state folder (`.hasp/`): private files that are written once and kept."""

import os
from collections.abc import Callable
from pathlib import Path


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
