"""A PostgreSQL for tests: the one DATABASE_URL names, a container where a Docker engine answers, or an embedded one.

Each test process has its own server, so workers share nothing; a service's migrations run once into a template, and
every test gets a clone of it.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from cli.databases import DatabaseUrls, create_database, create_roles, urls_of
from cli.postgres import EmbeddedPostgres
from cli.processes import Spawner
from cli.settings import Settings
from services.chassis import migrations

_IMAGE = "postgres:18"
_SHARED_MEMORY = "/dev/shm"
_ROOM = 2**31


@contextmanager
def server() -> Iterator[str]:
    """The URL of an administrator of a running server."""
    named = Settings().database_url
    if named:
        yield named
    elif _docker_answers():
        from testcontainers.community.postgres import PostgresContainer

        with PostgresContainer(_IMAGE, username="postgres", password=secrets.token_urlsafe(16)) as container:
            yield container.get_connection_url(driver=None)
    else:
        with _embedded() as url:
            yield url


@contextmanager
def _embedded() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="hasp-test-", dir=_in_memory()))
    spawner = Spawner()
    embedded = EmbeddedPostgres(folder / "postgres", spawner, log=folder / "postgres.log", durable=False)
    try:
        embedded.start()
        yield embedded.admin_url
    finally:
        embedded.stop()
        spawner.close()
        embedded.remove()
        shutil.rmtree(folder)


def _in_memory() -> str | None:
    """A folder in memory where there is room: a test's database is 8 MB of files that are copied and soon removed."""
    if os.access(_SHARED_MEMORY, os.W_OK) and shutil.disk_usage(_SHARED_MEMORY).free > _ROOM:
        return _SHARED_MEMORY
    return None


def _docker_answers() -> bool:
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=3)
        client.ping()
        client.close()
    except DockerException:
        return False
    return True


class Databases:
    """Migrated databases of any service, each a clone of a template that is migrated once."""

    def __init__(self, admin_url: str, passwords: Path) -> None:
        self._admin_url = admin_url
        self._passwords = passwords
        self._templates: dict[str, str] = {}
        self._made: list[str] = []

    def create(self, service: str) -> tuple[str, DatabaseUrls]:
        """A fresh database; its name and how to reach it."""
        template = self._template(service)
        name = f"{template}_{secrets.token_hex(4)}"
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            create_database(connection, service, name, template=template)
        return name, urls_of(self._admin_url, service, name, self._passwords)

    def drop(self, *names: str) -> None:
        """Gone, connections that a test left open included."""
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            for name in names:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        self.drop(*self._made)

    def _template(self, service: str) -> str:
        if service not in self._templates:
            name = f"test_{service}_{secrets.token_hex(4)}"
            with psycopg.connect(self._admin_url, autocommit=True) as connection:
                create_roles(connection, service, self._passwords)
                create_database(connection, service, name)
            self._made.append(name)
            migrations.upgrade(urls_of(self._admin_url, service, name, self._passwords).owner_url, service)
            self._templates[service] = name
        return self._templates[service]


DatabaseFactory = Callable[[str], DatabaseUrls]
