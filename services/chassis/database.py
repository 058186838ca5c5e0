"""PostgreSQL: one transaction a use case, tenancy set on each, a pool for the hot statements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import psycopg
import sqlalchemy
import sqlalchemy.exc
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.chassis.access import OrgId

Tx = AsyncConnection
"""A connection inside its one transaction. Store functions take it; only the use case commits, by leaving the block."""

EVERYONE = OrgId("*")
"""What the row-level security policies take for work over all organizations: relays, sweepers, sequencers, token lookup."""

UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
)
"""What the drivers raise when the database cannot be reached or gives up: ServiceUnavailable at the boundary."""


class BeforeCommit(Protocol):
    async def __call__(self, tx: Tx) -> None: ...


before_commit: ContextVar[BeforeCommit | None] = ContextVar("before_commit", default=None)
"""Runs in the caller's transaction before it commits; the Idempotency-Key claim marks itself applied there."""


class Database:
    """One service's database as its app role, which owns no table: row-level security holds for every statement.

    `url` is libpq's form, `postgresql://user:password@host/name` or with `?host=/socket/folder`. Pool sizes are connections.
    """

    def __init__(self, url: str, *, pool_size: int = 8, hot_size: int = 8) -> None:
        # prepare_threshold=None would forbid prepared statements; the default prepares after five uses, which the hot statements want.
        self._engine = create_async_engine(
            sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_pre_ping=False,
            hide_parameters=True,
            connect_args=_CONNECTION,
        )
        self._url = url
        self.hot: AsyncConnectionPool[psycopg.AsyncConnection] = AsyncConnectionPool(
            url,
            min_size=2,
            max_size=hot_size,
            timeout=2,
            open=False,
            reconnect_timeout=2,
            kwargs=_HOT,
        )

    async def open(self) -> None:
        """Open the pools. Raises PoolTimeout when the database does not answer within ten seconds."""
        await self.hot.open(wait=True, timeout=10)

    async def connect(self) -> psycopg.AsyncConnection:
        """A connection like those of `hot` that belongs to the caller alone: for LISTEN and for locks of a session."""
        return await psycopg.AsyncConnection.connect(self._url, **_HOT)

    async def close(self) -> None:
        await self.hot.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, org_id: OrgId) -> AsyncIterator[Tx]:
        """One transaction that sees the rows of one organization. Commits at the end, rolls back on any exception."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(_SET_ORG, {"org_id": org_id})
                yield connection
                hook = before_commit.get()
                if hook is not None:
                    await hook(connection)
        except sqlalchemy.exc.DBAPIError as error:
            if error.connection_invalidated:
                # Every pooled connection of a restarted server is dead: without this each would fail one caller.
                await self._engine.dispose(close=False)
            raise

    def system_transaction(self) -> AbstractAsyncContextManager[Tx]:
        """One transaction over all organizations, for work that no caller asked for."""
        return self.transaction(EVERYONE)


# Seconds, and milliseconds for the last: over a network that drops everything in silence a connection is given up after
# eleven seconds without traffic, or ten after what was sent and not acknowledged. Unix sockets know none of it.
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_HOT = _CONNECTION | {"autocommit": True, "options": f"-c hasp.org_id={EVERYONE}"}
_SET_ORG = sqlalchemy.text("SELECT set_config('hasp.org_id', :org_id, true)")
