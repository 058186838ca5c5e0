"""Reservations tell of the limit that a key meets first, and windows survive a clock that was far ahead."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

_FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"


def upgrade() -> None:
    # With signatures as before: a program that runs meanwhile does not notice.
    for name in ("windows_2", "reserve_2"):
        op.execute((_FUNCTIONS / f"{name}.sql").read_text())
