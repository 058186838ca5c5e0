from collections.abc import AsyncIterator

import pytest

from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.watch import ChangeLog
from services.compliance.usecases.agreements import Agreements, Gates
from services.compliance.usecases.audit_log import AuditIntake, AuditLog, IntakeTrail
from tests.compliance.exporting import ENTRIES, House
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


@pytest.fixture
def agreements(db: Database, clock: FrozenClock) -> Agreements:
    return Agreements(db, clock, IntakeTrail(clock), ChangeLog(db, clock), countersigned_by="Otto Operator")


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
