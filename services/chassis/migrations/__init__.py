"""Schema migrations: one alembic environment for every service, each with its own numbered versions.

Versions are `services/<service>/migrations/versions/NNNN_name.py`, revision `NNNN`, forward only: expand, deploy, contract,
so that the program of the day before still runs against the schema of today.
"""

from pathlib import Path

import psycopg

_SERVICES = Path(__file__).resolve().parent.parent.parent
# Two replicas that start together migrate one after the other. The number is "hasp" in ASCII.
_LOCK = 0x68617370


def head(service: str) -> str:
    """The newest revision of a service, `NNNN`."""
    return max(path.name[:4] for path in versions(service).glob("[0-9][0-9][0-9][0-9]_*.py"))


def versions(service: str) -> Path:
    """The folder of a service's versions."""
    return _SERVICES / service / "migrations" / "versions"


def upgrade(owner_url: str, service: str) -> None:
    """Bring the service's database to its head. Idempotent; at the head it costs one connection and one query.

    `owner_url` is a libpq URL of the role `hasp_<service>_owner`.
    """
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        if _current(connection) != head(service):
            _run(owner_url, service)


def current(owner_url: str) -> str | None:
    """The revision a database is at, `None` for an empty one."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        return _current(connection)


def _current(connection: psycopg.Connection) -> str | None:
    known = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if known is None or known[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def _run(owner_url: str, service: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).resolve().parent))
    config.set_main_option("version_locations", str(versions(service)))
    config.set_main_option("path_separator", "newline")
    config.attributes["owner_url"] = owner_url
    config.attributes["service"] = service
    command.upgrade(config, "head")
