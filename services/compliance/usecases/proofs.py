"""Proofs about the trees: that a leaf is in one, that one is a prefix of the other, that a checkpoint is in the log of logs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from services.chassis.access import OrgId
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.ulids import is_ulid
from services.compliance.domain.checkpoints import LOG_OF_LOGS, Checkpoint
from services.compliance.domain.merkle import Range, consistency_path, inclusion_path, needed, roots
from services.compliance.store import trees
from services.compliance.store.entries import find_leaf


@dataclass(frozen=True, slots=True)
class Inclusion:
    leaf: bytes
    index: int
    leaf_hash: bytes
    hashes: list[bytes]
    checkpoint: Checkpoint

    @property
    def tlog_proof(self) -> str:
        """C2SP `tlog-proof`."""
        lines = [base64.b64encode(hashed).decode() for hashed in self.hashes]
        return "\n".join(["c2sp.org/tlog-proof@v1", f"index {self.index}", *lines, "", self.checkpoint.note])


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of `earlier` leaves is a prefix of the checkpoint's."""

    earlier: int
    hashes: list[bytes]
    checkpoint: Checkpoint


class Proofs:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def inclusion(self, org_id: OrgId, entry_id: str) -> Inclusion:
        """Against the newest checkpoint. Raises ResourceNotFound, also for an entry that has no place yet."""
        async with self._db.hot.connection() as connection:
            found = await find_leaf(connection, org_id, entry_id) if is_ulid(entry_id) else None
            # Read after the entry, which was placed in the commit that signed for it.
            head = await trees.newest(connection, org_id)
            if found is None or head is None:
                raise ResourceNotFound("There is no such audit entry, or it has no place in the tree yet.")
            index, leaf, leaf_hash = found
            path = inclusion_path(index, head.checkpoint.tree_size)
            hashes = await _roots(connection, org_id, path)
        return Inclusion(leaf, index, leaf_hash, hashes, head.checkpoint)

    async def consistency(self, org_id: OrgId, earlier: int, later: int | None) -> Consistency:
        """With the newest checkpoint, or the one of exactly `later` leaves. Raises ValidationFailed, ResourceNotFound."""
        async with self._db.hot.connection() as connection:
            return await _consistency(connection, org_id, earlier, later)

    async def log_of_logs(self, earlier: int) -> Consistency:
        """The same of the log of logs, which says nothing of any organization. Raises ValidationFailed, ResourceNotFound."""
        async with self._db.hot.connection() as connection:
            return await _consistency(connection, LOG_OF_LOGS, earlier, None)

    async def checkpoints(self, org_id: OrgId, *, below: int | None, limit: int) -> list[Checkpoint]:
        """Newest first, of trees smaller than `below`."""
        async with self._db.hot.connection() as connection:
            return [head.checkpoint for head in await trees.checkpoints(connection, org_id, below=below, limit=limit)]


async def _consistency(connection: psycopg.AsyncConnection, tree: str, earlier: int, later: int | None) -> Consistency:
    head = await (trees.newest(connection, tree) if later is None else trees.first_of_at_least(connection, tree, later))
    if head is None or (later is not None and head.checkpoint.tree_size != later):
        raise ResourceNotFound("There is no checkpoint of this size.")
    if earlier > head.checkpoint.tree_size:
        raise ValidationFailed("The earlier tree is larger than the later one.", param="from_size")
    path = consistency_path(earlier, head.checkpoint.tree_size) if earlier else []
    return Consistency(earlier, await _roots(connection, tree, path), head.checkpoint)


async def _roots(connection: psycopg.AsyncConnection, tree: str, path: Sequence[Range]) -> list[bytes]:
    return roots(path, await trees.nodes(connection, tree, needed(path)))
