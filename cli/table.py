"""The one table of the suite's processes: what is started, with which environment, and when it counts as ready."""

import base64
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.audit_keys import ENDORSEMENTS, ensure_key
from cli.databases import SERVICES, DatabaseUrls
from cli.settings import ROOT
from cli.signing_certificates import ensure_signing_certificate
from cli.state import private_folder, read_or_create, socket_folder
from gateway.arguments import envoy_binary
from gateway.render import RenderSettings, render

# Belongs to the suite itself or to one process of it; nobody inherits it by accident.
_NOT_INHERITED = ("DATABASE_URL", "ANTHROPIC_", "PG", "PYTEST_", "PYTHONPATH")

_START_ORDER = ("inference", "identity", "compliance", "billing")  # the one that loads a model first


@dataclass(frozen=True)
class Upstream:
    """The model provider: any server that speaks Anthropic's wire protocol. `base_url` None is the provider's own."""

    api_key: str
    base_url: str | None = None


@dataclass(frozen=True)
class Program:
    """A line of the table."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Places:
    """Where the parts of one running suite find each other."""

    state: Path
    edge_port: int
    ports: Mapping[str, int]
    """By process: the replicas of every service, and `simulator`."""
    replicas: int = 1
    """Processes of each service."""

    @property
    def tls(self) -> Path:
        return self.state / "tls"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def admin_socket(self) -> Path:
        return socket_folder(self.state / "run") / "admin.sock"

    def address(self, name: str) -> str:
        """Where one process listens."""
        return f"127.0.0.1:{self.ports[name]}"

    def endpoints(self, service: str) -> list[str]:
        """Where all of its replicas listen."""
        return [self.address(name) for name in replica_names(service, self.replicas)]

    def target(self, service: str) -> str:
        """What a gRPC channel to the service is opened to: all of its replicas."""
        endpoints = self.endpoints(service)
        return endpoints[0] if len(endpoints) == 1 else f"ipv4:{','.join(endpoints)}"


def replica_names(service: str, replicas: int) -> list[str]:
    """`identity`, `identity-2`, …"""
    return [service, *(f"{service}-{number}" for number in range(2, replicas + 1))]


def service_of(name: str) -> str:
    """Whose process it is; the name itself for what has no replicas."""
    service, _, number = name.partition("-")
    return service if number.isdigit() else name


def service_programs(
    places: Places, databases: Mapping[str, DatabaseUrls], upstream: Upstream, extra: Mapping[str, str]
) -> list[Program]:
    """The replicas of the four services. Each service gets its own database and keys, and no other's; `extra` variables go to all."""
    keys = private_folder(places.state / "secrets")
    shared = inherited() | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
        "HASP_TLS_DIR": str(places.tls),
        "HASP_CATALOGUE": str(ROOT / "catalogue" / "catalogue.json"),
        **{f"HASP_{service.upper()}_ADDRESS": places.target(service) for service in SERVICES},
    }
    own: dict[str, dict[str, str]] = {service: {} for service in SERVICES}
    own["identity"]["HASP_TOKEN_PEPPER_FILE"] = str(_random_key(keys / "token-pepper"))
    audit_key = ensure_key(keys / "audit.key")
    own["compliance"]["HASP_AUDIT_KEY_FILE"] = str(audit_key)
    own["compliance"]["HASP_AUDIT_ENDORSEMENTS_FILE"] = str(audit_key.with_name(ENDORSEMENTS))
    baa_key = keys / "baa.key"
    own["compliance"]["HASP_BAA_KEY_FILE"] = str(baa_key)
    own["compliance"]["HASP_BAA_CERTIFICATE_FILE"] = str(ensure_signing_certificate(baa_key))
    own["inference"]["ANTHROPIC_API_KEY"] = upstream.api_key
    if upstream.base_url is not None:
        own["inference"]["ANTHROPIC_BASE_URL"] = upstream.base_url
    programs = []
    for service in _START_ORDER:
        environment = shared | own[service]
        environment[f"HASP_{service.upper()}_DATABASE_URL"] = databases[service].app_url
        environment["HASP_KEK_FILE"] = str(_random_key(keys / f"{service}.kek"))
        for name in replica_names(service, places.replicas):
            listen = {f"HASP_{service.upper()}_LISTEN": places.address(name)}
            programs.append(
                Program(name, (sys.executable, "-m", f"services.{service}"), {**environment, **listen, **extra})
            )
    return programs


def simulator_program(places: Places) -> Program:
    command = (sys.executable, "-m", "cli.simulator", "--port", str(places.ports["simulator"]))
    return Program("simulator", command, inherited() | {"PYTHONPATH": str(ROOT)})


def edge_program(places: Places) -> Program:
    """Envoy, with its configuration rendered into the state folder."""
    configuration = private_folder(places.state / "run") / "envoy.yaml"
    configuration.write_text(
        render(
            RenderSettings(
                endpoints={service: places.endpoints(service) for service in SERVICES},
                tls_dir=places.tls,
                admin=str(places.admin_socket),
                port=places.edge_port,
            )
        )
    )
    command = (envoy_binary(), "-c", str(configuration), "--disable-hot-restart", "--file-flush-interval-msec", "200")
    # Draining asks every client to leave at once. Of Envoy itself only warnings: requests have the access log.
    options = ("--drain-strategy", "immediate", "--concurrency", "2", "--log-level", "warning")
    return Program("edge", (*command, *options), inherited())


def inherited() -> dict[str, str]:
    """The caller's environment without what is meant for the suite alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


def _random_key(path: Path) -> Path:
    """A file with 32 random bytes, base64."""
    read_or_create(path, lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    return path
