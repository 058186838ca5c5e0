"""Identity on a database of its own: its use cases, two organizations and their people."""

import base64
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent

from services.chassis.access import OrgId, Principal
from services.chassis.audit import TOPIC
from services.chassis.database import Database
from services.chassis.sealing import FileKek, Sealer
from services.identity.domain.api_keys import WantedKey
from services.identity.domain.tokens import Peppers
from services.identity.usecases import identity as house
from services.identity.usecases.api_keys import Issued
from tests.fakes import FrozenClock
from tests.identity.serving import channel_of, serving
from tests.postgres import DatabaseFactory

CONTROL = ("control:read", "control:write")


class Identity(house.Identity):
    """With a clock that the test moves, and a look into what is owed to the audit log."""

    clock: FrozenClock

    async def audit(self, org_id: OrgId, action: str) -> list[AuditEvent]:
        """What the outbox owes the audit log."""
        async with self.db.hot.connection() as connection:
            cursor = await connection.execute(
                "SELECT payload FROM outbox WHERE topic = %s AND org_id = %s ORDER BY id", (TOPIC, org_id)
            )
            events = [AuditEvent.FromString(row[0]) for row in await cursor.fetchall()]
        return [event for event in events if event.action == action]


@dataclass(frozen=True)
class Person:
    """Somebody with a key."""

    principal: Principal
    token: str


@pytest.fixture
async def identity(database_factory: DatabaseFactory, tmp_path: Path) -> AsyncIterator[Identity]:
    db, clock = Database(database_factory("identity").app_url), FrozenClock()
    await db.open()
    kek = tmp_path / "kek"
    kek.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    yield Identity(db, clock, Peppers({1: secrets.token_bytes(32)}), Sealer(db, FileKek(kek)))
    await db.close()


async def make_person(identity: Identity, organization: str, scopes: tuple[str, ...] = CONTROL) -> Person:
    org_id = (await identity.organizations.create(organization, "developer")).org_id
    user = await identity.organizations.create_user(org_id, email="a@example.test", name="A Person", role="owner")
    issued: Issued = await identity.keys.issue(org_id, user.id, WantedKey(name="first", scopes=scopes))
    return Person(await identity.authentication.authenticate(issued.plaintext), issued.plaintext)


@pytest.fixture
async def alice(identity: Identity) -> Person:
    return await make_person(identity, "acme")


@pytest.fixture
async def mallory(identity: Identity) -> Person:
    return await make_person(identity, "other")


@pytest.fixture
async def address(identity: Identity, tls_dir: Path) -> AsyncIterator[str]:
    async with serving(identity, tls_dir) as address:
        yield address


@pytest.fixture
async def edge(address: str, tls_dir: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with channel_of("edge", address, tls_dir) as channel:
        yield channel
