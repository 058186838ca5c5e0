"""Exporting an organization's audit log as a signed file that proves itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
import structlog

from services.chassis.access import OrgId, Principal
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import ValidationFailed
from services.chassis.timestamps import iso
from services.compliance.clients.time_stamping import NotStamped, TimeStampingAuthority
from services.compliance.domain.checkpoints import LOG_OF_LOGS, Signers
from services.compliance.domain.exports import FORMAT, Extent, hexes, line, manifest
from services.compliance.domain.merkle import Range, consistency_path, inclusion_path, needed, perfect_nodes, roots
from services.compliance.store import entries, trees
from services.compliance.store.trees import Head
from services.compliance.usecases.audit_log import IntakeTrail

log = structlog.get_logger()

_PAGE = 1000
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries: those that happened in this time, all where there is none; and the tree that is to be proven a prefix."""

    since: datetime | None = None
    until: datetime | None = None
    from_size: int | None = None


class Exports:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        trail: IntakeTrail,
        signers: Signers,
        endorsements: Sequence[str],
        authority: TimeStampingAuthority | None = None,
    ) -> None:
        """`endorsements`: of the signing key, oldest first. `authority`: stamps each export's anchor; none is asked without it."""
        self._db = db
        self._clock = clock
        self._trail = trail
        self._signers = signers
        self._endorsements = endorsements
        self._authority = authority

    async def export(self, caller: Principal, asked: Asked) -> AsyncIterator[bytes]:
        """The file, in pieces. That it was taken is in the audit before its first byte is sent. Raises ValidationFailed."""
        org_id = caller.org_id
        async with self._db.hot.connection() as connection:
            extent = await _extent(connection, org_id, asked)
            anchor = await trees.first_of_at_least(connection, org_id, extent.tree_size) if extent.tree_size else None
        if asked.from_size is not None and asked.from_size > extent.tree_size:
            raise ValidationFailed("The earlier tree is larger than the one exported.", param="from_size")
        async with self._db.transaction(org_id) as tx:
            await self._trail.record(
                tx,
                org_id=org_id,
                action="audit.exported",
                entity_type="audit_log",
                entity_id=org_id,
                metadata={
                    "since": None if asked.since is None else iso(asked.since),
                    "until": None if asked.until is None else iso(asked.until),
                    "first": extent.first,
                    "count": extent.count,
                    "tree_size": extent.tree_size,
                },
            )
        return self._file(org_id, asked, extent, anchor)

    async def _file(self, org_id: OrgId, asked: Asked, extent: Extent, anchor: Head | None) -> AsyncIterator[bytes]:
        signer, digest, waiting = self._signers.of(org_id), hashlib.sha256(), bytearray()
        async for written in self._lines(org_id, asked, extent, anchor):
            digest.update(written)
            waiting += written
            if len(waiting) >= _CHUNK:
                yield bytes(waiting)
                waiting.clear()
        waiting += line("manifest", signer.sign(manifest(signer.name, extent, digest.hexdigest())))
        yield bytes(waiting)

    async def _lines(self, org_id: OrgId, asked: Asked, extent: Extent, anchor: Head | None) -> AsyncIterator[bytes]:
        yield line("header", self._header(org_id, asked, extent))
        for endorsement in self._endorsements:
            yield line("endorsement", endorsement)
        yield line("left", await self._perfect(org_id, 0, extent.first))
        for start in range(extent.first, extent.end, _PAGE):
            for written in await self._page(org_id, start, min(start + _PAGE, extent.end)):
                yield written
        yield line("right", await self._perfect(org_id, extent.end, extent.tree_size))
        yield line("anchor", anchor.checkpoint.note if anchor else None)
        yield line("log", await self._log(anchor))
        yield line("prefix", await self._prefix(org_id, asked.from_size, extent))
        yield line("timestamp", await self._timestamp(org_id, anchor))

    def _header(self, org_id: OrgId, asked: Asked, extent: Extent) -> dict[str, object]:
        return {
            "format": FORMAT,
            "org_id": org_id,
            "origin": self._signers.of(org_id).name,
            "key": self._signers.of(org_id).vkey,
            "since": None if asked.since is None else iso(asked.since),
            "until": None if asked.until is None else iso(asked.until),
            "first": extent.first,
            "count": extent.count,
            "tree_size": extent.tree_size,
            "made_at": iso(self._clock.now()),
        }

    async def _page(self, org_id: OrgId, start: int, end: int) -> list[bytes]:
        async with self._db.hot.connection() as connection:
            leaves = await entries.leaves(connection, org_id, start, end)
            signed = await trees.between(connection, org_id, start, end)
        notes = {head.checkpoint.tree_size: head.checkpoint.note for head in signed}
        written: list[bytes] = []
        for size, leaf in enumerate(leaves, start + 1):
            written.append(leaf + b"\n")
            if size in notes:
                written.append(line("checkpoint", notes[size]))
        return written

    async def _perfect(self, org_id: OrgId, start: int, end: int) -> list[str]:
        ranges = [(node.index << node.level, (node.index + 1) << node.level) for node in perfect_nodes(start, end)]
        return await self._roots(org_id, ranges)

    async def _log(self, anchor: Head | None) -> dict[str, object] | None:
        if anchor is None or anchor.seq is None:
            return None
        async with self._db.hot.connection() as connection:
            newest = await trees.newest(connection, LOG_OF_LOGS)
        if newest is None:
            return None
        path = inclusion_path(anchor.seq, newest.checkpoint.tree_size)
        return {
            "index": anchor.seq,
            "hashes": await self._roots(LOG_OF_LOGS, path),
            "checkpoint": newest.checkpoint.note,
        }

    async def _prefix(self, org_id: OrgId, from_size: int | None, extent: Extent) -> dict[str, object] | None:
        if from_size is None:
            return None
        path = consistency_path(from_size, extent.tree_size) if from_size else []
        return {"from_size": from_size, "hashes": await self._roots(org_id, path)}

    async def _timestamp(self, org_id: OrgId, anchor: Head | None) -> dict[str, object] | None:
        """Asked for behind the entries, while no connection is held: an authority that is slow or away costs no export."""
        if self._authority is None or anchor is None:
            return None
        try:
            token = base64.b64encode(await self._authority.stamp(anchor.checkpoint.note.encode())).decode()
        except NotStamped as failure:
            log.warning("an export bears no time stamp", org_id=org_id, reason=str(failure), exc_info=failure.__cause__)
            token = None
        return {"authority": self._authority.name, "token": token}

    async def _roots(self, tree: str, ranges: Sequence[Range]) -> list[str]:
        if not ranges:
            return []
        async with self._db.hot.connection() as connection:
            return hexes(roots(ranges, await trees.nodes(connection, tree, needed(ranges))))


async def _extent(connection: psycopg.AsyncConnection, org_id: OrgId, asked: Asked) -> Extent:
    newest = await trees.newest(connection, org_id)
    size = newest.checkpoint.tree_size if newest else 0
    if asked.since is None and asked.until is None:
        return Extent(0, size, size)
    first, end = await entries.places(connection, org_id, asked.since, asked.until)
    anchor = await trees.first_of_at_least(connection, org_id, end) if end else newest
    return Extent(first, end, anchor.checkpoint.tree_size if anchor else 0)
