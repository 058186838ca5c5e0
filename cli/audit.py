"""`hasp audit`: checking the audit log from outside, and the operator's key that signs it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import audit_keys, audit_verifier
from cli.audit_verifier import Keys, NotVerified
from cli.audit_witness import Unreachable
from cli.audit_witness import witness as look
from cli.settings import Settings

audit = typer.Typer(no_args_is_help=True, help="The audit log, from outside.")

_TRUSTED = typer.Option("--key", help="A trusted verifier key, as `hasp audit key` prints it; repeat for several.")
_TRUSTED_FILE = typer.Option("--trusted", help="A file of verifier keys, one a line.")
_KEY_FILE = typer.Option(help="The audit signing key; that of the suite in the state folder without it.")
_DEPLOYMENT = typer.Option(envvar="HASP_DEPLOYMENT", help="The deployment's name.")


@audit.command()
def verify(
    file: Path,
    key: Annotated[list[str] | None, _TRUSTED] = None,
    trusted: Annotated[Path | None, _TRUSTED_FILE] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(help="An earlier export or checkpoint that must be a prefix; repeat for several."),
    ] = None,
    timestamp_certificate: Annotated[
        Path | None,
        typer.Option(help="The roots (PEM) of a time-stamping authority, one of whose stamps the file must bear."),
    ] = None,
) -> None:
    """Check an export: 0 where it is what the operator signed, 1 where it is not. It needs no network and no database."""
    arguments = [str(file)]
    arguments += [argument for vkey in key or () for argument in ("--key", vkey)]
    arguments += ["--trusted", str(trusted)] if trusted else []
    arguments += [argument for path in earlier or () for argument in ("--earlier", str(path))]
    arguments += ["--timestamp-certificate", str(timestamp_certificate)] if timestamp_certificate else []
    raise typer.Exit(audit_verifier.main(arguments))


@audit.command("key")
def print_key(
    org_id: Annotated[str | None, typer.Argument(help="For this organization's log alone.")] = None,
    key_file: Annotated[Path | None, _KEY_FILE] = None,
    deployment: Annotated[str, _DEPLOYMENT] = "hasp.local",
) -> None:
    """Print the verifier key that auditors are to trust. Give it to them by another way than the files it checks."""
    vkey = audit_keys.vkey(_file(key_file), deployment, org_id)
    typer.echo(vkey)
    typer.echo(f"fingerprint, as `verify` tells it: {audit_verifier.fingerprint_of(vkey)}", err=True)


@audit.command("rotate-key")
def rotate_key(
    key_file: Annotated[Path | None, _KEY_FILE] = None, deployment: Annotated[str, _DEPLOYMENT] = "hasp.local"
) -> None:
    """Replace the signing key; the old one signs for the new. Restart compliance afterwards, and keep the old key offline."""
    path = _file(key_file)
    kept = audit_keys.rotate(path, deployment)
    typer.echo(f"{audit_keys.vkey(path, deployment)}\nthe old key is in {kept}")


@audit.command()
def witness(
    url: str,
    state: Annotated[Path, typer.Option(help="Where the newest checkpoint that was seen is kept.")],
    key: Annotated[list[str] | None, _TRUSTED] = None,
    trusted: Annotated[Path | None, _TRUSTED_FILE] = None,
) -> None:
    """Look at the log once and keep its checkpoint; 1 where it is smaller than before, or another.

    HASP_API_KEY in the environment asks; it needs the scope control:read. After a rotation keep the old key and give the new one too:
    `hasp audit verify` prints it, once an export shows that the old one signed for it.
    """
    keys = Keys()
    try:
        for vkey in key or ():
            keys.add(vkey)
        if trusted:
            keys.add_all(trusted)
    except (OSError, ValueError) as failure:
        raise typer.BadParameter(f"a key cannot be read: {failure}", param_hint="--key or --trusted") from failure
    try:
        before, now = look(url, os.environ.get("HASP_API_KEY", ""), keys, state)
    except (NotVerified, ValueError) as failure:
        typer.echo(f"NOT CONSISTENT: {failure}", err=True)
        raise typer.Exit(1) from failure
    except Unreachable as failure:
        typer.echo(f"hasp: {failure}", err=True)
        raise typer.Exit(2) from failure
    typer.echo(f"CONSISTENT {before.size if before else 0} to {now.size} leaves, root {now.root.hex()}")


def _file(key_file: Path | None) -> Path:
    return key_file or Settings().state / "secrets" / "audit.key"
