"""Records, conversations, settings, and who is at work on what."""

from alembic import op

from services.chassis.migrations import tables
from services.chassis.migrations.idempotency_tables import create_idempotency
from services.chassis.migrations.outbox_tables import create_outbox
from services.chassis.migrations.watch_tables import create_watch

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    tables.create_data_keys(op)
    create_outbox(op)
    create_idempotency(op)
    create_watch(op)
    _owners()
    _records()
    _conversations()
    _settings()


def _owners() -> None:
    """The processes that run requests. A record left `dispatched` by one whose lease ran out is settled by another."""
    op.execute(
        """
        CREATE TABLE owners (
            owner_id text PRIMARY KEY,
            lease_until timestamptz NOT NULL
        )
        """
    )
    tables.grant_app(op, "owners", "SELECT, INSERT, UPDATE, DELETE")


def _records() -> None:
    op.execute(
        """
        CREATE TABLE records (
            org_id text NOT NULL,
            request_id text COLLATE "C" NOT NULL,
            surface text NOT NULL,
            status text NOT NULL,
            stream boolean NOT NULL,
            store boolean NOT NULL,
            model text NOT NULL,
            catalogue_version text NOT NULL,
            conversation_id text,
            principal_kind text NOT NULL,
            principal_id text NOT NULL,
            agent_id text,
            user_id text NOT NULL,
            delegation_path text[] NOT NULL,
            ip_address text,
            owner_id text NOT NULL,
            input_bound bigint NOT NULL,
            request bytea,
            answer bytea,
            phi jsonb NOT NULL,
            restored_count integer NOT NULL DEFAULT 0,
            basis text,
            input_tokens bigint NOT NULL DEFAULT 0,
            output_tokens bigint NOT NULL DEFAULT 0,
            cache_read_tokens bigint NOT NULL DEFAULT 0,
            cache_write_tokens bigint NOT NULL DEFAULT 0,
            provider_message_id text,
            stop_reason text,
            error_code text,
            audit_ids text[] NOT NULL DEFAULT '{}',
            phi_ms double precision,
            upstream_ms double precision,
            total_ms double precision,
            created_at timestamptz NOT NULL,
            completed_at timestamptz,
            PRIMARY KEY (org_id, request_id)
        ) PARTITION BY RANGE (request_id)
        """
    )
    # What is sealed cannot be compressed: spare the attempt.
    op.execute("ALTER TABLE records ALTER request SET STORAGE EXTERNAL, ALTER answer SET STORAGE EXTERNAL")
    op.execute("CREATE TABLE records_rest PARTITION OF records DEFAULT")
    op.execute("CREATE INDEX records_dispatched ON records (owner_id) WHERE status = 'dispatched'")
    tables.tenant(op, "records")
    tables.grant_app(op, "records", "SELECT, INSERT, UPDATE")
    # ULIDs begin with 48 bits of milliseconds in Crockford's base 32: a month is a range of them.
    op.execute(
        """
        CREATE FUNCTION lowest_ulid(at timestamptz) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
        DECLARE
            ms bigint := floor(extract(epoch FROM at) * 1000);
            text_form text := '';
        BEGIN
            FOR i IN 0..9 LOOP
                text_form := substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((ms >> (5 * i)) & 31)::integer + 1, 1) || text_form;
            END LOOP;
            RETURN text_form || repeat('0', 16);
        END $$
        """
    )
    # With the owner's rights: the program may not change the schema but by this one door.
    op.execute(
        """
        CREATE FUNCTION make_record_partitions(at timestamptz, months integer) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        DECLARE
            first timestamptz;
            name text;
        BEGIN
            FOR i IN 0..least(months, 24) - 1 LOOP
                first := (date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
                name := 'records_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
                CONTINUE WHEN to_regclass(name) IS NOT NULL;
                BEGIN
                    EXECUTE format(
                        'CREATE TABLE %I PARTITION OF records FOR VALUES FROM (%L) TO (%L)',
                        name, lowest_ulid(first), lowest_ulid(first + interval '1 month'));
                EXCEPTION WHEN check_violation OR duplicate_table THEN
                    -- Rows of that month are in the rest already, or another replica was first.
                    NULL;
                END;
            END LOOP;
        END $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION make_record_partitions FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION make_record_partitions TO "{tables.app_role(op)}"')
    op.execute("SELECT make_record_partitions(now(), 3)")


def _conversations() -> None:
    op.execute(
        """
        CREATE TABLE conversations (
            org_id text NOT NULL,
            conversation_id text NOT NULL,
            principal_id text NOT NULL,
            placeholders bytea NOT NULL,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, conversation_id)
        )
        """
    )
    tables.tenant(op, "conversations")
    tables.grant_app(op, "conversations", "SELECT, INSERT, UPDATE, DELETE")
    op.execute(
        """
        CREATE TABLE conversation_turns (
            org_id text NOT NULL,
            conversation_id text NOT NULL,
            request_id text COLLATE "C" NOT NULL,
            turn bytea NOT NULL,
            PRIMARY KEY (org_id, conversation_id, request_id),
            FOREIGN KEY (org_id, conversation_id) REFERENCES conversations ON DELETE CASCADE
        )
        """
    )
    tables.tenant(op, "conversation_turns")
    tables.grant_app(op, "conversation_turns", "SELECT, INSERT, DELETE")


def _settings() -> None:
    op.execute(
        """
        CREATE TABLE settings (
            org_id text PRIMARY KEY,
            phi_mode text NOT NULL CHECK (phi_mode IN ('redact', 'block')),
            phi_restore boolean NOT NULL,
            storage_mode text NOT NULL CHECK (storage_mode IN ('full', 'none')),
            image_policy text NOT NULL CHECK (image_policy IN ('refuse', 'pass')),
            default_system bytea,
            retention_days integer NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    tables.tenant(op, "settings")
    tables.grant_app(op, "settings", "SELECT, INSERT, UPDATE")
