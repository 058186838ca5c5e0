"""Hot transactions: read under locks, decide, write, in two round trips.

They run over all organizations, on the pool without tenancy, for a batch of callers; and with the same statements in the transaction of
one organization, where a call must be alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, LiteralString, TypeVar, cast

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from services.chassis.database import Database, Tx

Connection = AsyncConnection[TupleRow]
F = TypeVar("F")
R = TypeVar("R")
Reply = Callable[[], Awaitable[R]]
"""What was asked, to be read once it has arrived: several statements are one round trip."""

_ATTEMPTS = 3

GUARD: LiteralString = "set_config('idle_in_transaction_session_timeout', '1s', true)"
"""A column of what locks first. The database then ends the transaction of a process that falls silent in the middle: it must not keep
others from the rows, nor from revoking them."""


async def in_one_transaction(
    db: Database,
    ask: Callable[[Connection], Awaitable[Reply[F]]],
    write: Callable[[Connection, F], Awaitable[R]],
) -> R:
    """What `write` makes of what `ask` found and locked.

    Begun anew where nothing was committed: the pooled connections of a restarted server are all dead, a circle of locks has one loser, and
    a process that stood still between the two finds its transaction ended by the `GUARD`. Where a commit's answer is lost, the
    database is asked for its outcome. `write` may therefore run more than once.
    """
    for attempt in range(_ATTEMPTS):
        commit: _Commit[R] | None = None
        try:
            async with (
                db.hot.connection() as connection,
                connection.pipeline() as pipeline,
                connection.transaction(),
            ):
                identified = await connection.execute("SELECT pg_current_xact_id()::text")
                reply = await ask(connection)
                # Not only a flush: without it the server waits for more of a command and no session is idle.
                await pipeline.sync()
                found = await reply()
                (xid,) = cast("TupleRow", await identified.fetchone())
                result = await write(connection, found)
                commit = _Commit(xid, result)
            return result
        except PoolTimeout:
            raise
        except OperationalError:
            await db.hot.check()
            if commit is not None and await _is_committed(db, commit.xid):
                return commit.result
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("an attempt neither succeeded nor failed")


@dataclass(frozen=True, slots=True)
class _Commit(Generic[R]):
    xid: str
    result: R
    """Of `write`: what the caller is told once it is certain."""


async def _is_committed(db: Database, xid: str) -> bool:
    """Raises OperationalError where the transaction is still open: a server may not have noticed that its client is gone."""
    async with db.hot.connection() as connection:
        cursor = await connection.execute("SELECT pg_xact_status(%s::xid8)", (xid,))
        (status,) = cast("TupleRow", await cursor.fetchone())
    if status not in {"committed", "aborted"}:
        raise OperationalError("the outcome of a transaction is not known")
    return status == "committed"


async def driver_of(tx: Tx) -> Connection:
    """The connection below `tx`, for the statements of this module."""
    return cast("Connection", (await tx.get_raw_connection()).driver_connection)


def arrays(rows: Iterable[Sequence[object]], number: int) -> list[str]:
    """The rows as that many arrays."""
    columns = zip(*rows, strict=True)
    return [array(column) for column in columns] or ["{}"] * number


def array(values: Iterable[object]) -> str:
    """As PostgreSQL reads an array. Only for what needs no quotes: ids, numbers, moments. The driver's own way costs 3 µs an element."""
    return f"{{{','.join('NULL' if value is None else str(value) for value in values)}}}"
