"""The sequencer's statements: one leader among all replicas, and one statement that gives what is there its place.

Leadership is a session's advisory lock. The epoch fences it: a leader that was thought dead finds another epoch in
`audit_sequencer` and can write nothing more, whatever became of its lock.
"""

from typing import LiteralString

import psycopg

LIMIT = 2000
"""Events of one pass."""

# "audit" in ASCII.
_LOCK = 0x6175646974


async def lead(connection: psycopg.AsyncConnection) -> int | None:
    """Become the leader for as long as the connection lives: the new epoch, or None while another leads."""
    cursor = await connection.execute(_LEAD, (_LOCK,))
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def beat(connection: psycopg.AsyncConnection, epoch: int) -> bool:
    """Tell the others that the leader lives; False when it no longer leads."""
    cursor = await connection.execute(
        "UPDATE audit_sequencer SET beat_at = clock_timestamp() WHERE epoch = %s", (epoch,)
    )
    return cursor.rowcount == 1


async def depose_silent(connection: psycopg.AsyncConnection, seconds: float) -> bool:
    """End the session of a leader that has not been heard of for so long (its process is stopped, or its machine gone)."""
    cursor = await connection.execute(_DEPOSE, {"lock": _LOCK, "seconds": seconds})
    return bool(await cursor.fetchall())


async def place(connection: psycopg.AsyncConnection, epoch: int) -> int:
    """Give the events that wait their places; how many left the intake, at most LIMIT. Writes nothing in another epoch."""
    cursor = await connection.execute(_PLACE, {"epoch": epoch})
    row = await cursor.fetchone()
    return 0 if row is None else row[0]


_LEAD: LiteralString = """
WITH lock AS MATERIALIZED (SELECT pg_try_advisory_lock(%s) AS held)
UPDATE audit_sequencer SET epoch = epoch + 1, beat_at = clock_timestamp() FROM lock WHERE lock.held RETURNING epoch
"""

_DEPOSE: LiteralString = """
SELECT pg_terminate_backend(leader.pid)
FROM audit_sequencer AS sequencer, pg_locks AS leader
WHERE sequencer.beat_at < clock_timestamp() - make_interval(secs => %(seconds)s)
  AND leader.locktype = 'advisory' AND leader.granted
  AND leader.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (leader.classid::bigint << 32 | leader.objid::bigint) = %(lock)s AND leader.objsubid = 1
"""

# Whatever is there, never "id > last": an event whose transaction committed late would be passed over.
# An event that was told again after it had got its place is dropped here: only the leader writes entries, so its own snapshot
# is sure. OFFSET 0 keeps that check a probe of the primary key for each event, however large the planner thinks the intake.
_PLACE: LiteralString = """
WITH fence AS MATERIALIZED (
    SELECT epoch FROM audit_sequencer WHERE epoch = %(epoch)s FOR SHARE
),
due AS MATERIALIZED (
    SELECT intake.org_id, intake.id FROM audit_intake AS intake, fence ORDER BY intake.arrival LIMIT 2000
),
taken AS MATERIALIZED (
    DELETE FROM audit_intake AS intake USING due WHERE intake.org_id = due.org_id AND intake.id = due.id RETURNING intake.*
),
fresh AS MATERIALIZED (
    SELECT taken.*, row_number() OVER arrivals AS place
    FROM taken
    WHERE NOT EXISTS (
        SELECT FROM audit_entries AS entry WHERE entry.org_id = taken.org_id AND entry.id = taken.id OFFSET 0
    )
    WINDOW arrivals AS (PARTITION BY org_id ORDER BY arrival)
),
grown AS (
    INSERT INTO audit_trees (org_id, size) SELECT org_id, count(*) FROM fresh GROUP BY org_id
    ON CONFLICT (org_id) DO UPDATE SET size = audit_trees.size + EXCLUDED.size
    RETURNING org_id, size
),
trees AS MATERIALIZED (
    SELECT grown.org_id, grown.size - added.count AS first
    FROM grown JOIN (SELECT org_id, count(*) AS count FROM fresh GROUP BY org_id) AS added USING (org_id)
),
leaves AS MATERIALIZED (
    SELECT fresh.*, trees.first + fresh.place - 1 AS seq,
        fresh.head || convert_to('"seq":' || (trees.first + fresh.place - 1) || ',', 'UTF8') || fresh.tail AS leaf
    FROM fresh JOIN trees USING (org_id)
),
entries AS (
    INSERT INTO audit_entries (org_id, id, seq, action, entity_type, entity_id, actor_id, created_at, leaf, leaf_hash)
    SELECT org_id, id, seq, action, entity_type, entity_id, actor_id, created_at, leaf, sha256('\\x00'::bytea || leaf) FROM leaves
)
SELECT count(*) FROM taken
"""
