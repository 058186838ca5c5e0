"""`hasp baa`: what the operator's documents are signed with."""

from pathlib import Path
from typing import Annotated

import typer

from cli.settings import Settings
from cli.signing_certificates import CERTIFICATE, describe

agreements = typer.Typer(no_args_is_help=True, help="Business Associate Agreements.")


@agreements.callback()
def _group() -> None:
    """Business Associate Agreements."""


@agreements.command()
def certificate(
    *,
    file: Annotated[
        Path | None, typer.Option(help="Its file; that of the suite in the state folder without it.")
    ] = None,
    pem: Annotated[
        bool, typer.Option("--pem", help="Print the certificates themselves, to be imported as trusted.")
    ] = False,
) -> None:
    """Print the fingerprints of the certificate that signs agreements. Readers are to get them by another way than the documents."""
    path = file or Settings().state / "secrets" / CERTIFICATE
    typer.echo(path.read_text(encoding="ascii").rstrip() if pem else describe(path))
