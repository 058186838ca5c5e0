"""The outbox: what a service owes its siblings."""

from services.chassis.migrations.schema import Schema
from services.chassis.migrations.tables import grant_app, tenant


def create_outbox(op: Schema) -> None:
    """The table of `services.chassis.outbox`.

    `due_at` is when a row may be claimed next: `-infinity` from the start, the end of the lease while a relay holds it, later after a refusal.
    """
    op.execute(
        """
        CREATE TABLE outbox (
            org_id text NOT NULL,
            topic text NOT NULL,
            id text NOT NULL,
            payload bytea NOT NULL,
            due_at timestamptz NOT NULL DEFAULT '-infinity',
            attempts integer NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (org_id, topic, id)
        )
        """
    )
    op.execute("CREATE INDEX outbox_due ON outbox (topic, due_at, id)")
    # Every row is deleted within milliseconds: vacuum by count of dead rows, or the head of the index is all dead rows.
    op.execute(
        "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, "
        "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000)"
    )
    tenant(op, "outbox")
    grant_app(op, "outbox", "SELECT, INSERT, UPDATE, DELETE")
