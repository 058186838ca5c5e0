"""Hyperscan databases kept from one start to the next: compiling costs seconds of CPU, reading back less than a millisecond.

A database is code for Hyperscan's engine, so a file is read only when nobody but this user can have written it: the folder and the
file belong to the user, neither is open to others, and neither is a link. The digest in it finds what a full disk or a crash left
half written. Whatever does not hold, or fails, means compiling; it never fails a start.
"""

import contextlib
import hashlib
import hmac
import importlib.metadata
import logging
import os
import platform
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import hyperscan

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_DIGEST = hashlib.sha256().digest_size
_MOST_BYTES = 64 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def folder() -> Path:
    """`$XDG_CACHE_HOME/hasp`, `$HOME/.cache/hasp` without it; where there is neither, a place where nothing can be kept."""
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "hasp"
    home = os.environ.get("HOME")
    return Path(home) / ".cache" / "hasp" if home else Path(os.devnull) / "hasp"


def database(expressions: Sequence[bytes], ids: Sequence[int], flags: Sequence[int], kept: Path) -> hyperscan.Database:
    """The block-mode database of these patterns: from the folder `kept` when it is there and can be trusted, compiled otherwise."""
    name = f"{_key(expressions, ids, flags)}.hs"
    if (found := _quietly(lambda: _read(kept, name))) is not None:
        return found
    made = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    made.compile(expressions=list(expressions), ids=list(ids), elements=len(expressions), flags=list(flags))
    _quietly(lambda: _write(kept, name, hyperscan.dumpb(made)))
    return made


def _key(expressions: Sequence[bytes], ids: Sequence[int], flags: Sequence[int]) -> str:
    """What a database depends on: the patterns, the library, and the processor that it was compiled for."""
    parts = repr((list(expressions), list(ids), list(flags), importlib.metadata.version("hyperscan"), _processor()))
    return hashlib.sha256(parts.encode()).hexdigest()


def _processor() -> tuple[str, str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return platform.machine(), line
    return platform.machine(), ""


def _read(kept: Path, name: str) -> hyperscan.Database | None:
    with _private(kept) as directory:
        if directory is None:
            return None
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode) or not _ours(about) or about.st_size > _MOST_BYTES:
                return None
            content = file.read(_MOST_BYTES)
    digest, source = content[:_DIGEST], content[_DIGEST:]
    if not hmac.compare_digest(digest, hashlib.sha256(name.encode() + source).digest()):
        return None
    return hyperscan.loadb(source, hyperscan.HS_MODE_BLOCK)


def _write(kept: Path, name: str, source: bytes) -> None:
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        kept.mkdir(mode=0o700)
    with _private(kept) as directory:
        if directory is None:
            return
        passing = f".{name}.{secrets.token_hex(8)}"
        options = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(passing, options, 0o600, dir_fd=directory), "wb") as file:
                file.write(hashlib.sha256(name.encode() + source).digest() + source)
            os.rename(passing, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(passing, dir_fd=directory)
            raise


@contextmanager
def _private(kept: Path) -> Iterator[int | None]:
    """The folder, held open so that nobody can put another one in its place; None when others may write to it."""
    directory = os.open(kept, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield directory if _ours(os.fstat(directory)) else None
    finally:
        os.close(directory)


def _ours(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & _OTHERS


def _quietly(attempt: Callable[[], _T]) -> _T | None:
    try:
        return attempt()
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, hyperscan.HyperscanError) as error:
        _log.info("compiled patterns are not kept: %s", type(error).__name__)
        return None
