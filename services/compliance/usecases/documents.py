"""The PDF of a signed agreement: made once, then the same bytes for ever."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.chassis.access import OrgId, Principal
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound
from services.chassis.ulids import is_ulid
from services.compliance.clients.press.press import Press
from services.compliance.domain.agreements import Acceptance, Template
from services.compliance.domain.documents import document, filename
from services.compliance.store import agreements, documents

NameOf = Callable[[OrgId], Awaitable[str]]
"""An organization's name."""


@dataclass(frozen=True, slots=True)
class Made:
    pdf: bytes
    sha256: str
    """Of the PDF, hex."""


@dataclass(frozen=True, slots=True)
class Download:
    pdf: bytes
    filename: str


class Documents:
    """`deployment` is the operator's deployment, as the documents name it."""

    def __init__(
        self, db: Database, clock: Clock, trail: Trail, press: Press, name_of: NameOf, *, deployment: str
    ) -> None:
        self._db = db
        self._clock = clock
        self._trail = trail
        self._press = press
        self._name_of = name_of
        self._deployment = deployment

    async def make(self, template: Template, acceptance: Acceptance) -> Made:
        """A tenth of a second, and what a time-stamping authority takes: never inside a transaction. Raises ServiceUnavailable."""
        organization = await self._name_of(OrgId(acceptance.org_id))
        now = self._clock.now()
        said = document(template, acceptance, organization=organization, deployment=self._deployment, made_at=now)
        pdf = await self._press.make(said)
        return Made(pdf, hashlib.sha256(pdf).hexdigest())

    async def download(self, caller: Principal, acceptance_id: str) -> Download:
        """Raises ResourceNotFound; ServiceUnavailable where the document is still to be made and cannot be."""
        async with self._db.transaction(caller.org_id) as tx:
            found = (
                await agreements.find_acceptance(tx, caller.org_id, acceptance_id) if is_ulid(acceptance_id) else None
            )
            if found is None:
                raise ResourceNotFound("There is no such acceptance.")
            pdf = await documents.find(tx, caller.org_id, acceptance_id)
            template = await agreements.get_template(tx, found.template_version)
        if pdf is None:
            pdf = await self._make_late(caller, template, found)
        return Download(pdf, filename(found.template_version, found.id))

    async def _make_late(self, caller: Principal, template: Template, acceptance: Acceptance) -> bytes:
        """Of a signature from before there were documents. Of several replicas that make it at once, one is kept."""
        made = await self.make(template, acceptance)
        async with self._db.transaction(caller.org_id) as tx:
            now = self._clock.now()
            kept = await documents.add(tx, caller.org_id, acceptance.id, pdf=made.pdf, sha256=made.sha256, now=now)
            if kept:
                await self._trail.record(
                    tx,
                    org_id=caller.org_id,
                    action="baa.document_made",
                    entity_type="baa_acceptance",
                    entity_id=acceptance.id,
                    metadata={"template_version": template.version, "pdf_sha256": made.sha256},
                )
                return made.pdf
            stored = await documents.find(tx, caller.org_id, acceptance.id)
        if stored is None:
            raise LookupError("a document that was kept is gone")
        return stored
