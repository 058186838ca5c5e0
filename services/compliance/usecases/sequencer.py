"""The sequencer: gives each event that was taken in its place in its organization's tree, without gaps, in one order for ever.

Every pass signs one checkpoint of each tree that grew, and one of the log of logs, in the commit that makes them grow.
"""

import asyncio
import time
from collections.abc import Sequence

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from services.chassis.clock import Clock
from services.chassis.database import Database
from services.compliance.domain.checkpoints import LOG_OF_LOGS, Checkpoint, Signers, head_hash, text
from services.compliance.domain.merkle import Tree
from services.compliance.store import sequencing
from services.compliance.store.sequencing import Grown, Sealed, SealedCheckpoint

log = structlog.get_logger()

_PAUSE = 0.05
"""Seconds between two passes of the leader: with the relay's 100 ms, entries show well within 250 ms of the effect."""
_BEAT = 0.5
_ELECTION = 0.25
_SILENCE = 3.0
"""A leader that was not heard of for so long is deposed. A dead one loses its lock at once, with its connection."""


class Sequencer:
    """One per replica; one of all leads, the others stand by."""

    def __init__(self, db: Database, clock: Clock, signers: Signers) -> None:
        self._db = db
        self._clock = clock
        self._signers = signers

    async def run(self) -> None:
        """Stand by or lead until cancelled. The database's failures are waited out."""
        while True:
            try:
                async with self._db.hot.connection() as connection:
                    epoch = await sequencing.lead(connection)
                    if epoch is None:
                        if await sequencing.depose_silent(connection, _SILENCE):
                            log.warning("a silent sequencer was deposed")
                    else:
                        log.info("sequencer leads", seq=epoch)
                        try:
                            await self._lead(connection, epoch)
                        finally:
                            # The lock belongs to the session and must not go back into the pool with it.
                            await connection.close()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("sequencer lost its database", exc_info=error)
            await asyncio.sleep(_ELECTION)

    async def _lead(self, connection: psycopg.AsyncConnection, epoch: int) -> None:
        while await sequencing.seal_unsealed(connection, epoch, self._seal):
            pass
        beaten = time.monotonic()
        while True:
            started = time.monotonic()
            placed = await sequencing.place(connection, epoch, self._seal)
            if started - beaten >= _BEAT:
                if not await sequencing.beat(connection, epoch):
                    log.warning("sequencer was deposed", seq=epoch)
                    return
                beaten = started
            if placed < sequencing.LIMIT:
                await asyncio.sleep(max(0.0, _PAUSE - (time.monotonic() - started)))

    def _seal(self, grown: Sequence[Grown], log_of_logs: Tree) -> Sealed:
        sealed = Sealed()
        heads: list[bytes] = []
        for each in grown:
            self._grow(sealed, each.org_id, each.tree, each.leaf_hashes)
            checkpoint, signed = self._sign(each.org_id, each.tree)
            heads.append(head_hash(signed))
            sealed.checkpoints.append(
                SealedCheckpoint(each.org_id, checkpoint, log_of_logs.size + len(heads) - 1, heads[-1])
            )
        self._grow(sealed, LOG_OF_LOGS, log_of_logs, heads)
        checkpoint, _ = self._sign(LOG_OF_LOGS, log_of_logs)
        sealed.checkpoints.append(SealedCheckpoint(LOG_OF_LOGS, checkpoint, None, None))
        return sealed

    def _grow(self, sealed: Sealed, org_id: str, tree: Tree, leaf_hashes: Sequence[bytes]) -> None:
        sealed.nodes += [(org_id, node, hashed) for node, hashed in tree.append(leaf_hashes).items()]
        sealed.trees.append((org_id, tree))

    def _sign(self, org_id: str, tree: Tree) -> tuple[Checkpoint, str]:
        """And the text that was signed."""
        signer = self._signers.of(org_id)
        signed = text(signer.name, tree.size, tree.root)
        return Checkpoint(tree.size, tree.root, signer.sign(signed), self._clock.now()), signed
