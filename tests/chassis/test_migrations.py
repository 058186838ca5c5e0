"""The schema's own rules: tenancy holds for everyone, and the program changes no schema."""

from typing import LiteralString

import psycopg
import pytest

from services.chassis import migrations
from tests.postgres import DatabaseFactory

ACME = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
MALLORY = "01BX5ZZKBKACTAV9WEVGEMMVRZ"


def test_migrating_twice_changes_nothing(database_factory: DatabaseFactory) -> None:
    urls = database_factory("inference")
    migrations.upgrade(urls.owner_url, "inference")
    assert migrations.current(urls.owner_url) == migrations.head("inference")


def test_rows_of_another_organization_are_not_seen(database_factory: DatabaseFactory) -> None:
    urls = database_factory("inference")
    with psycopg.connect(urls.app_url, options=f"-c hasp.org_id={ACME}") as acme:
        acme.execute("INSERT INTO data_keys (org_id, version, wrapped) VALUES (%s, 1, 'x')", (ACME,))
    with psycopg.connect(urls.app_url, options=f"-c hasp.org_id={MALLORY}") as mallory:
        assert mallory.execute("SELECT * FROM data_keys").fetchall() == []
    with psycopg.connect(urls.app_url) as nobody:
        assert nobody.execute("SELECT * FROM data_keys").fetchall() == []
    with psycopg.connect(urls.app_url, options="-c hasp.org_id=*") as system:
        assert len(system.execute("SELECT * FROM data_keys").fetchall()) == 1


def test_a_row_cannot_be_written_for_another_organization(database_factory: DatabaseFactory) -> None:
    urls = database_factory("inference")
    with psycopg.connect(urls.app_url, options=f"-c hasp.org_id={MALLORY}") as mallory:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            mallory.execute("INSERT INTO data_keys (org_id, version, wrapped) VALUES (%s, 1, 'x')", (ACME,))


def test_security_holds_for_the_owner_of_the_tables_too(database_factory: DatabaseFactory) -> None:
    urls = database_factory("inference")
    with psycopg.connect(urls.app_url, options="-c hasp.org_id=*") as system:
        system.execute("INSERT INTO data_keys (org_id, version, wrapped) VALUES (%s, 1, 'x')", (ACME,))
    with psycopg.connect(urls.owner_url) as owner:
        assert owner.execute("SELECT * FROM data_keys").fetchall() == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "DROP TABLE data_keys",
        "ALTER TABLE data_keys DISABLE ROW LEVEL SECURITY",
        "DELETE FROM data_keys",
        "UPDATE data_keys SET version = 2",
    ],
)
def test_the_program_changes_neither_schema_nor_keys(
    database_factory: DatabaseFactory, statement: LiteralString
) -> None:
    urls = database_factory("inference")
    with psycopg.connect(urls.app_url, options="-c hasp.org_id=*") as app:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement)
