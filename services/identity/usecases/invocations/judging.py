"""Judging in batches: what waited while the last commit was in flight is judged in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services.chassis.access import OrgId
from services.chassis.batching import Batcher
from services.chassis.database import BeforeCommit, Database, before_commit
from services.identity.store.transactions import Connection, Reply, driver_of, in_one_transaction

T = TypeVar("T")
F = TypeVar("F")
R = TypeVar("R")


class Judge(Generic[T, F, R]):
    """`ask` locks what the items are about; `write` decides on each, in order, and writes; a result that is an exception is its own caller's alone.

    Batches run outside of any call: an item brings along what it has to know of its caller.
    """

    def __init__(
        self,
        db: Database,
        ask: Callable[[Connection, Sequence[T]], Awaitable[Reply[F]]],
        write: Callable[[Connection, Sequence[T], F], Awaitable[Sequence[R | Exception]]],
    ) -> None:
        self._db = db
        self._ask = ask
        self._write = write
        # One lane: two would only wait for each other's row locks. Bounded, so that the locks are held for milliseconds.
        self._batches: Batcher[T, R] = Batcher(self._run, max_batch=100)

    async def submit(self, org_id: OrgId, item: T) -> R:
        """What was decided on the item; it is committed."""
        claim = before_commit.get()
        return await (self._batches.submit(item) if claim is None else self._alone(org_id, item, claim))

    async def _run(self, items: Sequence[T]) -> Sequence[R | Exception]:
        return await in_one_transaction(
            self._db,
            lambda connection: self._ask(connection, items),
            lambda connection, found: self._write(connection, items, found),
        )

    async def _alone(self, org_id: OrgId, item: T, claim: BeforeCommit) -> R:
        """By itself, so that the Idempotency-Key is applied by the commit that makes the effect.

        A refusal has none, though it writes its audit event: one that may be tried again must find the key free.
        """
        unclaimed = before_commit.set(None)
        try:
            async with self._db.transaction(org_id) as tx:
                connection = await driver_of(tx)
                reply = await self._ask(connection, [item])
                (result,) = await self._write(connection, [item], await reply())
                if not isinstance(result, Exception):
                    await claim(tx)
        finally:
            before_commit.reset(unclaimed)
        if isinstance(result, Exception):
            raise result
        return result
