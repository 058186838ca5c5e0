"""Agents, their credentials, what they were authorized to do, and how often a rate-limited grant was used."""

from alembic import op

from services.chassis.migrations.tables import grant_app, tenant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _agents()
    _credentials()
    _invocations()


def _agents() -> None:
    op.execute(
        """
        CREATE TABLE agents (
            org_id text NOT NULL REFERENCES organizations,
            id text NOT NULL,
            name text NOT NULL,
            description text,
            capabilities text[] NOT NULL,
            default_expiry_hours integer NOT NULL CHECK (default_expiry_hours BETWEEN 1 AND 720),
            default_revocation_policy text NOT NULL CHECK (default_revocation_policy IN ('drain', 'kill')),
            allowed_scope_types text[],
            created_at timestamptz NOT NULL,
            archived_at timestamptz,
            PRIMARY KEY (org_id, id)
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX agents_active_name ON agents (org_id, lower(name)) WHERE archived_at IS NULL")
    tenant(op, "agents")
    grant_app(op, "agents", "SELECT, INSERT")
    op.execute(
        "GRANT UPDATE (name, description, capabilities, default_expiry_hours, default_revocation_policy,"
        " allowed_scope_types, archived_at) ON agents TO hasp_identity"
    )


def _credentials() -> None:
    op.execute(
        """
        CREATE TABLE credentials (
            org_id text NOT NULL,
            id text NOT NULL,
            agent_id text NOT NULL,
            name text NOT NULL,
            description text,
            prefix text NOT NULL,
            last_four text NOT NULL CHECK (length(last_four) = 4),
            granted_scopes jsonb NOT NULL,
            scope_types text[] NOT NULL,
            tool_ids text[] NOT NULL,
            covered_by smallint[],
            delegating_user_id text NOT NULL,
            parent_id text,
            delegation_path text[] NOT NULL,
            chain_depth smallint NOT NULL CHECK (chain_depth BETWEEN 0 AND 3),
            expires_at timestamptz NOT NULL,
            revocation_policy text NOT NULL CHECK (revocation_policy IN ('drain', 'kill')),
            max_concurrent_invocations integer NOT NULL CHECK (max_concurrent_invocations BETWEEN 1 AND 1000),
            test_mode boolean NOT NULL,
            created_at timestamptz NOT NULL,
            revoked_at timestamptz,
            revoked_with text CHECK (revoked_with IN ('drain', 'kill')),
            revocation_reason text,
            last_used_at timestamptz,
            PRIMARY KEY (org_id, id),
            FOREIGN KEY (org_id, agent_id) REFERENCES agents,
            FOREIGN KEY (org_id, delegating_user_id) REFERENCES users,
            FOREIGN KEY (org_id, parent_id) REFERENCES credentials,
            CHECK ((parent_id IS NULL) = (chain_depth = 0) AND (parent_id IS NULL) = (covered_by IS NULL)),
            CHECK ((revoked_at IS NULL) = (revoked_with IS NULL))
        )
        """
    )
    op.execute("CREATE INDEX credentials_agent ON credentials (org_id, agent_id, id)")
    # What an agent holds now is counted in every list of agents; what it held before only grows.
    op.execute(
        "CREATE INDEX credentials_in_force ON credentials (org_id, agent_id, expires_at) WHERE revoked_at IS NULL"
    )
    op.execute("CREATE INDEX credentials_parent ON credentials (org_id, parent_id) WHERE parent_id IS NOT NULL")
    tenant(op, "credentials")
    grant_app(op, "credentials", "SELECT, INSERT")
    # Only what changes in a credential's life; whose it is and what it may do stays as issued.
    op.execute(
        "GRANT UPDATE (revoked_at, revoked_with, revocation_reason, last_used_at) ON credentials TO hasp_identity"
    )


def _invocations() -> None:
    op.execute(
        """
        CREATE TABLE invocations (
            org_id text NOT NULL,
            id text NOT NULL,
            credential_id text NOT NULL,
            grant_no smallint NOT NULL,
            status text NOT NULL CHECK (status IN ('authorized', 'completed', 'cancelled', 'expired')),
            outcome text CHECK (outcome IN ('succeeded', 'failed')),
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            ended_at timestamptz,
            PRIMARY KEY (org_id, id),
            FOREIGN KEY (org_id, credential_id) REFERENCES credentials,
            CHECK ((status = 'authorized') = (ended_at IS NULL)),
            CHECK ((status = 'completed') = (outcome IS NOT NULL))
        )
        """
    )
    op.execute(
        "CREATE INDEX invocations_running ON invocations (org_id, credential_id, expires_at) WHERE status = 'authorized'"
    )
    op.execute("CREATE INDEX invocations_due ON invocations (expires_at) WHERE status = 'authorized'")
    op.execute("CREATE INDEX invocations_ended ON invocations (ended_at) WHERE ended_at IS NOT NULL")
    tenant(op, "invocations")
    grant_app(op, "invocations", "SELECT, INSERT, DELETE")
    op.execute("GRANT UPDATE (status, outcome, ended_at) ON invocations TO hasp_identity")
    # A row for each minute in which a rate-limited grant was used: the last hour is a sum over at most 61 of them.
    op.execute(
        """
        CREATE TABLE grant_uses (
            org_id text NOT NULL,
            credential_id text NOT NULL,
            grant_no smallint NOT NULL,
            minute timestamptz NOT NULL,
            uses integer NOT NULL CHECK (uses > 0),
            PRIMARY KEY (org_id, credential_id, grant_no, minute),
            FOREIGN KEY (org_id, credential_id) REFERENCES credentials
        )
        """
    )
    tenant(op, "grant_uses")
    grant_app(op, "grant_uses", "SELECT, INSERT, UPDATE, DELETE")
