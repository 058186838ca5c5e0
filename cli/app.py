"""The `hasp` command."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from cli.agreements import agreements
from cli.audit import audit
from cli.clients import CallError
from cli.credits import credits_
from cli.databases import provision as make_databases
from cli.deployment import write_secrets
from cli.organizations import SCOPES, Organizations
from cli.postgres import PostgresError
from cli.seed import SeedError
from cli.settings import Settings
from cli.suite import SuiteError
from cli.up import up as run_suite

_Result = TypeVar("_Result")
Plan = Literal["developer", "growth", "scale", "enterprise"]
Role = Literal["owner", "admin", "member"]
Format = Literal["wa_live", "hasp_key_live"]

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
org = typer.Typer(no_args_is_help=True, help="Organizations.")
user = typer.Typer(no_args_is_help=True, help="Users of an organization.")
key = typer.Typer(no_args_is_help=True, help="API keys.")
app.add_typer(org, name="org")
app.add_typer(user, name="user")
app.add_typer(key, name="key")
app.add_typer(credits_, name="credits")
app.add_typer(audit, name="audit")
app.add_typer(agreements, name="baa")


@app.command()
def up() -> None:
    """Run the whole suite here until Ctrl-C. HASP_PORT moves the edge; ANTHROPIC_API_KEY names the provider's key."""
    try:
        run_suite(Settings())
    except (SuiteError, PostgresError, SeedError, CallError) as error:
        typer.echo(f"hasp: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def provision(passwords: Annotated[Path, typer.Option(help="A folder of <role>.password files.")]) -> None:
    """Make the four databases and their roles on the server that DATABASE_URL names."""
    database_url = Settings().database_url
    if database_url is None:
        typer.echo("hasp: DATABASE_URL is not set", err=True)
        raise typer.Exit(1)
    make_databases(database_url, passwords)


@app.command("secrets")
def make_secrets(folder: Path) -> None:
    """Write the files that docker-compose.yml mounts: certificates, keys, passwords. What exists is kept."""
    key_of_provider = Settings().anthropic_api_key
    write_secrets(folder, key_of_provider.get_secret_value() if key_of_provider else "simulated")


@org.command("create")
def create_org(name: str, plan: Annotated[Plan, typer.Option()] = "developer") -> None:
    """Make an organization; prints its id."""
    typer.echo(_with_identity(lambda organizations: organizations.create(name, plan)))


@user.command("create")
def create_user(
    org_id: str, email: str, name: Annotated[str, typer.Option()], role: Annotated[Role, typer.Option()] = "member"
) -> None:
    """Add a person to an organization; prints the user's id."""
    typer.echo(_with_identity(lambda all_: all_.create_user(org_id, email=email, name=name, role=role)))


@key.command("create")
def create_key(
    org_id: str,
    user_id: str,
    name: Annotated[str, typer.Option()] = "first key",
    scope: Annotated[list[str] | None, typer.Option(help="Repeat for several; every scope without it.")] = None,
    form: Annotated[Format, typer.Option("--format")] = "wa_live",
) -> None:
    """Make a key for a user; prints it, this once."""
    scopes = tuple(scope) if scope else SCOPES
    issued = _with_identity(lambda all_: all_.issue_key(org_id, user_id, name=name, scopes=scopes, form=form))
    typer.echo(issued.plaintext)


def _with_identity(ask: Callable[[Organizations], _Result]) -> _Result:
    """Ask the identity service: the one named in the environment, or that of the suite running on the state folder."""
    try:
        with Organizations.of(Settings()) as organizations:
            return ask(organizations)
    except CallError as error:
        typer.echo(f"hasp: {error}", err=True)
        raise typer.Exit(1) from error
