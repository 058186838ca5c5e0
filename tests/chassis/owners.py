"""An owner of facts with its replicas, and watchers of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from hasp.watch.v1.watch_service_pb2 import DESCRIPTOR
from hasp.watch.v1.watch_service_pb2_grpc import add_WatchServiceServicer_to_server

from services.chassis.access import OrgId, Principal
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.watch import ChangeLog, WatchServicer
from services.chassis.watching import Loaded, Watch
from tests.fakes import Tokens, serve

ACME = OrgId("01J0000000000000000000ACME")
SERVICES = [DESCRIPTOR.services_by_name["WatchService"]]


class Replica:
    """One replica of the owner of the facts."""

    def __init__(self, db: Database, changes: ChangeLog, channel: grpc.aio.Channel) -> None:
        self.db = db
        self.changes = changes
        self.channel = channel

    async def revoke(self, subject: str, *, cancel: bool = False) -> int:
        async with self.db.transaction(ACME) as tx:
            await tx.exec_driver_sql("UPDATE facts SET valid = false WHERE subject = %s", (subject,))
            seq = await self.changes.publish(tx, org_id=ACME, subject_id=subject, cancel=cancel)
        await self.changes.await_watchers(seq)
        return seq

    async def load(self, subject: str) -> Loaded[bool]:
        async with self.db.hot.connection() as connection:
            cursor = await connection.execute(
                "SELECT seq, valid FROM watch_state LEFT JOIN facts ON subject = %s", (subject,)
            )
            seq, valid = await cursor.fetchone() or (0, False)
        return Loaded(value=bool(valid), seq=seq, org_id=ACME, subject_ids=frozenset({subject}))


class Owner:
    """The service that owns the facts: a database, and replicas as they are asked for."""

    def __init__(self, app_url: str, tls_dir: Path) -> None:
        self._app_url = app_url
        self._tls_dir = tls_dir

    @asynccontextmanager
    async def replica(self) -> AsyncIterator[Replica]:
        db = Database(self._app_url)
        await db.open()
        changes = ChangeLog(db, SystemClock())
        running = asyncio.create_task(changes.run())
        async with serve(
            (add_WatchServiceServicer_to_server, WatchServicer(changes)),
            services=SERVICES,
            authenticator=Tokens(),
            clock=SystemClock(),
            tls_dir=self._tls_dir,
            workload="identity",
            caller="inference",
        ) as channel:
            try:
                yield Replica(db, changes, channel)
            finally:
                running.cancel()
                await asyncio.wait([running])
                await db.close()


@asynccontextmanager
async def watching_by(channel: grpc.aio.Channel, *, count: int = 1) -> AsyncIterator[list[Watch]]:
    watches = [Watch(channel, name="identity") for _ in range(count)]
    running = [asyncio.create_task(watch.run()) for watch in watches]
    for watch in watches:
        await until_live(watch)
    try:
        yield watches
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def until_live(watch: Watch, *, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not watch.live:  # noqa: ASYNC110 - a clock is read
            await asyncio.sleep(0.005)


def address_of(channel: grpc.aio.Channel) -> str:
    return channel._channel.target.decode()  # pyright: ignore[reportAttributeAccessIssue]


def principal(key: str) -> Principal:
    return Principal(org_id=ACME, kind="api_key", id=key, user_id="u", scopes=frozenset())
