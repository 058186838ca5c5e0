"""What the audit log has taken in and not yet given a place."""

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from sqlalchemy.dialects.postgresql import insert

from services.chassis.database import Tx
from services.compliance.domain.leaves import Event, Pieces
from services.compliance.store.tables import audit_intake

Taken = tuple[Event, Pieces]


async def add(tx: Tx, event: Event, pieces: Pieces) -> None:
    """Take one event in, with the effect that `tx` makes."""
    row = {
        "org_id": event.org_id,
        "id": event.id,
        "action": event.action,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "actor_id": event.actor.id,
        "created_at": event.created_at,
        "head": pieces.head,
        "tail": pieces.tail,
    }
    await tx.execute(insert(audit_intake).values(row).on_conflict_do_nothing())


async def append(connection: psycopg.AsyncConnection, taken: Sequence[Taken]) -> None:
    """Take events in, in one statement; those that wait already are left as they are. Durable when it returns."""
    # In the order of the key, so that two batches with the same events never wait for each other in a circle.
    rows = sorted(taken, key=lambda row: (row[0].org_id, row[0].id))
    await connection.execute(
        _APPEND,
        {
            "org_id": [event.org_id for event, _ in rows],
            "id": [event.id for event, _ in rows],
            "action": [event.action for event, _ in rows],
            "entity_type": [event.entity_type for event, _ in rows],
            "entity_id": [event.entity_id for event, _ in rows],
            "actor_id": [event.actor.id for event, _ in rows],
            "created_at": [event.created_at for event, _ in rows],
            "head": [pieces.head for _, pieces in rows],
            "tail": [pieces.tail for _, pieces in rows],
        },
    )


# %b: psycopg would send bytea in hexadecimal, which costs more than the insert itself.
_APPEND: LiteralString = """
INSERT INTO audit_intake (org_id, id, action, entity_type, entity_id, actor_id, created_at, head, tail)
SELECT * FROM unnest(
    %(org_id)b::text[], %(id)b::text[], %(action)b::text[], %(entity_type)b::text[], %(entity_id)b::text[], %(actor_id)b::text[],
    %(created_at)b::timestamptz[], %(head)b::bytea[], %(tail)b::bytea[]
)
ON CONFLICT DO NOTHING
"""
