"""The PDFs of signed agreements. Append-only, one for each signature."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.compliance.store.tables import baa_documents


async def add(tx: Tx, org_id: OrgId, acceptance_id: str, *, pdf: bytes, sha256: str, now: datetime) -> bool:
    """Keep the document of a signature, unless it has one; whether it was kept. Waits for whoever is just keeping one."""
    row = {"org_id": org_id, "acceptance_id": acceptance_id, "sha256": sha256, "pdf": pdf, "created_at": now}
    adding = insert(baa_documents).values(row).on_conflict_do_nothing().returning(baa_documents.c.acceptance_id)
    return (await tx.execute(adding)).scalar_one_or_none() is not None


async def find(tx: Tx, org_id: OrgId, acceptance_id: str) -> bytes | None:
    where = (baa_documents.c.org_id == org_id, baa_documents.c.acceptance_id == acceptance_id)
    return (await tx.execute(select(baa_documents.c.pdf).where(*where))).scalar_one_or_none()


async def hashes(tx: Tx, org_id: OrgId, acceptance_ids: Sequence[str]) -> dict[str, str]:
    """SHA-256, hex, by acceptance; none for those without a document."""
    where = (baa_documents.c.org_id == org_id, baa_documents.c.acceptance_id.in_(acceptance_ids))
    rows = await tx.execute(select(baa_documents.c.acceptance_id, baa_documents.c.sha256).where(*where))
    return {row.acceptance_id: row.sha256 for row in rows}
