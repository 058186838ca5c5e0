"""The chassis' tables; organizations, users, API keys and the token index."""

from alembic import op

from services.chassis.migrations.idempotency_tables import create_idempotency
from services.chassis.migrations.outbox_tables import create_outbox
from services.chassis.migrations.tables import create_data_keys, grant_app, tenant
from services.chassis.migrations.watch_tables import create_watch

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_outbox(op)
    create_idempotency(op)
    create_data_keys(op)
    create_watch(op)
    op.execute(
        """
        CREATE TABLE organizations (
            org_id text PRIMARY KEY,
            name text NOT NULL,
            plan text NOT NULL,
            created_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX organizations_name ON organizations (lower(name))")
    tenant(op, "organizations")
    grant_app(op, "organizations", "SELECT, INSERT")
    op.execute(
        """
        CREATE TABLE users (
            org_id text NOT NULL REFERENCES organizations,
            id text NOT NULL,
            email text NOT NULL,
            name text NOT NULL,
            role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, id)
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX users_email ON users (org_id, lower(email))")
    tenant(op, "users")
    grant_app(op, "users", "SELECT, INSERT")
    op.execute(
        """
        CREATE TABLE api_keys (
            org_id text NOT NULL,
            id text NOT NULL,
            user_id text NOT NULL,
            name text NOT NULL,
            prefix text NOT NULL,
            last_four text NOT NULL CHECK (length(last_four) = 4),
            scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
            created_at timestamptz NOT NULL,
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_at timestamptz,
            PRIMARY KEY (org_id, id),
            FOREIGN KEY (org_id, user_id) REFERENCES users
        )
        """
    )
    tenant(op, "api_keys")
    grant_app(op, "api_keys", "SELECT, INSERT")
    # Only what changes in a key's life; who it is and what it may do stays as issued.
    op.execute("GRANT UPDATE (revoked_at, last_used_at) ON api_keys TO hasp_identity")
    # Read before it is known whose token it is: no row-level security, and nothing in it that tells more than where to look.
    op.execute(
        """
        CREATE TABLE tokens (
            token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
            pepper_version smallint NOT NULL,
            org_id text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('api_key', 'agent')),
            principal_id text NOT NULL
        )
        """
    )
    grant_app(op, "tokens", "SELECT, INSERT")
