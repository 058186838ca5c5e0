"""What the database itself refuses, whatever the program asks for."""

import pytest
import sqlalchemy.exc
from sqlalchemy import text

from services.chassis.access import OrgId
from tests.identity.agents import issue, make_agent
from tests.identity.conftest import Identity, Person

# Read before it is known whose token it is, and the log that all watchers follow.
OF_NO_TENANT = {"tokens", "watch_changes"}


async def test_every_table_of_a_tenant_forces_its_policy(identity: Identity) -> None:
    async with identity.db.hot.connection() as connection:
        cursor = await connection.execute(
            """
            SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
            """
        )
        forced = dict(await cursor.fetchall())
    assert {table for table, is_forced in forced.items() if not is_forced} == OF_NO_TENANT
    assert {"organizations", "users", "api_keys", "outbox", "idempotency_keys", "data_keys"} <= forced.keys()
    assert {"agents", "credentials", "invocations", "grant_uses"} <= forced.keys()


@pytest.mark.parametrize("table", ["organizations", "users", "api_keys", "outbox", "agents", "credentials"])
async def test_a_transaction_sees_its_own_organization_alone(
    identity: Identity, alice: Person, mallory: Person, table: str
) -> None:
    for person in (alice, mallory):
        await issue(identity, person.principal, await make_agent(identity, person))

    async def organizations(org_id: OrgId) -> set[str]:
        async with identity.db.transaction(org_id) as tx:
            return set((await tx.execute(text(f"SELECT org_id FROM {table}"))).scalars())

    ours, theirs = alice.principal.org_id, mallory.principal.org_id
    assert (await organizations(ours), await organizations(theirs)) == ({ours}, {theirs})
    assert await organizations(OrgId("")) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_keys SET scopes = scopes || '{ai:chat}'",
        "UPDATE api_keys SET expires_at = NULL",
        "DELETE FROM api_keys",
        "UPDATE tokens SET principal_id = ''",
        "DELETE FROM tokens",
        "UPDATE users SET role = 'owner'",
        "UPDATE credentials SET granted_scopes = '[]'",
        "UPDATE credentials SET expires_at = now()",
        "UPDATE credentials SET delegation_path = '{}'",
        "DELETE FROM credentials",
        "UPDATE agents SET org_id = ''",
        "DELETE FROM agents",
        "UPDATE invocations SET expires_at = now()",
        "UPDATE invocations SET grant_no = 0",
        "ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE another (id integer)",
    ],
)
async def test_the_program_cannot_change_what_was_issued(identity: Identity, alice: Person, statement: str) -> None:
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"permission denied|must be owner"):
        await execute(identity, alice, statement)


async def execute(identity: Identity, person: Person, statement: str) -> None:
    async with identity.db.transaction(person.principal.org_id) as tx:
        await tx.execute(text(statement))
