"""Adjustments by the operator, and reports of the reconciler."""

from alembic import op

from services.chassis.migrations.tables import append_only, grant_app

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _adjustments()
    _reconciliations()


def _adjustments() -> None:
    """`adjustment` is an account that credits come from, as `source` is; they go to `allotment`, so that whoever may use that may use them.

    Not validated, which would read the whole journal under the table's lock: every entry there is keeps to narrower rules already.
    """
    op.execute(
        """
        ALTER TABLE entries
            ADD COLUMN adjustment numeric NOT NULL DEFAULT 0,
            ADD COLUMN reason text,
            DROP CONSTRAINT entries_kind_check,
            DROP CONSTRAINT entries_check,
            ADD CONSTRAINT entries_kinds CHECK (
                kind IN ('allotment', 'overage', 'adjustment', 'reserve', 'release', 'expire', 'settle')
            ) NOT VALID,
            ADD CONSTRAINT entries_legs CHECK (source + adjustment + allotment + overage + reserved + used = 0) NOT VALID,
            ADD CONSTRAINT entries_reason CHECK (
                CASE kind WHEN 'adjustment' THEN reason IN ('correction', 'goodwill', 'migration') IS TRUE ELSE reason IS NULL END
            ) NOT VALID
        """
    )
    # The allotment of a cycle is the plan's with the adjustments: only the plan's part cannot be negative.
    op.execute(
        """
        ALTER TABLE cycles
            ADD COLUMN adjustments numeric NOT NULL DEFAULT 0,
            DROP CONSTRAINT cycles_allotment_check,
            ADD CONSTRAINT cycles_allotment CHECK (allotment >= adjustments)
        """
    )


def _reconciliations() -> None:
    """What was found each time; `found` names differences without their amounts. It belongs to no organization."""
    op.execute(
        """
        CREATE TABLE reconciliations (
            reconciled_at timestamptz PRIMARY KEY,
            since timestamptz NOT NULL,
            checked bigint NOT NULL,
            found text[] NOT NULL
        )
        """
    )
    append_only(op, "reconciliations")
    grant_app(op, "reconciliations", "SELECT, INSERT")
    # Rows come in the order of their booking: a few bytes for each megabyte tell where recent cycles begin.
    for table in ("entries", "settlements"):
        op.execute(f"CREATE INDEX {table}_booked ON {table} USING brin (booked_at) WITH (autosummarize = on)")
