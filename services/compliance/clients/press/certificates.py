"""The operator's key and certificate for signing documents. Like the audit key they are files: who can write the database cannot sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LEAST_RSA_BITS = 2048
# Where a certificate names purposes, readers of PDF want one of these: RFC 9336, Microsoft's and Adobe's own, mail, any.
_PURPOSES = {
    "1.3.6.1.5.5.7.3.36",
    "1.3.6.1.4.1.311.10.3.12",
    "1.2.840.113583.1.1.5",
    ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string,
}


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """`chain` begins with the certificate of the key; each further one issued the one before it."""

    key: RSAPrivateKey | EllipticCurvePrivateKey
    chain: Sequence[x509.Certificate]

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, hex."""
        return self.certificate.fingerprint(SHA256()).hex()

    def is_valid_at(self, at: datetime) -> bool:
        """Whether every certificate of the chain is within its time."""
        return all(each.not_valid_before_utc <= at <= each.not_valid_after_utc for each in self.chain)


def load_signing_identity(key_file: Path, certificate_file: Path) -> SigningIdentity:
    """From PEM: an unencrypted RSA or EC key, and its certificate with those above it. Raises ValueError where they do not fit."""
    key = load_pem_private_key(key_file.read_bytes(), None)
    chain = x509.load_pem_x509_certificates(certificate_file.read_bytes())
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise ValueError(f"{key_file}: expected an RSA or EC key")  # noqa: TRY004 - what is wrong is the file's content
    if isinstance(key, RSAPrivateKey) and key.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"{key_file}: an RSA key has {_LEAST_RSA_BITS} bits at least")
    if _public(key.public_key()) != _public(chain[0].public_key()):
        raise ValueError(f"{certificate_file}: the first certificate is not that of {key_file}")
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, ValueError):
            raise ValueError(f"{certificate_file}: each certificate is issued by the next") from None
    if not _signs_documents(chain[0]):
        raise ValueError(f"{certificate_file}: the certificate's key usage does not allow to sign documents")
    if not _is_for_documents(chain[0]):
        raise ValueError(f"{certificate_file}: the certificate is for other purposes than documents, as one for TLS is")
    return SigningIdentity(key, chain)


def common_name(name: x509.Name) -> str:
    """The common name, and the organization where there is one; the whole name without either."""
    parts = [
        str(attribute.value)
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        for attribute in name.get_attributes_for_oid(oid)
    ]
    return ", ".join(parts) or name.rfc4514_string()


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]


def _signs_documents(certificate: x509.Certificate) -> bool:
    """Readers of PDF ask for non-repudiation (now content commitment) or digital signature (RFC 5280 §4.2.1.3)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.content_commitment or usage.digital_signature


def _is_for_documents(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(purpose.dotted_string in _PURPOSES for purpose in purposes)
