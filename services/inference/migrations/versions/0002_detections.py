"""What the guard found in a request, one by one, sealed: the record's counts and types stay readable beside it."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE records ADD COLUMN detections bytea")
    op.execute("ALTER TABLE records ALTER detections SET STORAGE EXTERNAL")
