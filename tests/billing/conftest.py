import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.billing.usecases.accounts import Accounts
from services.billing.usecases.budgets import Budgets, Thresholds
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.sweeper import Sweeper
from services.billing.usecases.usage import Usages
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from services.chassis.watch import ChangeLog
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseFactory, DatabaseUrls

CATALOGUE = Path(__file__).resolve().parents[2] / "catalogue" / "catalogue.json"


@pytest.fixture
def urls(database_factory: DatabaseFactory) -> DatabaseUrls:
    return database_factory("billing")


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
async def catalogues(db: Database, clock: FrozenClock) -> Catalogues:
    catalogues = Catalogues(db, clock)
    await catalogues.register(CATALOGUE.read_bytes())
    return catalogues


@pytest.fixture
def accounts(db: Database, clock: FrozenClock, catalogues: Catalogues) -> Accounts:
    return Accounts(db, clock, AuditTrail(clock))


@pytest.fixture
async def alice(clock: FrozenClock, accounts: Accounts) -> Principal:
    """Of an organization on the growth plan: ten million credits a month."""
    alice = principal_of_new_org(clock)
    await accounts.open(alice.org_id, plan="growth", opened_at=clock.now())
    return alice


@pytest.fixture
async def mallory(clock: FrozenClock, accounts: Accounts) -> Principal:
    """Of another organization."""
    mallory = principal_of_new_org(clock)
    await accounts.open(mallory.org_id, plan="growth", opened_at=clock.now())
    return mallory


@pytest.fixture
def metering(db: Database, clock: FrozenClock, catalogues: Catalogues, accounts: Accounts) -> Metering:
    return Metering(db, clock, catalogues, accounts)


@pytest.fixture
def sweeper(db: Database, clock: FrozenClock, accounts: Accounts) -> Sweeper:
    return Sweeper(db, clock, accounts)


@pytest.fixture
def changes(db: Database, clock: FrozenClock) -> ChangeLog:
    return ChangeLog(db, clock)


@pytest.fixture
def budgets(db: Database, clock: FrozenClock, accounts: Accounts, changes: ChangeLog) -> Budgets:
    return Budgets(db, clock, accounts, AuditTrail(clock), changes)


@pytest.fixture
def thresholds(db: Database, clock: FrozenClock) -> Thresholds:
    return Thresholds(db, clock, AuditTrail(clock))


@pytest.fixture
def usages(db: Database, accounts: Accounts) -> Usages:
    return Usages(db, accounts)


@pytest.fixture
async def changes_running(changes: ChangeLog) -> AsyncIterator[None]:
    """The change log pushes; without it a publication waits for the longest lease there could be."""
    task = asyncio.create_task(changes.run())
    yield
    task.cancel()
