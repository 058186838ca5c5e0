"""Compiled patterns on disk: read back when they are ours and whole, compiled again otherwise."""

import os
import stat
from pathlib import Path
from typing import Any

import hyperscan
import pytest

from services.inference.clients.presidio.analyzer.rules import compiled
from services.inference.clients.presidio.analyzer.rules.prefilter import Prefilter
from services.inference.clients.presidio.analyzer.rules.table import load

PATTERNS = [rb"mrn \d+", rb"ssn \d{3}"]


class Compiler:
    """Counts how often Hyperscan had to compile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = hyperscan.Database

        def database(*args: Any, **kwargs: Any) -> hyperscan.Database:
            self.count += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(compiled.hyperscan, "Database", database)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    return Compiler(monkeypatch)


def made(kept: Path, patterns: list[bytes] = PATTERNS) -> list[int]:
    """The ids that match a text by the database of these patterns."""
    found: list[int] = []
    database = compiled.database(patterns, list(range(len(patterns))), [0] * len(patterns), kept)
    database.scan(
        b"mrn 4827193 ssn 536",
        match_event_handler=lambda rule, *_: found.append(rule),
        scratch=hyperscan.Scratch(database),
    )
    return sorted(set(found))


def only_file(kept: Path) -> Path:
    (file,) = kept.iterdir()
    return file


def test_what_was_compiled_is_read_back(tmp_path: Path, compiler: Compiler):
    kept = tmp_path / "deep" / "hasp"
    assert made(kept) == made(kept) == [0, 1]
    assert compiler.count == 1
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(kept).stat().st_mode) == 0o600


def test_other_patterns_library_or_processor_are_another_database(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
):
    kept = tmp_path / "hasp"
    made(kept)
    assert made(kept, [b"never", *PATTERNS[1:]]) == [1]
    assert compiler.count == 2
    monkeypatch.setattr(compiled, "_processor", lambda: ("x86_64", "flags : sse2"))
    made(kept)
    assert compiler.count == 3
    monkeypatch.setattr(compiled.importlib.metadata, "version", lambda _: "99")
    made(kept)
    assert compiler.count == 4


@pytest.mark.parametrize("damage", ["short", "empty", "bit", "other name"])
def test_a_damaged_file_is_compiled_again_and_replaced(tmp_path: Path, compiler: Compiler, damage: str):
    kept = tmp_path / "hasp"
    made(kept)
    file = only_file(kept)
    whole = file.read_bytes()
    if damage == "other name":
        made(kept, [b"never", b"ever"])
        (other,) = set(kept.iterdir()) - {file}
        file.write_bytes(other.read_bytes())
    else:
        bad = {"short": whole[:-1], "empty": b"", "bit": whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]}
        file.write_bytes(bad[damage])
    before = compiler.count
    assert made(kept) == [0, 1]
    assert compiler.count == before + 1
    assert file.read_bytes() == whole


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o622, 0o640])
def test_a_file_that_others_may_touch_is_not_read(tmp_path: Path, compiler: Compiler, mode: int):
    kept = tmp_path / "hasp"
    made(kept)
    only_file(kept).chmod(mode)
    made(kept)
    assert compiler.count == 2


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_nothing_is_read_from_or_written_to_a_folder_that_others_may_touch(
    tmp_path: Path, compiler: Compiler, mode: int
):
    kept = tmp_path / "hasp"
    made(kept)
    kept.chmod(mode)
    made(kept)
    made(kept, [b"never"])
    assert compiler.count == 3
    assert len(list(kept.iterdir())) == 1


def test_links_are_not_followed(tmp_path: Path, compiler: Compiler):
    kept, elsewhere = tmp_path / "hasp", tmp_path / "elsewhere"
    made(kept)
    kept.rename(elsewhere)
    kept.symlink_to(elsewhere)
    made(kept)
    assert compiler.count == 2
    kept.unlink()
    kept.mkdir(mode=0o700)
    (kept / only_file(elsewhere).name).symlink_to(only_file(elsewhere))
    made(kept)
    assert compiler.count == 3


def test_another_users_file_is_not_read(tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch):
    kept = tmp_path / "hasp"
    made(kept)
    monkeypatch.setattr(compiled.os, "geteuid", lambda: os.getuid() + 1)
    made(kept)
    assert compiler.count == 2


def test_where_nothing_can_be_written_patterns_are_compiled(tmp_path: Path, compiler: Compiler):
    kept = tmp_path / "file" / "hasp"
    (tmp_path / "file").write_text("in the way")
    assert made(kept) == made(kept) == [0, 1]
    assert compiler.count == 2


def test_a_user_without_a_home_compiles(compiler: Compiler, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/somewhere")
    assert compiled.folder() == Path("/somewhere/.cache/hasp")
    monkeypatch.delenv("HOME")
    assert made(compiled.folder()) == made(compiled.folder()) == [0, 1]
    assert compiler.count == 2


def test_the_table_picks_the_same_rules_from_what_was_kept(tmp_path: Path, compiler: Compiler):
    rules = load()[:30]
    text = "MRN: 4827193, SSN 536-22-8812, call (212) 555-0134 or mail a@b.example before 3/4/2024"
    first, second = (Prefilter(rules, tmp_path / "hasp").candidates(text) for _ in range(2))
    assert first == second != []
    assert compiler.count == 2  # of the first, in two groups
