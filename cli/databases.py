"""The four databases and their roles on one server.

Each service has a database, an owner role that runs its migrations, and a role for the program itself that may neither
create nor own anything: row-level security holds for it.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from cli.state import read_or_create

SERVICES = ("identity", "inference", "compliance", "billing")


@dataclass(frozen=True)
class DatabaseUrls:
    """One service's database as its two roles see it."""

    owner_url: str
    app_url: str


def role_names(service: str) -> tuple[str, str]:
    """The owner, who migrates, and the program's own."""
    return f"hasp_{service}_owner", f"hasp_{service}"


def provision(admin_url: str, passwords: Path) -> dict[str, DatabaseUrls]:
    """Create what is missing; the databases are named like the services.

    `admin_url` may create databases and roles. The roles' passwords are random, kept in the folder `passwords` and set
    again each time, so that a lost folder mends itself.
    """
    urls = {}
    with psycopg.connect(admin_url, autocommit=True) as server:
        for service in SERVICES:
            create_roles(server, service, passwords)
            create_database(server, service, service)
            urls[service] = urls_of(admin_url, service, service, passwords)
    return urls


def create_roles(server: psycopg.Connection, service: str, passwords: Path) -> None:
    """The owner and the app role of one service, able to log in and nothing else."""
    for role in role_names(service):
        exists = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
        server.execute(
            sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD {}").format(
                sql.SQL("ALTER" if exists else "CREATE"), sql.Identifier(role), _password(passwords, role)
            )
        )
    # Only a member of the owner role may give it a database, even where the server's administrator is no superuser.
    server.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role_names(service)[0])))


def create_database(server: psycopg.Connection, service: str, database: str, template: str | None = None) -> None:
    """The database, unless it exists; only its owner creates in it, only the app role may connect besides."""
    if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
        return
    owner, app = map(sql.Identifier, role_names(service))
    name = sql.Identifier(database)
    # A copy of files takes half the time of a copy through the write-ahead log, where there is much to copy.
    how = sql.SQL("TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template)) if template else sql.SQL("")
    server.execute(sql.SQL("CREATE DATABASE {} OWNER {} {}").format(name, owner, how))
    server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    server.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, app))


def urls_of(admin_url: str, service: str, database: str, passwords: Path) -> DatabaseUrls:
    """The admin's URL with another database, role and password; host and parameters stay."""

    def url(role: str) -> str:
        parts = urlsplit(admin_url)
        place = parts.netloc.rpartition("@")[2]
        password = quote(_password(passwords, role), safe="")
        return urlunsplit(parts._replace(netloc=f"{role}:{password}@{place}", path=f"/{database}"))

    owner, app = role_names(service)
    return DatabaseUrls(owner_url=url(owner), app_url=url(app))


def _password(passwords: Path, role: str) -> str:
    return read_or_create(passwords / f"{role}.password", lambda: secrets.token_urlsafe(32))
