from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from tests.chassis.owners import Owner, Replica
from tests.postgres import DatabaseFactory


@pytest.fixture
async def owner(database_factory: DatabaseFactory, tls_dir: Path) -> Owner:
    urls = database_factory("identity")
    async with await psycopg.AsyncConnection.connect(urls.owner_url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE facts (subject text PRIMARY KEY, valid boolean NOT NULL)")
        await connection.execute("GRANT ALL ON facts TO hasp_identity")
        await connection.execute("INSERT INTO facts SELECT 'key' || n, true FROM generate_series(0, 999) n")
    return Owner(urls.app_url, tls_dir)


@pytest.fixture
async def replica(owner: Owner) -> AsyncIterator[Replica]:
    async with owner.replica() as replica:
        yield replica
