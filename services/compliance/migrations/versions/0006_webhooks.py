"""Webhooks: endpoints with their secrets, events that somebody is to be told, and their deliveries."""

from alembic import op

from services.chassis.migrations.tables import grant_app, tenant

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _create_endpoints()
    _create_deliveries()
    _create_positions()


def _create_endpoints() -> None:
    op.execute(
        """
        CREATE TABLE webhook_endpoints (
            org_id text NOT NULL,
            id text NOT NULL,
            app_id text,
            url text NOT NULL,
            events text[] NOT NULL CHECK (cardinality(events) > 0),
            description text,
            is_active boolean NOT NULL DEFAULT true,
            failing_since timestamptz,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, id)
        )
        """
    )
    # The newest secret signs; the ones before it sign beside it until they expire.
    op.execute(
        """
        CREATE TABLE webhook_secrets (
            org_id text NOT NULL,
            endpoint_id text NOT NULL,
            id text NOT NULL,
            sealed bytea NOT NULL,
            expires_at timestamptz,
            PRIMARY KEY (org_id, endpoint_id, id),
            FOREIGN KEY (org_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE
        )
        """
    )
    # One for each endpoint: when it has something to deliver, and who is delivering. A table of its own, for it changes all the time.
    # `silent` counts the tries in a row that had no answer; after some of them nothing is sent before `rests_until`.
    op.execute(
        """
        CREATE TABLE webhook_lanes (
            org_id text NOT NULL,
            endpoint_id text NOT NULL,
            due_at timestamptz NOT NULL DEFAULT 'infinity',
            leased_until timestamptz NOT NULL DEFAULT '-infinity',
            epoch bigint NOT NULL DEFAULT 0,
            silent integer NOT NULL DEFAULT 0,
            rests_until timestamptz NOT NULL DEFAULT '-infinity',
            PRIMARY KEY (org_id, endpoint_id),
            FOREIGN KEY (org_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX webhook_lanes_ready ON webhook_lanes (greatest(due_at, leased_until, rests_until))")
    for table in ("webhook_endpoints", "webhook_secrets", "webhook_lanes"):
        tenant(op, table)
        grant_app(op, table, "SELECT, INSERT, UPDATE, DELETE")


def _create_deliveries() -> None:
    # `sealed` is the body that is sent, the same to every endpoint. `id` is that of the audit entry, or of what was published, prefixed.
    op.execute(
        """
        CREATE TABLE webhook_events (
            org_id text NOT NULL,
            id text NOT NULL,
            event text NOT NULL,
            occurred_at timestamptz NOT NULL,
            sealed bytea NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, id)
        )
        """
    )
    op.execute("CREATE INDEX webhook_events_created ON webhook_events (created_at)")
    # `arrival` is the order of delivery. `due_at` is infinity when there is nothing more to do, since `ended_at`.
    op.execute(
        """
        CREATE TABLE webhook_deliveries (
            org_id text NOT NULL,
            id text NOT NULL,
            endpoint_id text NOT NULL,
            event_id text NOT NULL,
            event text NOT NULL,
            arrival bigint GENERATED ALWAYS AS IDENTITY,
            status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'retrying', 'dead')),
            attempts integer NOT NULL DEFAULT 0,
            last_status integer,
            first_attempt_at timestamptz,
            due_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            delivered_at timestamptz,
            ended_at timestamptz,
            PRIMARY KEY (org_id, id),
            UNIQUE (org_id, endpoint_id, event_id),
            FOREIGN KEY (org_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE,
            FOREIGN KEY (org_id, event_id) REFERENCES webhook_events,
            CHECK ((due_at = 'infinity') = (status IN ('delivered', 'dead'))),
            CHECK ((due_at = 'infinity') = (ended_at IS NOT NULL))
        )
        """
    )
    op.execute(
        "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (org_id, endpoint_id, arrival) WHERE due_at < 'infinity'"
    )
    op.execute(
        "CREATE INDEX webhook_deliveries_next ON webhook_deliveries (org_id, endpoint_id, due_at) WHERE due_at < 'infinity'"
    )
    op.execute("CREATE INDEX webhook_deliveries_event ON webhook_deliveries (org_id, event_id)")
    op.execute("CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (org_id, endpoint_id, id)")
    op.execute("CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL")
    for table in ("webhook_events", "webhook_deliveries"):
        tenant(op, table)
        grant_app(op, table, "SELECT, INSERT, UPDATE, DELETE")


def _create_positions() -> None:
    # How much of an organization's audit log has been turned into deliveries: entries with a lower seq have been looked at.
    op.execute(
        """
        CREATE TABLE webhook_positions (
            org_id text PRIMARY KEY,
            seq bigint NOT NULL
        )
        """
    )
    tenant(op, "webhook_positions")
    grant_app(op, "webhook_positions", "SELECT, INSERT, UPDATE")
