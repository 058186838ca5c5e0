"""The audit log: an intake that is emptied, and entries that stay."""

from alembic import op

from services.chassis.migrations.tables import append_only, grant_app, tenant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _create_intake()
    _create_entries()
    _create_sequencing()


def _create_intake() -> None:
    op.execute(
        """
        CREATE TABLE audit_intake (
            org_id text NOT NULL,
            id text NOT NULL,
            arrival bigint GENERATED ALWAYS AS IDENTITY,
            action text NOT NULL,
            entity_type text NOT NULL,
            entity_id text NOT NULL,
            actor_id text NOT NULL,
            created_at timestamptz NOT NULL,
            head bytea NOT NULL,
            tail bytea NOT NULL,
            PRIMARY KEY (org_id, id)
        )
        """
    )
    op.execute("CREATE INDEX audit_intake_arrival ON audit_intake (arrival)")
    # Rows stay for a tenth of a second: vacuum by count of dead rows, or the head of the index is all dead rows.
    op.execute(
        "ALTER TABLE audit_intake SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, "
        "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000)"
    )
    tenant(op, "audit_intake")
    grant_app(op, "audit_intake", "SELECT, INSERT, DELETE")


def _create_entries() -> None:
    # One partition for all time. A later one starts at a ULID: detach, attach with the bound, add; no key changes.
    op.execute(
        """
        CREATE TABLE audit_entries (
            org_id text NOT NULL,
            id text NOT NULL,
            seq bigint NOT NULL,
            action text NOT NULL,
            entity_type text NOT NULL,
            entity_id text NOT NULL,
            actor_id text NOT NULL,
            created_at timestamptz NOT NULL,
            leaf bytea NOT NULL,
            leaf_hash bytea NOT NULL,
            PRIMARY KEY (org_id, id)
        ) PARTITION BY RANGE (id)
        """
    )
    op.execute("CREATE TABLE audit_entries_1 PARTITION OF audit_entries FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")
    op.execute("CREATE UNIQUE INDEX audit_entries_1_seq ON audit_entries_1 (org_id, seq)")
    op.execute("CREATE INDEX audit_entries_action ON audit_entries (org_id, action, seq)")
    op.execute("CREATE INDEX audit_entries_entity ON audit_entries (org_id, entity_id, seq)")
    op.execute("CREATE INDEX audit_entries_actor ON audit_entries (org_id, actor_id, seq)")
    op.execute("CREATE INDEX audit_entries_created ON audit_entries (org_id, created_at)")
    append_only(op, "audit_entries")
    # Row triggers are inherited; this one is not.
    op.execute(
        "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_entries_1 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    tenant(op, "audit_entries")
    tenant(op, "audit_entries_1")
    grant_app(op, "audit_entries", "SELECT, INSERT")


def _create_sequencing() -> None:
    op.execute("CREATE TABLE audit_trees (org_id text PRIMARY KEY, size bigint NOT NULL CHECK (size > 0))")
    tenant(op, "audit_trees")
    grant_app(op, "audit_trees", "SELECT, INSERT, UPDATE")
    op.execute(
        """
        CREATE TABLE audit_sequencer (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            epoch bigint NOT NULL,
            beat_at timestamptz NOT NULL
        )
        """
    )
    op.execute("INSERT INTO audit_sequencer (epoch, beat_at) VALUES (0, '-infinity')")
    grant_app(op, "audit_sequencer", "SELECT, UPDATE")
