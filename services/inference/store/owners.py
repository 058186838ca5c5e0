"""Who is alive: each process that runs requests holds a lease, by the database's clock."""

from datetime import timedelta

from services.chassis.database import Database


async def renew(db: Database, owner_id: str, lease: timedelta) -> None:
    async with db.hot.connection() as connection:
        await connection.execute(
            "INSERT INTO owners (owner_id, lease_until) VALUES (%s, now() + %s)"
            " ON CONFLICT (owner_id) DO UPDATE SET lease_until = excluded.lease_until",
            (owner_id, lease),
        )


async def leave(db: Database, owner_id: str) -> None:
    """What is still running then is for others to settle, at once."""
    async with db.hot.connection() as connection:
        await connection.execute("DELETE FROM owners WHERE owner_id = %s", (owner_id,))


async def prune(db: Database) -> None:
    async with db.hot.connection() as connection:
        await connection.execute("DELETE FROM owners WHERE lease_until < now() - interval '1 day'")


async def make_partitions(db: Database) -> None:
    """Partitions of this month and the next two, where they are missing."""
    async with db.hot.connection() as connection:
        await connection.execute("SELECT make_record_partitions(now(), 3)")
