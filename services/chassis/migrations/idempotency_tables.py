"""The table of `idempotency.Idempotency`."""

from services.chassis.migrations.schema import Schema
from services.chassis.migrations.tables import grant_app, tenant


def create_idempotency(op: Schema) -> None:
    """Claims and kept answers. `answer` is sealed; `key_hash` covers method, path and key."""
    op.execute(
        """
        CREATE TABLE idempotency_keys (
            org_id text NOT NULL,
            principal_id text NOT NULL,
            key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
            request_hash bytea NOT NULL,
            request_id text NOT NULL,
            state text NOT NULL CHECK (state IN ('running', 'applied', 'answered', 'refused')),
            claim_id text NOT NULL,
            claimed_until timestamptz NOT NULL,
            answer bytea CHECK ((answer IS NOT NULL) = (state IN ('answered', 'refused'))),
            http_status integer,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, principal_id, key_hash)
        )
        """
    )
    op.execute("CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at)")
    tenant(op, "idempotency_keys")
    grant_app(op, "idempotency_keys", "SELECT, INSERT, UPDATE, DELETE")
