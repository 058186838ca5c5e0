"""The documents of signatures: made with them, kept, and given out as the same bytes for ever."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko_certvalidator import ValidationContext
from pypdf import PdfReader

from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ServiceUnavailable, ValidationFailed
from services.chassis.ulids import new_ulid
from services.chassis.watch import ChangeLog
from services.compliance.clients.press.certificates import SigningIdentity
from services.compliance.clients.press.press import Press
from services.compliance.clients.time_stamping import TimeStampingAuthority
from services.compliance.domain.agreements import Acceptance
from services.compliance.store import agreements as store
from services.compliance.usecases.agreements import Agreements, Gates
from services.compliance.usecases.audit_log import AuditLog, IntakeTrail
from services.compliance.usecases.documents import Documents
from tests.compliance.support import NOON, SIGNATURE, VERSION, count, example_clinic
from tests.compliance.time_stamping import Identity, authority
from tests.compliance.time_stamping import identity as identity_of_authority
from tests.fakes import FrozenClock
from tests.postgres import DatabaseUrls

HOUR = timedelta(hours=1)


def agreements_of(db: Database, clock: FrozenClock, press: Press) -> tuple[Agreements, Documents]:
    trail = IntakeTrail(clock)
    documents = Documents(db, clock, trail, press, example_clinic, deployment="hasp.example")
    agreements = Agreements(db, clock, trail, ChangeLog(db, clock), documents, countersigned_by="Otto Operator")
    return agreements, documents


async def signed_before_there_were_documents(db: Database, clock: FrozenClock, caller: Principal) -> Acceptance:
    async with db.transaction(caller.org_id) as tx:
        text = await store.get_template(tx, VERSION)
        acceptance = Acceptance(
            id=new_ulid(clock),
            org_id=caller.org_id,
            template_version=VERSION,
            template_sha256=text.sha256,
            signer_name="Ada Early",
            signer_title="Director",
            signer_email="ada@clinic.example",
            signed_at=NOON - HOUR,
            countersigned_at=NOON - HOUR,
            countersigned_by="Olga Operator",
            effective_at=NOON - HOUR,
            expires_at=None,
            ip_address=None,
            audit_entry_id=new_ulid(clock),
        )
        await store.add_acceptance(tx, acceptance)
    return acceptance


async def test_the_document_is_kept_with_the_signature_and_its_hash_told_wherever_that_is_shown(
    agreements: Agreements, documents: Documents, log: AuditLog, clock: FrozenClock, alice: Principal
) -> None:
    signed = await agreements.accept(alice, SIGNATURE, ip_address="203.0.113.7")
    first = await documents.download(alice, signed.acceptance.id)
    clock.advance(timedelta(days=4000))  # the certificate has expired: what is signed stays signed
    again = await documents.download(alice, signed.acceptance.id)
    assert first == again
    assert first.filename == f"baa-{VERSION}-{signed.acceptance.id}.pdf"
    assert hashlib.sha256(first.pdf).hexdigest() == signed.pdf_sha256
    assert "Grace Harper" in PdfReader(io.BytesIO(first.pdf)).pages[-1].extract_text()
    assert (await agreements.get_acceptance(alice, signed.acceptance.id)).pdf_sha256 == signed.pdf_sha256
    assert [each.pdf_sha256 for each in await agreements.list(alice, before=None, limit=9)] == [signed.pdf_sha256]
    standing = await agreements.get(alice)
    assert standing.acceptance is not None
    assert standing.acceptance.pdf_sha256 == signed.pdf_sha256
    entry = await log.get(alice, signed.acceptance.audit_entry_id)
    assert entry.event.metadata["pdf_sha256"] == signed.pdf_sha256


async def test_another_organization_gets_no_document(
    agreements: Agreements, documents: Documents, alice: Principal, mallory: Principal
) -> None:
    signed = await agreements.accept(alice, SIGNATURE, ip_address=None)
    for caller, acceptance_id in ((mallory, signed.acceptance.id), (alice, "01J0000000000000000000NONE"), (alice, "x")):
        with pytest.raises(ResourceNotFound):
            await documents.download(caller, acceptance_id)


async def test_an_older_signature_gets_its_document_when_it_is_first_asked_for(
    db: Database, agreements: Agreements, documents: Documents, clock: FrozenClock, alice: Principal
) -> None:
    old = await signed_before_there_were_documents(db, clock, alice)
    before = await agreements.get_acceptance(alice, old.id)
    assert (before.acceptance, before.pdf_sha256) == (old, None)
    first = await documents.download(alice, old.id)
    record = PdfReader(io.BytesIO(first.pdf)).pages[-1].extract_text()
    assert "Ada Early" in record
    assert "Olga Operator" in record
    assert "May 11, 2026, 11:00:00 UTC" in record  # when it was signed
    assert "May 11, 2026, 12:00:00 UTC" in record  # when the document was
    assert await documents.download(alice, old.id) == first
    sha256 = hashlib.sha256(first.pdf).hexdigest()
    assert (await agreements.get_acceptance(alice, old.id)).pdf_sha256 == sha256
    telling = f"action = 'baa.document_made' AND convert_from(head, 'UTF8') LIKE '%{sha256}%'"
    assert await count(db, f"SELECT count(*) FROM audit_intake WHERE {telling}") == 1


@pytest.fixture
async def other_replica(urls: DatabaseUrls) -> AsyncIterator[Database]:
    database = Database(urls.app_url)
    await database.open()
    yield database
    await database.close()


async def test_two_replicas_that_are_asked_at_once_give_one_document(
    db: Database,
    other_replica: Database,
    clock: FrozenClock,
    press: Press,
    identity: SigningIdentity,
    alice: Principal,
) -> None:
    old = await signed_before_there_were_documents(db, clock, alice)
    _, here = agreements_of(db, clock, press)
    _, there = agreements_of(other_replica, clock, Press(identity))
    asked = [each.download(alice, old.id) for each in (here, there, here, there)]
    given = await asyncio.gather(*asked)
    assert len({each.pdf for each in given}) == 1
    assert await count(db, "SELECT count(*) FROM baa_documents") == 1
    assert await count(db, "SELECT count(*) FROM audit_intake WHERE action = 'baa.document_made'") == 1


async def nothing_was_signed(db: Database) -> bool:
    tables = ("baa_acceptances", "baa_documents", "audit_intake")
    return [await count(db, f"SELECT count(*) FROM {table}") for table in tables] == [0, 0, 0]


async def test_with_an_expired_certificate_nothing_is_signed(
    agreements: Agreements, gates: Gates, db: Database, clock: FrozenClock, alice: Principal
) -> None:
    clock.advance(timedelta(days=4000))
    with pytest.raises(ServiceUnavailable):
        await agreements.accept(alice, SIGNATURE, ip_address=None)
    assert await nothing_was_signed(db)
    assert not (await gates.get(alice.org_id))[0].open
    # What is wrong with the request is said first.
    with pytest.raises(ValidationFailed):
        await agreements.accept(alice, replace(SIGNATURE, template_version="1999-01-01"), ip_address=None)


class Passing(FrozenClock):
    """An hour passes between two looks at it."""

    def now(self) -> datetime:
        self.advance(HOUR)
        return super().now()


async def test_a_text_that_was_replaced_while_its_document_was_made_is_not_signed(
    db: Database, urls: DatabaseUrls, press: Press, alice: Principal
) -> None:
    with psycopg.connect(urls.owner_url) as owner:
        owner.execute(
            "INSERT INTO baa_templates (version, title, sha256, body_markdown, effective_at)"
            " VALUES ('2026-05-12', 'Next', repeat('0', 64), 'next', %s)",
            (NOON + HOUR * 2,),
        )
    agreements, _ = agreements_of(db, Passing(), press)
    with pytest.raises(ValidationFailed) as refused:
        await agreements.accept(alice, SIGNATURE, ip_address=None)
    assert refused.value.param == "template_version"
    assert await nothing_was_signed(db)


@pytest.fixture(scope="module")
def stamping() -> Identity:
    return identity_of_authority()


async def test_a_configured_authority_stamps_the_signature(
    db: Database, clock: FrozenClock, identity: SigningIdentity, stamping: Identity, alice: Principal
) -> None:
    async with authority(stamping.answer) as running:
        press = Press(identity, TimeStampingAuthority(running.url, [stamping.root]))
        agreements, documents = agreements_of(db, clock, press)
        signed = await agreements.accept(alice, SIGNATURE, ip_address=None)
        assert len(running.queries) == 1
    pdf = (await documents.download(alice, signed.acceptance.id)).pdf
    roots = [
        asn1_x509.Certificate.load(each.public_bytes(Encoding.DER)) for each in (identity.chain[-1], stamping.root)
    ]
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    context = ValidationContext(trust_roots=roots, allow_fetching=False)
    status = await async_validate_pdf_signature(signature, context)
    assert status.bottom_line
    assert status.timestamp_validity is not None
    assert status.timestamp_validity.valid
    assert status.timestamp_validity.trusted
    assert "http://127.0.0.1" in PdfReader(io.BytesIO(pdf)).pages[-1].extract_text()


async def test_without_the_configured_time_stamp_nothing_is_signed(
    db: Database, clock: FrozenClock, identity: SigningIdentity, stamping: Identity, alice: Principal
) -> None:
    async with authority(stamping.answer) as running:
        press = Press(identity, TimeStampingAuthority(running.url, [stamping.root]))
        running.raw = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
        agreements, _ = agreements_of(db, clock, press)
        with pytest.raises(ServiceUnavailable, match="time-stamped"):
            await agreements.accept(alice, SIGNATURE, ip_address=None)
    assert await nothing_was_signed(db)
