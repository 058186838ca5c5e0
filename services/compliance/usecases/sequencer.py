"""The sequencer: gives each event that was taken in its place in its organization's tree, without gaps, in one order for ever."""

import asyncio
import time

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from services.chassis.database import Database
from services.compliance.store import sequencing

log = structlog.get_logger()

_PAUSE = 0.05
"""Seconds between two passes of the leader: with the relay's 100 ms, entries show well within 250 ms of the effect."""
_BEAT = 0.5
_ELECTION = 0.25
_SILENCE = 3.0
"""A leader that was not heard of for so long is deposed. A dead one loses its lock at once, with its connection."""


class Sequencer:
    """One per replica; one of all leads, the others stand by."""

    def __init__(self, db: Database) -> None:
        self._db = db

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
        beaten = time.monotonic()
        while True:
            started = time.monotonic()
            placed = await sequencing.place(connection, epoch)
            if started - beaten >= _BEAT:
                if not await sequencing.beat(connection, epoch):
                    log.warning("sequencer was deposed", seq=epoch)
                    return
                beaten = started
            if placed < sequencing.LIMIT:
                await asyncio.sleep(max(0.0, _PAUSE - (time.monotonic() - started)))
