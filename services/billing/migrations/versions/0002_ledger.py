"""Accounts, the journal, reservations, settlements, rate windows, and the functions of the hot calls."""

from pathlib import Path

from alembic import op

from services.chassis.migrations.tables import app_role, append_only, grant_app, tenant

revision = "0002"
down_revision = "0001"

_FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"


def upgrade() -> None:
    _catalogue()
    _accounts()
    _journal()
    _windows()
    for name in ("windows_1", "reserve_1", "settle_1", "release_1", "partitions_1"):
        op.execute((_FUNCTIONS / f"{name}.sql").read_text())
    op.execute(f'GRANT EXECUTE ON FUNCTION make_ledger_partitions TO "{app_role(op)}"')
    op.execute("SELECT make_ledger_partitions(now(), 3)")


def _catalogue() -> None:
    """Every catalogue this deployment has priced by, and the plans of the newest. They belong to no organization."""
    op.execute(
        """
        CREATE TABLE catalogues (
            version text PRIMARY KEY,
            document bytea NOT NULL,
            seen_at timestamptz NOT NULL
        )
        """
    )
    append_only(op, "catalogues")
    grant_app(op, "catalogues", "SELECT, INSERT")
    op.execute(
        """
        CREATE TABLE plans (
            id text PRIMARY KEY,
            catalogue_version text NOT NULL,
            credits_per_cycle numeric NOT NULL CHECK (credits_per_cycle >= 0),
            requests_per_minute bigint CHECK (requests_per_minute > 0),
            requests_per_day bigint CHECK (requests_per_day > 0),
            tokens_per_minute bigint CHECK (tokens_per_minute > 0)
        )
        """
    )
    grant_app(op, "plans", "SELECT, INSERT, UPDATE")


def _accounts() -> None:
    """`accounts` is the row that the hot calls lock; `cycles` holds the balances of each month. Both are derived: the journal is the book."""
    op.execute(
        """
        CREATE TABLE accounts (
            org_id text PRIMARY KEY,
            plan text NOT NULL REFERENCES plans,
            next_plan text REFERENCES plans,
            anchor timestamptz NOT NULL,
            cycle_start timestamptz NOT NULL,
            cycle_end timestamptz NOT NULL CHECK (cycle_end > cycle_start),
            reserved numeric NOT NULL DEFAULT 0 CHECK (reserved >= 0),
            spend_cap numeric CHECK (spend_cap >= 0),
            alert_thresholds integer[] NOT NULL DEFAULT '{}',
            opus_enabled boolean NOT NULL DEFAULT false
        ) WITH (fillfactor = 50)
        """
    )
    op.execute("CREATE INDEX accounts_cycle_end ON accounts (cycle_end)")
    op.execute(
        """
        CREATE TABLE cycles (
            org_id text NOT NULL,
            cycle_start timestamptz NOT NULL,
            cycle_end timestamptz NOT NULL CHECK (cycle_end > cycle_start),
            plan text NOT NULL,
            allotment numeric NOT NULL CHECK (allotment >= 0),
            overage numeric NOT NULL DEFAULT 0 CHECK (overage >= 0),
            used numeric NOT NULL DEFAULT 0 CHECK (used >= 0),
            PRIMARY KEY (org_id, cycle_start),
            UNIQUE (org_id, cycle_end)
        ) WITH (fillfactor = 50)
        """
    )
    op.execute(
        """
        CREATE TABLE threshold_crossings (
            org_id text NOT NULL,
            cycle_start timestamptz NOT NULL,
            threshold integer NOT NULL,
            used numeric NOT NULL,
            "limit" numeric NOT NULL,
            crossed_at timestamptz NOT NULL,
            announced_at timestamptz,
            PRIMARY KEY (org_id, cycle_start, threshold)
        )
        """
    )
    op.execute("CREATE INDEX threshold_crossings_new ON threshold_crossings (crossed_at) WHERE announced_at IS NULL")
    for table in ("accounts", "cycles", "threshold_crossings"):
        tenant(op, table)
        grant_app(op, table, "SELECT, INSERT, UPDATE")


def _journal() -> None:
    """Double entry in one row: the legs of an entry, one column an account, sum to zero.

    `source` is where credits come from (plans, packs), `allotment` and `overage` what is free to use, `reserved` what running requests hold, `used`
    what was settled. An entry belongs to one cycle; a hold is returned to the cycle it was taken from.
    """
    op.execute(
        """
        CREATE TABLE entries (
            org_id text NOT NULL,
            entry_id text COLLATE "C" NOT NULL,
            kind text NOT NULL CHECK (kind IN ('allotment', 'overage', 'reserve', 'release', 'expire', 'settle')),
            cycle_start timestamptz NOT NULL,
            source numeric NOT NULL DEFAULT 0,
            allotment numeric NOT NULL DEFAULT 0,
            overage numeric NOT NULL DEFAULT 0,
            reserved numeric NOT NULL DEFAULT 0,
            used numeric NOT NULL DEFAULT 0,
            booked_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, entry_id, kind),
            CHECK (source + allotment + overage + reserved + used = 0)
        ) PARTITION BY RANGE (entry_id)
        """
    )
    op.execute("CREATE TABLE entries_rest PARTITION OF entries DEFAULT")
    op.execute(
        """
        CREATE TABLE settlements (
            org_id text NOT NULL,
            request_id text COLLATE "C" NOT NULL,
            cycle_start timestamptz NOT NULL,
            occurred_at timestamptz NOT NULL,
            principal_id text NOT NULL,
            agent_id text NOT NULL,
            model text NOT NULL,
            catalogue_version text NOT NULL,
            input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
            output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
            cache_read_tokens bigint NOT NULL CHECK (cache_read_tokens >= 0),
            cache_write_tokens bigint NOT NULL CHECK (cache_write_tokens >= 0),
            credits numeric NOT NULL CHECK (credits >= 0),
            basis text NOT NULL CHECK (basis IN ('reported', 'counted', 'unknown')),
            booked_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, request_id)
        ) PARTITION BY RANGE (request_id)
        """
    )
    op.execute("CREATE TABLE settlements_rest PARTITION OF settlements DEFAULT")
    op.execute("CREATE INDEX settlements_occurred ON settlements (org_id, occurred_at)")
    for table in ("entries", "settlements"):
        append_only(op, table)
        tenant(op, table)
        grant_app(op, table, "SELECT, INSERT")
    # What runs now; that a request was ever reserved is told by its entries.
    op.execute(
        """
        CREATE TABLE reservations (
            org_id text NOT NULL,
            request_id text COLLATE "C" NOT NULL,
            cycle_start timestamptz NOT NULL,
            bound numeric NOT NULL CHECK (bound >= 0),
            tokens bigint NOT NULL,
            token_slot bigint NOT NULL,
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, request_id)
        )
        """
    )
    op.execute("CREATE INDEX reservations_expiry ON reservations (expires_at)")
    # Rows live for seconds: vacuum by count, or the head of the index is all dead rows.
    op.execute("ALTER TABLE reservations SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)")
    tenant(op, "reservations")
    grant_app(op, "reservations", "SELECT, INSERT, UPDATE, DELETE")


def _windows() -> None:
    """Sliding windows: `counts` are the slots up to `slot`, the oldest first."""
    op.execute(
        """
        CREATE TABLE windows (
            org_id text NOT NULL,
            subject text NOT NULL,
            slot bigint NOT NULL,
            counts bigint[] NOT NULL,
            PRIMARY KEY (org_id, subject)
        ) WITH (fillfactor = 50)
        """
    )
    tenant(op, "windows")
    grant_app(op, "windows", "SELECT, INSERT, UPDATE, DELETE")
