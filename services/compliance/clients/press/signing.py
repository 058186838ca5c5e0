"""Signs a PDF: PAdES B-B (ETSI EN 319 142-1), B-T where a time-stamping authority is configured. By pyHanko."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import IO

from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.content import RawContent
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.signers.pdf_byterange import PreparedByteRangeDigest
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.signers.pdf_signer import PdfTBSDocument
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.stamp import StaticStampStyle
from pyhanko_certvalidator.registry import SimpleCertificateStore

from services.compliance.clients.press.certificates import SigningIdentity
from services.compliance.clients.press.typesetting import Typeset

FIELD = "Operator"
_REASON = "Countersigned for the Business Associate"
# Of the CMS object beside certificates and time stamp: a signature of 4096 bits and its attributes take less.
_ATTRIBUTES, _TOKEN = 2048, 16 * 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document with room for its signature, and what is to be signed of it."""

    digest: PreparedByteRangeDigest
    document: PdfTBSDocument
    output: IO[bytes]


def prepare(typeset: Typeset, identity: SigningIdentity, timestamper: TimeStamper | None, at: datetime) -> Prepared:
    """Tens of milliseconds of work. `at` is the time of signing that the document claims."""
    seal = typeset.seal
    signer = PdfSigner(
        # A certification that allows no change: whatever is appended to the file is a violation that readers show.
        PdfSignatureMetadata(
            field_name=FIELD,
            subfilter=SigSeedSubFilter.PADES,
            reason=_REASON,
            certify=True,
            docmdp_permissions=MDPPerm.NO_CHANGES,
        ),
        _signer(identity),
        timestamper=timestamper,
        # What the signature says is set in the page already; the field only lies over it.
        stamp_style=StaticStampStyle(border_width=0, background=RawContent(b""), background_opacity=0.0),
        new_field_spec=SigFieldSpec(FIELD, on_page=seal.page - 1, box=(seal.left, seal.bottom, seal.right, seal.top)),
    )
    session = signer.init_signing_session(IncrementalPdfFileWriter(BytesIO(typeset.pdf)))
    session.system_time = at
    certificates = sum(len(each.public_bytes(Encoding.DER)) for each in identity.chain)
    room = certificates + _ATTRIBUTES + (_TOKEN if timestamper else 0)
    # It is written in hexadecimal: two bytes for each.
    document = session.prepare_tbs_document(validation_info=None, bytes_reserved=2 * room)
    digest, output = document.digest_tbs_document()
    return Prepared(digest, document, output)


async def sign(prepared: Prepared) -> bytes:
    """Milliseconds of work, and one question to the time-stamping authority. Raises NotStamped."""
    # PAdES forbids the signed attribute of the time (EN 319 142-1 §6.3): the signature dictionary has it.
    await prepared.document.perform_signature(
        prepared.digest.document_digest, PdfCMSSignedAttributes(signing_time=None)
    )
    prepared.output.seek(0)
    return prepared.output.read()


def _signer(identity: SigningIdentity) -> SimpleSigner:
    certificate, *others = (asn1_x509.Certificate.load(each.public_bytes(Encoding.DER)) for each in identity.chain)
    key = identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SimpleSigner(
        signing_cert=certificate,
        signing_key=asn1_keys.PrivateKeyInfo.load(key),
        cert_registry=SimpleCertificateStore.from_certs(others),
        embed_roots=False,  # a reader has the root from elsewhere, or does not trust it
    )
