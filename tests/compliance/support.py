"""Events, signatures and a running sequencer, for the tests of compliance."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.access import OrgId
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from services.compliance.domain.agreements import Signature
from services.compliance.domain.checkpoints import Signers
from services.compliance.domain.leaves import Actor, Event
from services.compliance.usecases.sequencer import Sequencer

VERSION = "2026-04-01"
SIGNATURE = Signature(VERSION, "Grace Harper", "Compliance Officer", "grace@clinic.example")
NOON = datetime(2026, 5, 11, 12, tzinfo=UTC)


async def example_clinic(org_id: OrgId) -> str:
    """What identity calls the organization."""
    return "Example Clinic"


def event(org_id: OrgId, **changed: Any) -> Event:
    """An event of `org_id` with an id of its own."""
    fields: dict[str, Any] = {
        "id": new_ulid(SystemClock()),
        "org_id": org_id,
        "action": "api_key.created",
        "entity_type": "api_key",
        "entity_id": "01J00000000000000000000KEY",
        "user_id": "01J0000000000000000000VSER",
        "actor": Actor("api_key", "01J0000000000000000000ADMN"),
        "ip_address": "203.0.113.7",
        "request_id": "req_01J00000000000000000000REQ",
        "metadata": {"scopes": ["ai:chat"], "count": 3},
        "created_at": NOON,
    }
    return Event(**fields | changed)


KEY = Ed25519PrivateKey.from_private_bytes(b"an audit signing key for tests..")
SIGNERS = Signers("hasp.example", KEY)


def sequencer(db: Database) -> Sequencer:
    return Sequencer(db, SystemClock(), SIGNERS)


@asynccontextmanager
async def sequencing(db: Database) -> AsyncIterator[None]:
    """A sequencer runs."""
    task = asyncio.create_task(sequencer(db).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def waiting(db: Database) -> int:
    """Events in the intake."""
    return await count(db, "SELECT count(*) FROM audit_intake")


async def count(db: Database, statement: Any) -> int:
    async with db.hot.connection() as connection:
        row = await (await connection.execute(statement)).fetchone()
    assert row is not None
    return row[0]


async def placed(db: Database, seconds: float = 10) -> None:
    """Wait until the intake is empty."""
    async with asyncio.timeout(seconds):
        while await waiting(db):  # noqa: ASYNC110 - the condition is in the database
            await asyncio.sleep(0.005)
