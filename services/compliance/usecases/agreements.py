"""Showing and signing the Business Associate Agreement."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.chassis.access import OrgId, Principal
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database, Tx
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.chassis.ulids import is_ulid, new_ulid
from services.chassis.watch import ChangeLog
from services.compliance.domain import agreements as domain
from services.compliance.domain.agreements import Acceptance, Edition, Gate, Signature, Signed, Status, Template
from services.compliance.store import agreements as store
from services.compliance.store import documents
from services.compliance.usecases.documents import Documents


@dataclass(frozen=True, slots=True)
class Judged:
    """A signature and where it stands."""

    acceptance: Acceptance
    status: Status
    pdf_sha256: str | None
    """Of its document, hex; None until that is made."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an organization stands, what it can sign, and what it has signed that is in force."""

    status: Status
    template: Template
    acceptance: Judged | None


class Agreements:
    """`countersigned_by` names the signatory of the deployment's operator."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        trail: Trail,
        changes: ChangeLog,
        documents: Documents,
        *,
        countersigned_by: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._trail = trail
        self._changes = changes
        self._documents = documents
        self._countersigned_by = countersigned_by

    async def get(self, caller: Principal) -> Standing:
        now = self._clock.now()
        async with self._db.transaction(caller.org_id) as tx:
            newest = await store.find_newest(tx, caller.org_id)
            editions = await store.editions(tx)
            template = await store.get_template(tx, domain.current(editions, now).version)
            hashes = await documents.hashes(tx, caller.org_id, [newest.id] if newest else [])
        gate = domain.gate(_signed(newest), editions, now)
        in_force = Judged(newest, gate.status, hashes.get(newest.id)) if newest is not None and gate.open else None
        return Standing(status=gate.status, template=template, acceptance=in_force)

    async def accept(self, caller: Principal, signature: Signature, *, ip_address: str | None) -> Judged:
        """Sign and counter-sign. Inference is open when this returns. Raises ValidationFailed for any text but the current one,
        ServiceUnavailable while the document cannot be signed."""
        now = self._clock.now()
        async with self._db.hot.connection() as connection:
            _check_current(signature, await store.read_editions(connection), now)
            template = await store.read_text_of(connection, signature.template_version)
        acceptance = self._acceptance(caller.org_id, template, signature, now, ip_address)
        made = await self._documents.make(template, acceptance)
        async with self._db.transaction(caller.org_id) as tx:
            # A new text may have come into force since: then this one cannot be signed any more.
            _check_current(signature, await store.editions(tx), self._clock.now())
            audit_entry_id = await self._trail.record(
                tx,
                org_id=caller.org_id,
                action="baa.signed",
                entity_type="baa_acceptance",
                entity_id=acceptance.id,
                metadata={
                    "template_version": template.version,
                    "template_sha256": template.sha256,
                    "pdf_sha256": made.sha256,
                },
            )
            acceptance = replace(acceptance, audit_entry_id=audit_entry_id)
            await store.add_acceptance(tx, acceptance)
            await documents.add(tx, caller.org_id, acceptance.id, pdf=made.pdf, sha256=made.sha256, now=now)
            await self._changes.publish(tx, org_id=caller.org_id)
        return Judged(acceptance, Status.ACTIVE, made.sha256)

    def _acceptance(
        self, org_id: OrgId, template: Template, signature: Signature, now: datetime, ip_address: str | None
    ) -> Acceptance:
        return Acceptance(
            id=new_ulid(self._clock),
            org_id=org_id,
            template_version=template.version,
            template_sha256=template.sha256,
            signer_name=signature.signer_name,
            signer_title=signature.signer_title,
            signer_email=signature.signer_email,
            signed_at=now,
            countersigned_at=now,
            countersigned_by=self._countersigned_by,
            effective_at=now,
            expires_at=template.expiry(now),
            ip_address=ip_address,
            audit_entry_id="",  # the entry is made with the signature
        )

    async def list(self, caller: Principal, *, before: str | None, limit: int) -> Sequence[Judged]:
        """Newest first, from the one before the id `before`."""
        async with self._db.transaction(caller.org_id) as tx:
            found = await store.list_acceptances(tx, caller.org_id, before=before, limit=limit)
            return await self._judge(tx, caller.org_id, found)

    async def get_acceptance(self, caller: Principal, acceptance_id: str) -> Judged:
        """Raises ResourceNotFound."""
        async with self._db.transaction(caller.org_id) as tx:
            found = await store.find_acceptance(tx, caller.org_id, acceptance_id) if is_ulid(acceptance_id) else None
            if found is None:
                raise ResourceNotFound("There is no such acceptance.")
            return (await self._judge(tx, caller.org_id, [found]))[0]

    async def _judge(self, tx: Tx, org_id: OrgId, found: Sequence[Acceptance]) -> Sequence[Judged]:
        now = self._clock.now()
        newest = await store.find_newest(tx, org_id)
        gate = domain.gate(_signed(newest), await store.editions(tx), now)
        hashes = await documents.hashes(tx, org_id, [acceptance.id for acceptance in found])
        return [
            Judged(
                acceptance,
                domain.status_of(
                    acceptance, newest=newest is not None and acceptance.id == newest.id, standing=gate, now=now
                ),
                hashes.get(acceptance.id),
            )
            for acceptance in found
        ]


class Gates:
    """What inference asks before it serves an organization."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def get(self, org_id: OrgId) -> tuple[Gate, int]:
        """The gate, and the position of the watch log that it is certain to include."""
        async with self._db.hot.connection() as connection:
            seq, signed, editions = await store.standing(connection, org_id)
        return domain.gate(signed, editions, self._clock.now()), seq


def _check_current(signature: Signature, editions: Sequence[Edition], now: datetime) -> None:
    if signature.template_version != domain.current(editions, now).version:
        raise ValidationFailed("Only the current version of the agreement can be signed.", param="template_version")


def _signed(newest: Acceptance | None) -> Signed | None:
    return None if newest is None else Signed(newest.template_version, newest.expires_at)
