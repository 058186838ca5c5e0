"""The whole suite on one machine: PostgreSQL, four services, the edge, and a simulated provider where none is named.

`hasp up` and the end-to-end tests start it from the same table. Several may run at once, each with its own state
folder.
"""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from cli import readiness
from cli.certificates import ensure_certificates
from cli.databases import SERVICES, DatabaseUrls, provision
from cli.postgres import EmbeddedPostgres
from cli.processes import Process, Spawner, free_port, is_free
from cli.settings import ROOT
from cli.state import address_file, private_folder, write_private
from cli.table import (
    Places,
    Program,
    Upstream,
    edge_program,
    replica_names,
    service_of,
    service_programs,
    simulator_program,
)
from gateway.supervision import drain
from services.chassis import migrations

_START_SECONDS = 90.0
_DRAIN_SECONDS = 20.0
_ASKED_BY_OPERATORS = ("identity", "billing")


class SuiteError(RuntimeError):
    """The suite could not start; the sentence says which part, and what its log ends with."""


@dataclass(kw_only=True)
class Suite:
    """One suite. `start` returns when the edge answers for every service.

    state: the folder of everything it keeps: databases, keys, certificates, logs.
    edge_port: None takes a free one.
    upstream: None starts the simulator.
    database_url: an administrator's URL of a server; None starts an embedded one.
    environment: further variables of the four services.
    replicas: processes of each service, behind the edge and for their siblings; the second one of identity is `identity-2`.
    """

    state: Path
    edge_port: int | None = None
    upstream: Upstream | None = None
    database_url: str | None = None
    postgres_bin: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    replicas: int = 1
    databases: dict[str, DatabaseUrls] = field(init=False, default_factory=dict)
    admin_url: str = field(init=False, default="")
    _programs: dict[str, Program] = field(init=False, default_factory=dict)
    _processes: dict[str, Process] = field(init=False, default_factory=dict)
    _postgres: EmbeddedPostgres | None = field(init=False, default=None)
    _spawner: Spawner = field(init=False, default_factory=Spawner)
    _lock: IO[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.state = private_folder(self.state.absolute())
        replicas = [name for service in SERVICES for name in replica_names(service, self.replicas)]
        edge_port, *ports = _different_ports(1 + len(replicas) + 1)
        self.places = Places(
            self.state,
            self.edge_port or edge_port,
            dict(zip((*replicas, "simulator"), ports, strict=True)),
            self.replicas,
        )
        private_folder(self.places.logs)

    @property
    def base_url(self) -> str:
        """Of the edge, for clients."""
        return f"http://127.0.0.1:{self.places.edge_port}"

    @property
    def started(self) -> bool:
        """Whether this suite holds its state folder."""
        return self._lock is not None

    @property
    def simulator_url(self) -> str:
        return f"http://{self.places.address('simulator')}"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the running processes, in the order of their start."""
        return (("postgres",) if self._postgres else ()) + tuple(self._processes)

    def process(self, name: str) -> Process:
        """To look at or signal one: a replica's name, `edge`, `simulator` or `postgres`."""
        if name == "postgres" and self._postgres is not None:
            return self._postgres.process
        return self._processes[name]

    def start(self) -> None:
        """Start everything, or nothing: what has been started is stopped again when a part fails."""
        self._lock = _lock(self.state / "lock")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        if not is_free(self.places.edge_port):
            raise SuiteError(f"port {self.places.edge_port} is taken; HASP_PORT moves the edge to another")
        ensure_certificates(self.places.tls)
        self._start_databases()
        upstream = self.upstream or Upstream(api_key="simulated", base_url=self.simulator_url)
        for program in service_programs(self.places, self.databases, upstream, self.environment):
            self._run(program)
        self._run(edge_program(self.places))
        if self.upstream is None:
            self._run(simulator_program(self.places))
        self._wait_until_ready(list(self._processes))
        for service in _ASKED_BY_OPERATORS:
            write_private(address_file(self.state, service), self.places.address(service))

    def _start_databases(self) -> None:
        if self.database_url is None:
            self._postgres = EmbeddedPostgres(
                self.state / "postgres",
                self._spawner,
                log=self.places.logs / "postgres.log",
                binaries=self.postgres_bin,
            )
            self._postgres.start()
        self.admin_url = self.database_url or (self._postgres.admin_url if self._postgres else "")
        self.databases = provision(self.admin_url, private_folder(self.state / "secrets"))
        for service in SERVICES:
            migrations.upgrade(self.databases[service].owner_url, service)

    def stop(self) -> None:
        """Stop in order: new requests, then running streams, then what those report to, then the databases."""
        for service in _ASKED_BY_OPERATORS:
            address_file(self.state, service).unlink(missing_ok=True)
        if self._runs("edge"):
            drain(str(self.places.admin_socket), _DRAIN_SECONDS)
        for service in ("edge", "inference"):
            _stop_all([self._processes.pop(name) for name in list(self._processes) if service_of(name) == service])
        _stop_all(list(self._processes.values()))
        self._processes.clear()
        if self._postgres is not None:
            self._postgres.stop()
            self._postgres = None
        self._spawner.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self, name: str) -> None:
        """kill -9. It stays dead until `restart`."""
        self.process(name).kill()

    def restart(self, name: str, *, wait: bool = True, environment: Mapping[str, str] | None = None) -> None:
        """Start it again where it was; stopped first if it runs.

        Returns when it is ready and the edge reaches it again, unless told not to wait. `environment`: variables that
        it has from now on, beside those of the table.
        """
        if self.process(name).exit_code is None:
            self.process(name).stop()
        if name == "postgres" and self._postgres is not None:
            self._postgres.start()
            return
        program = self._programs[name]
        self._run(replace(program, environment={**program.environment, **(environment or {})}))
        if wait:
            behind_edge = service_of(name) in SERVICES and self._runs("edge")
            self._wait_until_ready([name, "edge"] if behind_edge else [name])

    def _run(self, program: Program) -> None:
        self._programs[program.name] = program
        self._processes[program.name] = self._spawner.start(
            program.command,
            log=self.places.logs / f"{program.name}.log",
            environment=program.environment,
            directory=ROOT,
        )

    def _runs(self, name: str) -> bool:
        return name in self._processes and self._processes[name].exit_code is None

    def _probe(self, name: str) -> Callable[[], bool]:
        if name == "edge":
            return readiness.edge_probe(
                self.places, [name for name in self.places.ports if service_of(name) in SERVICES and self._runs(name)]
            )
        return readiness.probe(self.places, name)

    def _wait_until_ready(self, names: list[str]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        pause = 0.02
        probes = {name: self._probe(name) for name in names}
        while probes:
            for name in list(probes):
                process = self._processes[name]
                if process.exit_code is not None:
                    raise SuiteError(f"{name} ended with {process.exit_code}; its log ends:\n{process.last_lines()}")
                if probes[name]():
                    del probes[name]
            if time.monotonic() > deadline:
                raise SuiteError(f"not ready after {_START_SECONDS:.0f} s: {', '.join(probes)}; see {self.places.logs}")
            # Asking costs the processes that are starting: ever less often.
            time.sleep(pause := min(1.2 * pause, 0.25))


def _different_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def _stop_all(processes: list[Process]) -> None:
    for process in processes:
        process.send(signal.SIGTERM)
    for process in processes:
        process.stop()


def _lock(path: Path) -> IO[str]:
    """Held while a suite runs on the state folder; the kernel lets go of it however we end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    file = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SuiteError(f"another suite runs on {path.parent}") from None
    return file
