import base64
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cli.signing_certificates import ensure_signing_certificate
from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.sealing import FileKek, Sealer
from services.chassis.watch import ChangeLog
from services.compliance.clients.destinations import Destinations, SystemResolver
from services.compliance.clients.press.certificates import SigningIdentity, load_signing_identity
from services.compliance.clients.press.press import Press
from services.compliance.domain.destinations import Policy
from services.compliance.usecases.agreements import Agreements, Gates
from services.compliance.usecases.audit_log import AuditIntake, AuditLog, IntakeTrail
from services.compliance.usecases.documents import Documents
from services.compliance.usecases.fan_out import FanOut
from services.compliance.usecases.publishing import Publishing
from services.compliance.usecases.webhooks import Webhooks
from tests.compliance.exporting import ENTRIES, House
from tests.compliance.receivers import Authority
from tests.compliance.support import NOON, example_clinic
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseFactory, DatabaseUrls


@pytest.fixture
def urls(database_factory: DatabaseFactory) -> DatabaseUrls:
    return database_factory("compliance")


@pytest.fixture
async def db(urls: DatabaseUrls) -> AsyncIterator[Database]:
    database = Database(urls.app_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def alice(clock: FrozenClock) -> Principal:
    return principal_of_new_org(clock)


@pytest.fixture
def mallory(clock: FrozenClock) -> Principal:
    """Of another organization."""
    return principal_of_new_org(clock)


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    """What documents are signed with, valid for ten years from a hundred days before the frozen clock."""
    key = tmp_path_factory.mktemp("signing") / "baa.key"
    certificate = ensure_signing_certificate(key, now=NOON - timedelta(days=100))
    return load_signing_identity(key, certificate)


@pytest.fixture(scope="session")
def press(identity: SigningIdentity) -> Press:
    return Press(identity)


@pytest.fixture
def documents(db: Database, clock: FrozenClock, press: Press) -> Documents:
    return Documents(db, clock, IntakeTrail(clock), press, example_clinic, deployment="hasp.example")


@pytest.fixture
def agreements(db: Database, clock: FrozenClock, documents: Documents) -> Agreements:
    trail, changes = IntakeTrail(clock), ChangeLog(db, clock)
    return Agreements(db, clock, trail, changes, documents, countersigned_by="Otto Operator")


@pytest.fixture
def gates(db: Database, clock: FrozenClock) -> Gates:
    return Gates(db, clock)


@pytest.fixture
def intake(db: Database) -> AuditIntake:
    return AuditIntake(db)


@pytest.fixture
def log(db: Database) -> AuditLog:
    return AuditLog(db)


@pytest.fixture
async def house(db: Database, alice: Principal, mallory: Principal, clock: FrozenClock) -> House:
    other = House(db, mallory, clock)
    await other.grow(4)
    house = House(db, alice, clock)
    await house.grow(ENTRIES)
    return house


@pytest.fixture
def sealer(db: Database, tmp_path: Path) -> Sealer:
    kek = tmp_path / "webhooks.kek"
    kek.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    return Sealer(db, FileKek(kek))


@pytest.fixture
def webhooks(db: Database, clock: FrozenClock, sealer: Sealer) -> Webhooks:
    return Webhooks(db, clock, IntakeTrail(clock), sealer, Destinations(Policy(), SystemResolver()))


@pytest.fixture
def publishing(db: Database, clock: FrozenClock, sealer: Sealer) -> Publishing:
    return Publishing(db, clock, sealer)


@pytest.fixture
def fan_out(db: Database, clock: FrozenClock, sealer: Sealer) -> FanOut:
    return FanOut(db, clock, sealer)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("receivers"))
