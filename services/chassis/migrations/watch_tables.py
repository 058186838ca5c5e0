"""The tables of `watch.ChangeLog`, shared by all replicas of the service that owns the facts."""

from services.chassis.migrations.schema import Schema
from services.chassis.migrations.tables import grant_app


def create_watch(op: Schema) -> None:
    """The counter, the newest changes, and who holds a lease until when. They belong to no organization."""
    op.execute(
        """
        CREATE TABLE watch_state (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            seq bigint NOT NULL
        )
        """
    )
    op.execute("INSERT INTO watch_state (seq) VALUES (0)")
    grant_app(op, "watch_state", "SELECT, UPDATE")
    op.execute(
        """
        CREATE TABLE watch_changes (
            seq bigint PRIMARY KEY,
            org_id text NOT NULL,
            subject_id text NOT NULL,
            cancel boolean NOT NULL,
            at timestamptz NOT NULL
        )
        """
    )
    grant_app(op, "watch_changes", "SELECT, INSERT, DELETE")
    op.execute(
        """
        CREATE TABLE watchers (
            watcher_id text PRIMARY KEY,
            workload text NOT NULL,
            lease_until timestamptz NOT NULL,
            applied_seq bigint NOT NULL
        )
        """
    )
    grant_app(op, "watchers", "SELECT, INSERT, UPDATE, DELETE")
