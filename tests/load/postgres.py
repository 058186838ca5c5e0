"""A durable PostgreSQL for measuring one service alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.databases import provision
from cli.postgres import EmbeddedPostgres
from cli.processes import Spawner
from cli.state import private_folder
from services.chassis import migrations


@contextmanager
def database(folder: Path, service: str) -> Iterator[str]:
    """PostgreSQL that flushes to disk, with the service's tables; the URL of its app role."""
    spawner = Spawner()
    postgres = EmbeddedPostgres(folder / "postgres", spawner, log=folder / "postgres.log")
    try:
        postgres.start()
        urls = provision(postgres.admin_url, private_folder(folder / "passwords"))[service]
        migrations.upgrade(urls.owner_url, service)
        yield urls.app_url
    finally:
        postgres.stop()
        spawner.close()
