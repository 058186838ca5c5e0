"""Settings, one row an organization; none before the first change."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.chassis.access import OrgId
from services.chassis.database import Database, Tx


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """`default_system` is sealed: people write names into prompts."""

    phi_mode: str
    phi_restore: bool
    storage_mode: str
    image_policy: str
    default_system: bytes | None
    retention_days: int


_FIELDS = "phi_mode, phi_restore, storage_mode, image_policy, default_system, retention_days"


async def find(db: Database, org_id: OrgId) -> tuple[StoredSettings | None, int]:
    """The row, and a position of the watch log that it is certain to include."""
    async with db.hot.connection() as connection:
        # One statement, one snapshot: a change of the row that this does not see has a later position.
        found = await connection.execute(
            f"SELECT state.seq, {_FIELDS} FROM watch_state AS state LEFT JOIN settings ON settings.org_id = %s",  # noqa: S608
            (org_id,),
        )
        row: Any = await found.fetchone()
        return (StoredSettings(*row[1:]) if row[1] is not None else None), row[0]


async def lock(tx: Tx, org_id: OrgId) -> StoredSettings | None:
    """The row, locked; organizations without one are serialized by their id."""
    await tx.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('settings ' || :org_id, 0))"), {"org_id": org_id}
    )
    found = await tx.execute(sa.text(f"SELECT {_FIELDS} FROM settings WHERE org_id = :org_id"), {"org_id": org_id})  # noqa: S608
    row = found.one_or_none()
    return StoredSettings(*row) if row is not None else None


async def put(tx: Tx, org_id: OrgId, settings: StoredSettings, at: datetime) -> None:
    await tx.execute(
        _PUT,
        {
            "org_id": org_id,
            "phi_mode": settings.phi_mode,
            "phi_restore": settings.phi_restore,
            "storage_mode": settings.storage_mode,
            "image_policy": settings.image_policy,
            "default_system": settings.default_system,
            "retention_days": settings.retention_days,
            "at": at,
        },
    )


_PUT = sa.text(
    """
    INSERT INTO settings (org_id, phi_mode, phi_restore, storage_mode, image_policy, default_system, retention_days, updated_at)
    VALUES (:org_id, :phi_mode, :phi_restore, :storage_mode, :image_policy, :default_system, :retention_days, :at)
    ON CONFLICT (org_id) DO UPDATE
       SET phi_mode = excluded.phi_mode, phi_restore = excluded.phi_restore, storage_mode = excluded.storage_mode,
           image_policy = excluded.image_policy, default_system = excluded.default_system,
           retention_days = excluded.retention_days, updated_at = excluded.updated_at
    """
)
