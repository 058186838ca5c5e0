"""The sequencer's statements: one leader among all replicas, and one statement that gives what is there its place.

Leadership is a session's advisory lock. The epoch fences it: a leader that was thought dead finds another epoch in
`audit_sequencer` and can write nothing more, whatever became of its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import LiteralString, cast

import psycopg

from services.compliance.domain.checkpoints import LOG_OF_LOGS, Checkpoint
from services.compliance.domain.merkle import Node, Tree

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


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree and the leaf hashes that it is to grow by. A tree whose newest checkpoint was never written grows by none."""

    org_id: str
    tree: Tree
    leaf_hashes: Sequence[bytes]


@dataclass(slots=True)
class Sealed:
    """What is written with new places: the trees as they have grown, the hashes to keep, and what was signed."""

    trees: list[tuple[str, Tree]] = field(default_factory=list)
    nodes: list[tuple[str, Node, bytes]] = field(default_factory=list)
    checkpoints: list[SealedCheckpoint] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SealedCheckpoint:
    org_id: str
    checkpoint: Checkpoint
    head_seq: int | None
    """Place in the log of logs; None for its own checkpoints."""
    head_hash: bytes | None


Seal = Callable[[Sequence[Grown], Tree], Sealed]
"""From trees that grow and the log of logs as it stands."""


async def place(connection: psycopg.AsyncConnection, epoch: int, seal: Seal) -> int:
    """Give the events that wait their places; how many left the intake, at most LIMIT. Writes nothing in another epoch."""
    cursor = await connection.execute("SELECT EXISTS (SELECT FROM audit_intake)")
    if (await cursor.fetchone()) == (False,):
        return 0
    async with connection.transaction():
        cursor = await connection.execute(_PLACE, {"epoch": epoch}, binary=True, prepare=False)
        rows = await cursor.fetchall()
        if grown := [_grown(row[1:]) for row in rows if row[1] is not None]:
            await _write(connection, seal(grown, await _log_of_logs(connection)))
    return rows[0][0]


async def seal_unsealed(connection: psycopg.AsyncConnection, epoch: int, seal: Seal) -> int:
    """Sign for the trees that have no checkpoint of their size; how many. There are some where trees grew before anything signed them."""
    async with connection.transaction():
        cursor = await connection.execute(_UNSEALED, {"epoch": epoch, "log": LOG_OF_LOGS}, binary=True)
        grown = [_grown((*row, [])) for row in await cursor.fetchall()]
        if grown:
            await _write(connection, seal(grown, await _log_of_logs(connection)))
    return len(grown)


def _grown(row: Sequence[object]) -> Grown:
    org_id, size, frontier, hashes = cast("tuple[str, int, bytes, list[bytes]]", row)
    return Grown(org_id, _tree(size, frontier), hashes)


def _tree(size: int, frontier: bytes) -> Tree:
    return Tree(size, [frontier[at : at + 32] for at in range(0, len(frontier), 32)])


async def _log_of_logs(connection: psycopg.AsyncConnection) -> Tree:
    statement = "SELECT size, frontier FROM audit_trees WHERE org_id = %s"
    cursor = await connection.execute(statement, (LOG_OF_LOGS,), binary=True)
    row = await cursor.fetchone()
    return Tree() if row is None else _tree(*row)


async def _write(connection: psycopg.AsyncConnection, sealed: Sealed) -> None:
    checkpoints = sealed.checkpoints
    await connection.execute(
        _WRITE,
        {
            "org_id": [org_id for org_id, _ in sealed.trees],
            "size": [tree.size for _, tree in sealed.trees],
            "frontier": [b"".join(tree.frontier) for _, tree in sealed.trees],
            "node_org_id": [org_id for org_id, _, _ in sealed.nodes],
            "level": [node.level for _, node, _ in sealed.nodes],
            "index": [node.index for _, node, _ in sealed.nodes],
            "hash": [hashed for _, _, hashed in sealed.nodes],
            "of": [one.org_id for one in checkpoints],
            "tree_size": [one.checkpoint.tree_size for one in checkpoints],
            "root_hash": [one.checkpoint.root_hash for one in checkpoints],
            "note": [one.checkpoint.note for one in checkpoints],
            "created_at": [one.checkpoint.created_at for one in checkpoints],
            "head_seq": [one.head_seq for one in checkpoints],
            "head_hash": [one.head_hash for one in checkpoints],
        },
    )


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

# Not prepared: a plan made while the intake holds next to nothing reads all of it for each event, and would be kept for a burst.
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
trees AS MATERIALIZED (
    SELECT grows.org_id, coalesce(tree.size, 0) AS size, coalesce(tree.frontier, '') AS frontier
    FROM (SELECT DISTINCT org_id FROM fresh) AS grows LEFT JOIN audit_trees AS tree USING (org_id)
),
leaves AS MATERIALIZED (
    SELECT fresh.*, trees.size + fresh.place - 1 AS seq,
        fresh.head || convert_to('"seq":' || (trees.size + fresh.place - 1) || ',', 'UTF8') || fresh.tail AS leaf
    FROM fresh JOIN trees USING (org_id)
),
entries AS (
    INSERT INTO audit_entries (org_id, id, seq, action, entity_type, entity_id, actor_id, created_at, leaf, leaf_hash)
    SELECT org_id, id, seq, action, entity_type, entity_id, actor_id, created_at, leaf, sha256('\\x00'::bytea || leaf) FROM leaves
    RETURNING org_id, seq, leaf_hash
)
SELECT found.count, trees.org_id, trees.size, trees.frontier, grown.hashes
FROM (SELECT count(*) FROM taken) AS found
LEFT JOIN (SELECT org_id, array_agg(leaf_hash ORDER BY seq) AS hashes FROM entries GROUP BY org_id) AS grown ON true
LEFT JOIN trees USING (org_id)
ORDER BY trees.org_id
"""

_UNSEALED: LiteralString = """
WITH fence AS MATERIALIZED (
    SELECT epoch FROM audit_sequencer WHERE epoch = %(epoch)s FOR SHARE
)
SELECT tree.org_id, tree.size, tree.frontier
FROM audit_trees AS tree, fence
WHERE tree.org_id <> %(log)s
  AND NOT EXISTS (
    SELECT FROM audit_checkpoints AS checkpoint WHERE checkpoint.org_id = tree.org_id AND checkpoint.tree_size = tree.size
  )
ORDER BY tree.org_id
LIMIT 2000
"""

# %b: psycopg would send bytea in hexadecimal.
_WRITE: LiteralString = """
WITH grown AS (
    INSERT INTO audit_trees (org_id, size, frontier)
    SELECT * FROM unnest(%(org_id)b::text[], %(size)b::bigint[], %(frontier)b::bytea[])
    ON CONFLICT (org_id) DO UPDATE SET size = EXCLUDED.size, frontier = EXCLUDED.frontier
),
kept AS (
    INSERT INTO audit_nodes (org_id, level, index, hash)
    SELECT * FROM unnest(%(node_org_id)b::text[], %(level)b::smallint[], %(index)b::bigint[], %(hash)b::bytea[])
)
INSERT INTO audit_checkpoints (org_id, tree_size, root_hash, note, created_at, head_seq, head_hash)
SELECT * FROM unnest(
    %(of)b::text[], %(tree_size)b::bigint[], %(root_hash)b::bytea[], %(note)b::text[], %(created_at)b::timestamptz[],
    %(head_seq)b::bigint[], %(head_hash)b::bytea[]
)
"""
