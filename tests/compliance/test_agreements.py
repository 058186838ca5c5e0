from datetime import datetime, timedelta

import psycopg
import pytest
from sqlalchemy.exc import DataError

from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.compliance.domain.agreements import Edition, Gate, Signed, Status, current, gate
from services.compliance.usecases.agreements import Agreements, Gates
from services.compliance.usecases.audit_log import AuditLog
from tests.compliance.support import NOON, SIGNATURE, VERSION, count
from tests.fakes import FrozenClock
from tests.postgres import DatabaseUrls

DAY = timedelta(days=1)


def edition(version: str, effective: datetime, required: datetime | None = None) -> Edition:
    return Edition(version, effective, required)


FIRST = edition("1", NOON - 100 * DAY, NOON - 100 * DAY)
NEXT = edition("2", NOON - DAY, NOON + DAY)


def test_without_a_signature_the_gate_is_closed() -> None:
    assert gate(None, [FIRST], NOON) == Gate(Status.UNSIGNED, open=False)


def test_the_current_text_signed_opens_the_gate_for_good() -> None:
    assert gate(Signed("1", None), [FIRST], NOON) == Gate(Status.ACTIVE, open=True, closes_at=None)


def test_a_superseded_signature_counts_until_the_new_text_is_required() -> None:
    signed = Signed("1", None)
    assert gate(signed, [FIRST, NEXT], NOON) == Gate(Status.SUPERSEDED, open=True, closes_at=NOON + DAY)
    assert gate(signed, [FIRST, NEXT], NOON + DAY) == Gate(Status.EXPIRED, open=False)
    assert gate(Signed("2", None), [FIRST, NEXT], NOON + DAY) == Gate(Status.ACTIVE, open=True)


def test_a_text_of_the_future_says_when_the_gate_will_close() -> None:
    coming = edition("2", NOON + DAY, NOON + 2 * DAY)
    assert gate(Signed("1", None), [FIRST, coming], NOON) == Gate(Status.ACTIVE, open=True, closes_at=NOON + 2 * DAY)


def test_a_new_text_that_is_never_required_only_supersedes() -> None:
    assert gate(Signed("1", None), [FIRST, edition("2", NOON)], NOON) == Gate(Status.SUPERSEDED, open=True)


def test_a_signature_expires_with_its_own_term() -> None:
    signed = Signed("1", NOON + DAY)
    assert gate(signed, [FIRST], NOON) == Gate(Status.ACTIVE, open=True, closes_at=NOON + DAY)
    assert gate(signed, [FIRST], NOON + DAY) == Gate(Status.EXPIRED, open=False)


def test_the_newest_text_in_effect_can_be_signed() -> None:
    coming = edition("3", NOON + DAY)
    assert current([FIRST, NEXT, coming], NOON) == NEXT
    assert current([FIRST, NEXT, coming], NOON + DAY) == coming


async def test_signing_opens_the_gate_at_once(agreements: Agreements, gates: Gates, alice: Principal) -> None:
    before, seq = await gates.get(alice.org_id)
    assert before == Gate(Status.UNSIGNED, open=False)
    signed = await agreements.accept(alice, SIGNATURE, ip_address="203.0.113.7")
    after, later = await gates.get(alice.org_id)
    assert after == Gate(Status.ACTIVE, open=True)
    assert later == seq + 1
    assert signed.status == Status.ACTIVE
    assert signed.acceptance.countersigned_by == "Otto Operator"
    assert signed.acceptance.signed_at == signed.acceptance.countersigned_at == signed.acceptance.effective_at
    assert signed.acceptance.ip_address == "203.0.113.7"


async def test_the_status_shows_the_text_before_and_the_signature_after(
    agreements: Agreements, alice: Principal
) -> None:
    before = await agreements.get(alice)
    assert (before.status, before.template.version, before.acceptance) == (Status.UNSIGNED, VERSION, None)
    signed = await agreements.accept(alice, SIGNATURE, ip_address=None)
    after = await agreements.get(alice)
    assert (after.status, after.acceptance) == (Status.ACTIVE, signed)


@pytest.mark.parametrize("version", ["2025-01-01", "latest"])
async def test_only_the_current_text_can_be_signed(
    agreements: Agreements, gates: Gates, alice: Principal, version: str
) -> None:
    signature = type(SIGNATURE)(version, "Grace", "Officer", "grace@clinic.example")
    with pytest.raises(ValidationFailed) as refused:
        await agreements.accept(alice, signature, ip_address=None)
    assert refused.value.param == "template_version"
    assert not (await gates.get(alice.org_id))[0].open


async def test_a_signature_is_in_the_audit_without_the_signers_name(
    agreements: Agreements, log: AuditLog, alice: Principal
) -> None:
    signed = await agreements.accept(alice, SIGNATURE, ip_address=None)
    entry = await log.get(alice, signed.acceptance.audit_entry_id)
    assert (entry.event.action, entry.event.entity_id) == ("baa.signed", signed.acceptance.id)
    assert entry.event.metadata == {
        "template_version": VERSION,
        "template_sha256": signed.acceptance.template_sha256,
        "pdf_sha256": signed.pdf_sha256,
    }


async def test_a_later_signature_supersedes_the_one_before(
    agreements: Agreements, clock: FrozenClock, alice: Principal
) -> None:
    first = await agreements.accept(alice, SIGNATURE, ip_address=None)
    clock.advance(DAY)
    second = await agreements.accept(alice, SIGNATURE, ip_address=None)
    listed = await agreements.list(alice, before=None, limit=10)
    assert [(judged.acceptance.id, judged.status) for judged in listed] == [
        (second.acceptance.id, Status.ACTIVE),
        (first.acceptance.id, Status.SUPERSEDED),
    ]
    assert await agreements.list(alice, before=second.acceptance.id, limit=10) == listed[1:]
    assert (await agreements.get_acceptance(alice, first.acceptance.id)).status == Status.SUPERSEDED


async def test_another_organization_sees_no_acceptance(
    agreements: Agreements, gates: Gates, alice: Principal, mallory: Principal
) -> None:
    signed = await agreements.accept(alice, SIGNATURE, ip_address=None)
    with pytest.raises(ResourceNotFound):
        await agreements.get_acceptance(mallory, signed.acceptance.id)
    assert await agreements.list(mallory, before=None, limit=10) == []
    assert (await agreements.get(mallory)).status == Status.UNSIGNED
    assert not (await gates.get(mallory.org_id))[0].open


@pytest.mark.parametrize("acceptance_id", ["", "x", "01J0000000000000000000NONE"])
async def test_an_unknown_acceptance_is_not_found(agreements: Agreements, alice: Principal, acceptance_id: str) -> None:
    with pytest.raises(ResourceNotFound):
        await agreements.get_acceptance(alice, acceptance_id)


async def test_a_new_version_of_the_text_supersedes_and_then_closes_the_gate(
    agreements: Agreements, gates: Gates, clock: FrozenClock, alice: Principal, urls: DatabaseUrls
) -> None:
    await agreements.accept(alice, SIGNATURE, ip_address=None)
    with psycopg.connect(urls.owner_url) as owner:
        owner.execute(
            "INSERT INTO baa_templates (version, title, sha256, body_markdown, effective_at, required_from, term_days)"
            " VALUES ('2026-06-01', 'Next', repeat('0', 64), 'next', %s, %s, 365)",
            (NOON + DAY, NOON + 31 * DAY),
        )
    assert (await gates.get(alice.org_id))[0] == Gate(Status.ACTIVE, open=True, closes_at=NOON + 31 * DAY)
    clock.advance(2 * DAY)
    superseded = await agreements.get(alice)
    assert (superseded.status, superseded.template.version) == (Status.SUPERSEDED, "2026-06-01")
    assert superseded.acceptance is not None
    clock.advance(30 * DAY)
    assert (await gates.get(alice.org_id))[0] == Gate(Status.EXPIRED, open=False)
    assert (await agreements.get(alice)).acceptance is None
    signature = type(SIGNATURE)("2026-06-01", "Grace", "Officer", "grace@clinic.example")
    renewed = await agreements.accept(alice, signature, ip_address=None)
    assert renewed.acceptance.expires_at == clock.now() + 365 * DAY
    assert (await gates.get(alice.org_id))[0].open


async def test_a_signature_is_all_there_or_not_at_all(agreements: Agreements, db: Database, alice: Principal) -> None:
    """Signature, counter-signature, audit event and the gate's change are one commit: none is there without the others."""
    with pytest.raises(DataError):
        await agreements.accept(alice, SIGNATURE, ip_address="\x00")
    assert await count(db, "SELECT count(*) FROM baa_acceptances") == 0
    assert await count(db, "SELECT count(*) FROM audit_intake") == 0
    assert await count(db, "SELECT seq FROM watch_state") == 0


@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"],
    ids=["update", "delete", "truncate"],
)
@pytest.mark.parametrize(
    ("table", "column"), [("baa_acceptances", "signer_name"), ("baa_documents", "pdf"), ("baa_templates", "title")]
)
async def test_signatures_and_texts_cannot_be_changed(
    agreements: Agreements, alice: Principal, urls: DatabaseUrls, table: str, column: str, statement: str
) -> None:
    await agreements.accept(alice, SIGNATURE, ip_address=None)
    change = statement.format(table, column, column)
    with psycopg.connect(urls.app_url, options="-c hasp.org_id=*") as app:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(change.encode())
    with psycopg.connect(urls.owner_url, options="-c hasp.org_id=*") as owner:
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            owner.execute(change.encode())
