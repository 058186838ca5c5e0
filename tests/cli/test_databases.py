import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from services.chassis import migrations
from tests.postgres import DatabaseFactory


def test_the_migrations_have_run_and_each_test_has_a_database_of_its_own(database_factory: DatabaseFactory):
    first, second = database_factory("billing"), database_factory("billing")
    with psycopg.connect(first.owner_url) as connection:
        connection.execute("CREATE TABLE only_here (id int)")
    with psycopg.connect(second.owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


def test_the_programs_role_cannot_create_drop_or_take_over(database_factory: DatabaseFactory):
    urls = database_factory("billing")
    for statement in (
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "DROP TABLE alembic_version",
        "CREATE ROLE friend",
        "SET ROLE hasp_billing_owner",
        "ALTER ROLE hasp_billing BYPASSRLS",
    ):
        with psycopg.connect(urls.app_url) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_one_services_roles_cannot_enter_anothers_database(database_factory: DatabaseFactory):
    billing, inference = database_factory("billing"), database_factory("inference")
    database = conninfo_to_dict(inference.app_url)["dbname"]
    for url in (billing.app_url, billing.owner_url):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(url, dbname=str(database))


def test_migrating_again_changes_nothing(database_factory: DatabaseFactory):
    urls = database_factory("billing")
    migrations.upgrade(urls.owner_url, "billing")
    assert migrations.current(urls.owner_url) == migrations.head("billing")
