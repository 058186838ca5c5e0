"""How the services are connected to their database."""

from services.chassis.access import OrgId
from services.chassis.database import Database
from tests.postgres import DatabaseFactory

ACME = OrgId("01J0000000000000000000ACME")


async def test_every_connection_notices_a_network_that_drops_everything(database_factory: DatabaseFactory) -> None:
    db = Database(database_factory("identity").app_url)
    await db.open()
    try:
        own = await db.connect()
        async with db.hot.connection() as hot, db.transaction(ACME) as tx:
            driver = (await tx.get_raw_connection()).driver_connection
            assert driver is not None
            for connection in (own, hot, driver):
                parameters = connection.info.get_parameters()
                assert int(parameters["tcp_user_timeout"]) <= 10_000
                assert int(parameters["keepalives_idle"]) + 3 * int(parameters["keepalives_interval"]) < 15
        await own.close()
    finally:
        await db.close()
