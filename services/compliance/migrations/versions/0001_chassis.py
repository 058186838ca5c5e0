"""The chassis' tables."""

from alembic import op

from services.chassis.migrations.idempotency_tables import create_idempotency
from services.chassis.migrations.tables import create_data_keys
from services.chassis.migrations.watch_tables import create_watch

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_idempotency(op)
    create_data_keys(op)
    create_watch(op)
