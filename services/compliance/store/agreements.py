"""Templates and acceptances. Both are append-only."""

from collections.abc import Sequence

import psycopg
from psycopg.rows import class_row
from sqlalchemy import insert, select

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.domain.agreements import Acceptance, Edition, Signed, Template
from services.compliance.store.tables import baa_acceptances, baa_templates


async def editions(tx: Tx) -> list[Edition]:
    """Every version there is, those of the future included."""
    columns = baa_templates.c
    rows = await tx.execute(select(columns.version, columns.effective_at, columns.required_from))
    return [Edition(*row) for row in rows]


async def read_text_of(connection: psycopg.AsyncConnection, version: str) -> Template:
    """Outside of a transaction, as `read_editions`."""
    async with connection.cursor(row_factory=class_row(Template)) as cursor:
        found = await (await cursor.execute(_TEXT, {"version": version})).fetchone()
    if found is None:
        raise LookupError("a version that the editions named is gone")
    return found


async def read_editions(connection: psycopg.AsyncConnection) -> list[Edition]:
    """As `editions`, for a caller who must not commit yet: a commit is what an Idempotency-Key goes by."""
    rows = await (await connection.execute(_EDITIONS)).fetchall()
    return [Edition(*row) for row in rows]


async def get_template(tx: Tx, version: str) -> Template:
    rows = await tx.execute(select(baa_templates).where(baa_templates.c.version == version))
    return Template(**rows.mappings().one())


async def add_acceptance(tx: Tx, acceptance: Acceptance) -> None:
    values = {column.name: getattr(acceptance, column.name) for column in baa_acceptances.c}
    await tx.execute(insert(baa_acceptances).values(values))


async def find_newest(tx: Tx, org_id: OrgId) -> Acceptance | None:
    """The organization's newest signature."""
    found = await list_acceptances(tx, org_id, before=None, limit=1)
    return found[0] if found else None


async def find_acceptance(tx: Tx, org_id: OrgId, acceptance_id: str) -> Acceptance | None:
    where = (baa_acceptances.c.org_id == org_id, baa_acceptances.c.id == acceptance_id)
    row = (await tx.execute(select(baa_acceptances).where(*where))).mappings().one_or_none()
    return None if row is None else Acceptance(**row)


async def list_acceptances(tx: Tx, org_id: OrgId, *, before: str | None, limit: int) -> list[Acceptance]:
    """Newest first, from the one before the id `before`."""
    query = select(baa_acceptances).where(baa_acceptances.c.org_id == org_id)
    if before is not None:
        query = query.where(baa_acceptances.c.id < before)
    rows = await tx.execute(query.order_by(baa_acceptances.c.id.desc()).limit(limit))
    return [Acceptance(**row) for row in rows.mappings()]


async def standing(connection: psycopg.AsyncConnection, org_id: OrgId) -> tuple[int, Signed | None, Sequence[Edition]]:
    """The watch log's seq, the newest signature and the editions, of one moment: what was published up to seq is in it."""
    cursor = await connection.execute(_STANDING, {"org_id": org_id})
    rows = await cursor.fetchall()
    seq, version, expires_at = rows[0][:3]
    signed = None if version is None else Signed(version, expires_at)
    return seq, signed, [Edition(*row[3:]) for row in rows]


_EDITIONS = "SELECT version, effective_at, required_from FROM baa_templates"

_TEXT = """
SELECT version, title, sha256, body_markdown, effective_at, required_from, term_days
FROM baa_templates WHERE version = %(version)s
"""

_STANDING = """
SELECT watch.seq, newest.template_version, newest.expires_at, edition.version, edition.effective_at, edition.required_from
FROM watch_state AS watch
CROSS JOIN baa_templates AS edition
LEFT JOIN LATERAL (
    SELECT template_version, expires_at FROM baa_acceptances WHERE org_id = %(org_id)s ORDER BY id DESC LIMIT 1
) AS newest ON true
"""
