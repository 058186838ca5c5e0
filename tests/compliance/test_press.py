"""The document itself, read by others than who made it: pypdf reads the text, pyHanko and OpenSSL judge the signature."""

import asyncio
import hashlib
import io
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from pypdf import PdfReader
from pypdf.generic import Destination

from cli.signing_certificates import ensure_signing_certificate
from services.chassis.errors import ServiceUnavailable
from services.compliance.clients.press.certificates import SigningIdentity
from services.compliance.clients.press.press import Press
from services.compliance.domain.agreements import Acceptance, Template
from services.compliance.domain.clauses import Heading, Paragraph, parse
from services.compliance.domain.documents import document
from tests.compliance.support import NOON, VERSION

TEXTS = Path(__file__).resolve().parents[2] / "services" / "compliance" / "templates"
BODY = (TEXTS / f"{VERSION}.md").read_text(encoding="utf-8")
HOUR = timedelta(hours=1)
CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
"""The identifier of the first signed attribute."""


def template(body: str = BODY) -> Template:
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    return Template(VERSION, "Business Associate Agreement", sha256, body, NOON, NOON, None)


def acceptance(of: Template, **changed: str | datetime | None) -> Acceptance:
    signed = Acceptance(
        id="01KRBF4B00ACCEPTANCE000000",
        org_id="01KRBF4B00ORGANXZATXN00000",
        template_version=of.version,
        template_sha256=of.sha256,
        signer_name="Grace Harper",
        signer_title="Compliance Officer",
        signer_email="grace@clinic.example",
        signed_at=NOON,
        countersigned_at=NOON,
        countersigned_by="Otto Operator",
        effective_at=NOON,
        expires_at=None,
        ip_address="203.0.113.7",
        audit_entry_id="01KRBF4B00AUDXT00000000000",
    )
    return replace(signed, **changed)


async def made(press: Press, body: str = BODY, **changed: str | datetime | None) -> bytes:
    text = template(body)
    return await press.make(
        document(
            text, acceptance(text, **changed), organization="Example Clinic", deployment="hasp.example", made_at=NOON
        )
    )


@pytest.fixture(scope="module")
def pdf(press: Press) -> bytes:
    return asyncio.run(made(press))


def pages(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf), strict=True).pages]


def squeezed(text: str) -> str:
    """Without white space: where lines and pages break says nothing."""
    return re.sub(r"\s", "", text)


async def validated(pdf: bytes, root: asn1_x509.Certificate, at: datetime = NOON + HOUR) -> PdfSignatureStatus:
    [signature] = PdfFileReader(io.BytesIO(pdf), strict=True).embedded_signatures
    context = ValidationContext(trust_roots=[root], moment=at, allow_fetching=False)
    return await async_validate_pdf_signature(signature, context)


@pytest.fixture
def root(identity: SigningIdentity) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(identity.chain[-1].public_bytes(Encoding.DER))


def test_every_clause_is_in_it_in_order(pdf: bytes) -> None:
    feet = re.compile(r"Business Associate Agreement\s*Page \d+ of \d+\s*Version \S+\s+·\s+Acceptance \S+")
    read = squeezed("\n".join(feet.sub("", page) for page in pages(pdf)))
    expected = "".join(block.text if isinstance(block, Heading) else block.label + block.text for block in parse(BODY))
    assert read.startswith(squeezed(expected))
    # What parse gives is the whole text: nothing but Markdown's own marks is gone from it.
    assert squeezed(expected) == squeezed(re.sub(r"^#+ |\*", "", BODY, flags=re.MULTILINE))


def test_every_page_says_which_it_is_and_of_what(pdf: bytes) -> None:
    read = pages(pdf)
    assert len(read) > 3
    for number, text in enumerate(read, 1):
        assert f"Page {number} of {len(read)}" in text
        assert f"Version {VERSION}" in text
        assert "01KRBF4B00ACCEPTANCE000000" in text


def test_the_last_page_is_the_record_of_both_signatures(pdf: bytes, identity: SigningIdentity) -> None:
    record = pages(pdf)[-1]
    for said in (
        "Signatures",
        "Example Clinic",
        "01KRBF4B00ORGANXZATXN00000",
        "Grace Harper",
        "Compliance Officer",
        "grace@clinic.example",
        "May 11, 2026, 12:00:00 UTC",
        "203.0.113.7",
        "Otto Operator",
        "hasp.example",
        template().sha256,
        "no fixed date",
        identity.fingerprint,
    ):
        assert said in record, said
    assert "U+" not in record


async def test_a_term_and_a_missing_address_are_said(press: Press) -> None:
    record = pages(await made(press, expires_at=NOON + timedelta(days=365), ip_address=None))[-1]
    assert "May 11, 2027, 12:00:00 UTC" in record
    assert "not recorded" in record


def test_a_reader_is_told_title_language_and_outline(pdf: bytes) -> None:
    read = PdfReader(io.BytesIO(pdf), strict=True)
    assert read.metadata is not None
    assert read.metadata.title == f"Business Associate Agreement, version {VERSION}"
    assert read.metadata.creation_date == NOON
    assert read.root_object["/Lang"] == "en-US"
    preferences: Any = read.root_object["/ViewerPreferences"]
    assert preferences["/DisplayDocTitle"]
    assert read.pdf_header == "%PDF-1.7"
    outline = [entry for entry in _flat(read.outline) if isinstance(entry, Destination)]
    headings = [block.text for block in parse(BODY) if isinstance(block, Heading)]
    assert [entry.title for entry in outline] == [*headings, "Signatures"]
    for entry in outline:
        number = read.get_destination_page_number(entry)
        assert number is not None
        assert squeezed(str(entry.title)) in squeezed(pages(pdf)[number])


def _flat(outline: Sequence[Any]) -> list[Any]:
    return [each for entry in outline for each in (_flat(entry) if isinstance(entry, list) else [entry])]


def test_every_typeface_is_embedded_and_cut_down(pdf: bytes) -> None:
    fonts: dict[str, Any] = {}
    for page in PdfReader(io.BytesIO(pdf)).pages:
        resources: Any = page["/Resources"]
        for font in resources["/Font"].values():
            set_ = font.get_object()
            fonts[set_["/BaseFont"]] = set_["/DescendantFonts"][0].get_object()["/FontDescriptor"]
    assert len(fonts) == 4
    for name, descriptor in fonts.items():
        assert re.match(r"/[A-Z]{6}\+", name)
        assert "/FontFile2" in descriptor.get_object()
    assert len(pdf) < 100_000


NAMES = {
    "Greek": "Ελένη Παπαδοπούλου",
    "Cyrillic": "Оксана Шевченко",
    "Arabic": "محمد الأحمد",
    "Hebrew": "שרה כהן",
    "Devanagari": "अमित शर्मा",
    "Georgian": "გიორგი ბერიძე",
    "Thai": "สมชาย ใจดี",
    "Vietnamese": "Nguyễn Thị Ánh",
    "marks of their own": "x̱ q̃ Ṩ",
    "signs": "Smith ♥ Sons ∑",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_a_name_is_printed_in_its_own_script(press: Press, name: str) -> None:
    record = pages(await made(press, signer_name=name))[-1]
    assert "U+" not in record
    assert "\N{REPLACEMENT CHARACTER}" not in record
    # A reader may see the letters of a right-to-left name in either order, or composed; none may be missing.
    letters = {character for character in name if character.isalpha()}
    assert letters - set(record) <= {"्"}


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("张伟", "U+5F20 U+4F1F"),
        ("张伟 Zhang Wei", "U+5F20 U+4F1F Zhang Wei"),
        ("Արամ", "U+0531 U+0580 U+0561 U+0574"),
        ("Z" + "\u0338\u0322\u031b\u035a\u0323\u0309x", "U+0323 U+0309 x"),
    ],
    ids=["Chinese", "mixed", "Armenian", "a tower of marks"],
)
async def test_a_character_that_cannot_be_printed_is_named(press: Press, name: str, printed: str) -> None:
    record = " ".join(pages(await made(press, signer_name=name))[-1].split())
    assert printed in record
    assert "stand for the Unicode character with that code point" in record


HOSTILE = [
    "](javascript:alert(1))",
    "[pay](https://evil.example)",
    "<b>x</b><a href='#'>y</a>",
    "**bold** __under__ --struck--",
    "{nb} of {nb}",
    "\\n \\textbf %(ts)s %s",
    "(Tj) Tj ET Q >> endobj",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_a_person_typed_is_printed_as_it_is(press: Press, text: str) -> None:
    pdf = await made(press, signer_name=text, signer_title=text)
    assert squeezed(pages(pdf)[-1]).count(squeezed(text)) == 2
    links = [annotation for page in PdfReader(io.BytesIO(pdf)).pages for annotation in page.get("/Annots", [])]
    assert [annotation.get_object()["/Subtype"] for annotation in links] == ["/Widget"]


@pytest.mark.parametrize(
    "text",
    ["x" * 200, "W" * 200, "word " * 39 + "end", "م" * 200, "张" * 200],
    ids=["x", "W", "words", "Arabic", "Chinese"],
)
async def test_a_long_name_stays_on_the_page(press: Press, text: str) -> None:
    pdf = await made(press, signer_name=text, signer_title=text, signer_email=f"{'a' * 64}@{'b' * 180}.example")
    rightmost = 0.0

    def visit(printed: str, _: object, matrix: list[float], font: object, size: float) -> None:
        nonlocal rightmost
        if printed.strip():
            rightmost = max(rightmost, matrix[4])

    for page in PdfReader(io.BytesIO(pdf)).pages:
        page.extract_text(visitor_text=visit)
        left, bottom, right, top = page.mediabox
        for annotation in page.get("/Annots", []):
            box = [float(edge) for edge in annotation.get_object()["/Rect"]]
            assert left < box[0] < box[2] < right
            assert bottom < box[1] < box[3] < top
    assert 0 < rightmost < 534
    read = squeezed("".join(pages(pdf)))
    assert f"{'a' * 64}@{'b' * 180}.example" in read
    if text.isascii():
        assert read.count(squeezed(text)) == 2


async def test_a_long_record_goes_on_to_another_page(press: Press, root: asn1_x509.Certificate) -> None:
    pdf = await made(press, signer_name="张" * 200, signer_title="伟" * 200, signer_email="x@clinic.example")
    assert len(pages(pdf)) > 6
    assert (await validated(pdf, root)).bottom_line


async def test_the_signature_is_judged_valid_by_who_trusts_the_operators_root(
    pdf: bytes, root: asn1_x509.Certificate
) -> None:
    status = await validated(pdf, root)
    assert status.bottom_line
    assert status.intact
    assert status.valid
    assert status.trusted
    assert status.coverage is SignatureCoverageLevel.ENTIRE_FILE
    assert status.signer_reported_dt == NOON
    assert status.timestamp_validity is None


async def test_it_is_a_pades_signature_that_allows_no_change(pdf: bytes) -> None:
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
    assert signature.docmdp_level is not None
    assert signature.docmdp_level.value == 1
    signed = {attribute["type"].native for attribute in signature.signer_info["signed_attrs"]}
    assert {"signing_certificate_v2", "message_digest", "content_type"} <= signed
    assert "signing_time" not in signed  # ETSI EN 319 142-1 §6.3
    left, bottom, right, top = (float(edge) for edge in signature.sig_field["/Rect"])
    assert right - left > 200
    assert top - bottom > 50


async def test_another_root_does_not_trust_it(pdf: bytes, tmp_path: Path) -> None:
    other = ensure_signing_certificate(tmp_path / "baa.key", now=NOON - HOUR).read_bytes()
    *_, (_, _, der) = pem.unarmor(other, multiple=True)
    status = await validated(pdf, asn1_x509.Certificate.load(der))
    assert status.intact
    assert not status.trusted
    assert not status.bottom_line


def signed_range(pdf: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    """What is signed, the CMS object, and where in the file it stands."""
    found = re.search(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]", pdf)
    assert found
    start, length, later, rest = (int(number) for number in found.groups())
    assert (start, later + rest) == (0, len(pdf))
    gap = pdf[length:later]
    assert (gap[:1], gap[-1:]) == (b"<", b">")
    return pdf[:length] + pdf[later:], bytes.fromhex(gap[1:-1].decode()), (length, later)


async def test_any_changed_byte_is_detected(pdf: bytes, identity: SigningIdentity, root: asn1_x509.Certificate) -> None:
    _, _, (begin, end) = signed_range(pdf)
    covered = [*range(0, begin, max(1, begin // 40)), begin - 1, *range(end, len(pdf), 200), len(pdf) - 1]
    for place in covered:
        changed = bytearray(pdf)
        changed[place] ^= 1
        assert not await _is_valid(bytes(changed), root), place
    # Of the CMS object: the certificate, then the signed attributes and the signature. Its labels are signed by nobody (RFC 5652), and
    # what fills its place up neither: of those the file's hash in the acceptance and in the audit log speaks alone.
    cms, certificate = signed_range(pdf)[1], identity.certificate.public_bytes(Encoding.DER)
    start, attributes = cms.index(certificate), cms.index(CONTENT_TYPE)
    for offset in (*range(start, start + len(certificate), 13), *range(attributes, len(cms.rstrip(b"\0")), 5)):
        changed, place = bytearray(pdf), begin + 1 + 2 * offset
        changed[place] = ord("0") if changed[place] != ord("0") else ord("1")
        assert not await _is_valid(bytes(changed), root), offset


async def _is_valid(pdf: bytes, root: asn1_x509.Certificate) -> bool:
    try:
        status = await validated(pdf, root)
    except Exception:  # noqa: BLE001 - what cannot be read is not valid, whatever the reader says of it
        return False
    return status.bottom_line and status.coverage is SignatureCoverageLevel.ENTIRE_FILE


async def test_what_is_appended_is_detected(pdf: bytes, root: asn1_x509.Certificate) -> None:
    assert not await _is_valid(pdf + b"\n% more\n", root)
    output = io.BytesIO()
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    writer.root["/Lang"] = writer.root["/Lang"]
    writer.update_root()
    writer.write(output)
    assert not await _is_valid(output.getvalue(), root)


async def test_openssl_finds_the_signature_good(pdf: bytes, identity: SigningIdentity, tmp_path: Path) -> None:
    """A second opinion, by nothing that made the document: the bytes that the file names, the CMS object in it, and the root."""
    content, cms, _ = signed_range(pdf)
    for name, data in (
        ("content", content),
        ("cms", cms),
        ("root", identity.chain[-1].public_bytes(Encoding.PEM)),
    ):
        (tmp_path / name).write_bytes(data)

    def verify() -> subprocess.CompletedProcess[bytes]:
        command = "openssl cms -verify -cades -binary -inform DER -in cms -content content -CAfile root -purpose any -out /dev/null"
        moment = str(int((NOON + HOUR).timestamp()))
        return subprocess.run(
            [*command.split(), "-attime", moment], cwd=tmp_path, capture_output=True, check=False, timeout=20
        )

    good = verify()
    assert good.returncode == 0, good.stderr
    (tmp_path / "content").write_bytes(content.replace(b"/Lang", b"/Lung", 1))
    assert verify().returncode != 0


@pytest.mark.skipif(shutil.which("pdfsig") is None, reason="poppler's pdfsig is not on this machine")
def test_pdfsig_finds_the_signature_good(pdf: bytes, tmp_path: Path) -> None:
    (tmp_path / "document.pdf").write_bytes(pdf)
    told = subprocess.run(
        ["pdfsig", "-nocert", "document.pdf"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20
    ).stdout
    assert "Signature is Valid" in told
    assert "Total document signed" in told


@pytest.mark.parametrize("at", [datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)])
async def test_a_certificate_out_of_its_time_signs_nothing(press: Press, at: datetime) -> None:
    text = template()
    with pytest.raises(ServiceUnavailable, match="certificate is not valid"):
        await press.make(
            document(text, acceptance(text), organization="Example Clinic", deployment="hasp.example", made_at=at)
        )


async def test_a_text_of_any_length_is_set(press: Press) -> None:
    body = "# T\n\n" + "\n\n".join(f"{n}.1 {'word ' * (n % 60)}end:\n\n- item {n}" for n in range(1, 400))
    read = pages(await made(press, body))
    assert len(read) > 15
    text = squeezed("".join(read))
    assert all(f"{n}.1" in text and f"item{n}" in text for n in range(1, 400))


@pytest.mark.parametrize(
    "body",
    [path.read_text(encoding="utf-8") for path in sorted(TEXTS.glob("*.md"))],
    ids=lambda body: body.split("\n")[2],
)
async def test_every_template_can_be_set(press: Press, body: str) -> None:
    blocks = parse(body)
    assert isinstance(blocks[0], Heading)
    assert any(isinstance(block, Paragraph) and block.label for block in blocks)
    assert len(pages(await made(press, body))) > 2


async def test_a_text_in_letters_that_cannot_be_set_is_refused(press: Press) -> None:
    with pytest.raises(ValueError, match="typeface"):
        await made(press, "# Vertrag\n\n1.1 契約\n")


def operators_own(key: rsa.RSAPrivateKey) -> SigningIdentity:
    """An RSA key, with an authority between its certificate and the root."""
    keys: list[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = [
        key,
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("Agreements", "Issuing CA", "Root")
    ]
    chain = []
    for place, (own, name) in enumerate(zip(keys, names, strict=True)):
        above = min(place + 1, 2)
        usage = [place == 0, place == 0, False, False, False, place > 0, place > 0, False, False]
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(names[above]).public_key(own.public_key())
        builder = builder.serial_number(place + 1).not_valid_before(NOON - HOUR).not_valid_after(NOON + HOUR * 24)
        builder = builder.add_extension(x509.BasicConstraints(ca=place > 0, path_length=None), critical=True)
        chain.append(builder.add_extension(x509.KeyUsage(*usage), critical=True).sign(keys[above], SHA256()))
    return SigningIdentity(key, chain)


async def test_an_operators_own_rsa_key_and_its_chain_sign() -> None:
    own = operators_own(rsa.generate_private_key(65537, 3072))
    pdf = await made(Press(own))
    root = asn1_x509.Certificate.load(own.chain[-1].public_bytes(Encoding.DER))
    status = await validated(pdf, root)
    assert status.bottom_line
    assert status.pkcs7_signature_mechanism == "sha384_rsa"
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    assert [each.subject.native["common_name"] for each in signature.other_embedded_certs] == ["Issuing CA"]
    assert "Issuing CA" in pages(pdf)[-1]
