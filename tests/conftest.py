"""What every test may use: a migrated database of any service, and certificates for every workload."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.certificates import ensure_certificates
from cli.databases import DatabaseUrls
from tests import postgres
from tests.postgres import DatabaseFactory, Databases


@pytest.fixture(scope="session")
def _databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with postgres.server() as admin_url:
        databases = Databases(admin_url, tmp_path_factory.mktemp("passwords"))
        yield databases
        databases.close()


@pytest.fixture
def database_factory(_databases: Databases) -> Iterator[DatabaseFactory]:
    """`database_factory("identity")`: a database of that service's own, migrated and empty, gone after the test."""
    names = []

    def create(service: str) -> DatabaseUrls:
        name, urls = _databases.create(service)
        names.append(name)
        return urls

    yield create
    _databases.drop(*names)


@pytest.fixture(scope="session")
def tls_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, and `<workload>.pem` and `<workload>.key` for every workload."""
    return ensure_certificates(tmp_path_factory.mktemp("tls"))
