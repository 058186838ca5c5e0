"""What every service's migrations are made of: tenancy, grants, and the table of sealed data keys.

The chassis' other tables are beside this file: `outbox_tables`, `idempotency_tables`, `watch_tables`.
"""

from services.chassis.migrations.schema import Schema


def app_role(op: Schema) -> str:
    """The role the service's program runs as: it owns nothing and may change no schema."""
    config = op.get_context().config
    if config is None:
        raise RuntimeError("a migration runs inside the environment of services.chassis.migrations")
    return f"hasp_{config.attributes['service']}"


def tenant(op: Schema, table: str) -> None:
    """Row-level security by `org_id`, forced for the owner too.

    The app sets `hasp.org_id` in each transaction; `*` is the system's own work over all organizations (relay, sweeper,
    token lookup). Unset, not a single row is seen.
    """
    op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    op.execute(
        f'CREATE POLICY tenant ON "{table}" USING '
        "(org_id = current_setting('hasp.org_id', true) OR current_setting('hasp.org_id', true) = '*')"
    )


def grant_app(op: Schema, table: str, privileges: str) -> None:
    """`privileges` as in SQL: `SELECT, INSERT`. Append-only tables get no more than these two."""
    op.execute(f'GRANT {privileges} ON TABLE "{table}" TO "{app_role(op)}"')


def append_only(op: Schema, table: str) -> None:
    """A trigger against UPDATE, DELETE and TRUNCATE, beside the grants: it holds for the owner as well."""
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    op.execute(
        f'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "{table}" FOR EACH ROW EXECUTE FUNCTION refuse_change()'
    )
    op.execute(
        f'CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON "{table}" '
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def create_data_keys(op: Schema) -> None:
    """The wrapped data keys of `sealing.Sealer`. Deleting a row shreds everything that was sealed under it."""
    op.execute(
        """
        CREATE TABLE data_keys (
            org_id text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            wrapped bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org_id, version)
        )
        """
    )
    tenant(op, "data_keys")
    grant_app(op, "data_keys", "SELECT, INSERT")
