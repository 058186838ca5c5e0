"""Sums of settlements by day, so that showing usage does not read every settlement of a month."""

from pathlib import Path

from alembic import op

from services.chassis.migrations.tables import grant_app, tenant

revision = "0003"
down_revision = "0002"

_FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE usage_days (
            org_id text NOT NULL,
            cycle_start timestamptz NOT NULL,
            day date NOT NULL,
            model text NOT NULL,
            principal_id text NOT NULL,
            agent_id text NOT NULL,
            requests bigint NOT NULL,
            input_tokens bigint NOT NULL,
            output_tokens bigint NOT NULL,
            credits numeric NOT NULL,
            PRIMARY KEY (org_id, day, cycle_start, model, principal_id, agent_id)
        ) WITH (fillfactor = 50)
        """
    )
    tenant(op, "usage_days")
    grant_app(op, "usage_days", "SELECT, INSERT, UPDATE")
    op.execute((_FUNCTIONS / "add_usage_1.sql").read_text())
