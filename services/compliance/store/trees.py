"""Reading what the sequencer has signed and kept of the trees. All of it is by tree: an organization's, or the log of logs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import LiteralString

import psycopg

from services.compliance.domain.checkpoints import LOG_OF_LOGS, Checkpoint
from services.compliance.domain.merkle import Node


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint and its place in the log of logs."""

    checkpoint: Checkpoint
    seq: int | None


async def newest(connection: psycopg.AsyncConnection, org_id: str) -> Head | None:
    return next(iter(await checkpoints(connection, org_id, limit=1)), None)


async def checkpoints(
    connection: psycopg.AsyncConnection, org_id: str, *, below: int | None = None, limit: int
) -> list[Head]:
    """Newest first, of trees smaller than `below`."""
    statement: LiteralString = f"{_CHECKPOINTS} AND tree_size < %s ORDER BY tree_size DESC LIMIT %s"
    return await _heads(connection, statement, (org_id, _MOST if below is None else below, limit))


async def first_of_at_least(connection: psycopg.AsyncConnection, org_id: str, size: int) -> Head | None:
    """The checkpoint of the smallest tree that has so many leaves."""
    found = await _heads(connection, f"{_CHECKPOINTS} AND tree_size >= %s ORDER BY tree_size LIMIT 1", (org_id, size))
    return found[0] if found else None


async def between(connection: psycopg.AsyncConnection, org_id: str, above: int, up_to: int) -> list[Head]:
    """Oldest first, of trees larger than `above`, no larger than `up_to`."""
    statement: LiteralString = f"{_CHECKPOINTS} AND tree_size > %s AND tree_size <= %s ORDER BY tree_size"
    return await _heads(connection, statement, (org_id, above, up_to))


async def _heads(
    connection: psycopg.AsyncConnection, statement: LiteralString, values: tuple[object, ...]
) -> list[Head]:
    cursor = await connection.execute(statement, values, binary=True)
    return [Head(Checkpoint(*row[:4]), row[4]) for row in await cursor.fetchall()]


async def nodes(connection: psycopg.AsyncConnection, org_id: str, wanted: Iterable[Node]) -> dict[Node, bytes]:
    """Those of level 0 are hashes of leaves, of the log of logs: of checkpoints. What the tree does not hold yet is left out."""
    runs = list(_runs(wanted))
    cursor = await connection.execute(
        _HEAD_NODES if org_id == LOG_OF_LOGS else _NODES,
        {
            "org_id": org_id,
            "level": [level for level, _, _ in runs],
            "first": [first for _, first, _ in runs],
            "last": [last for _, _, last in runs],
        },
        binary=True,
    )
    return {Node(level, index): hashed for level, index, hashed in await cursor.fetchall()}


def _runs(wanted: Iterable[Node]) -> Iterable[tuple[int, int, int]]:
    """Neighbours of a level as one range (level, first, last)."""
    ordered = sorted(set(wanted))
    for _, group in groupby(enumerate(ordered), key=lambda at: (at[1].level, at[1].index - at[0])):
        run = [node for _, node in group]
        yield run[0].level, run[0].index, run[-1].index


_MOST = 2**62
_CHECKPOINTS: LiteralString = (
    "SELECT tree_size, root_hash, note, created_at, head_seq FROM audit_checkpoints WHERE org_id = %s"
)
_KEPT: LiteralString = """
WITH runs AS (SELECT * FROM unnest(%(level)b::smallint[], %(first)b::bigint[], %(last)b::bigint[]) AS run (level, first, last))
SELECT node.level, node.index, node.hash
FROM runs JOIN audit_nodes AS node
    ON node.org_id = %(org_id)s AND node.level = runs.level AND node.index BETWEEN runs.first AND runs.last
WHERE runs.level > 0
UNION ALL
"""
_NODES: LiteralString = (
    _KEPT
    + """
SELECT 0::smallint, entry.seq, entry.leaf_hash
FROM runs JOIN audit_entries AS entry ON entry.org_id = %(org_id)s AND entry.seq BETWEEN runs.first AND runs.last
WHERE runs.level = 0
"""
)
_HEAD_NODES: LiteralString = (
    _KEPT
    + """
SELECT 0::smallint, checkpoint.head_seq, checkpoint.head_hash
FROM runs JOIN audit_checkpoints AS checkpoint ON checkpoint.head_seq BETWEEN runs.first AND runs.last
WHERE runs.level = 0
"""
)
