"""The operator's certificate for signing documents: one for development made at the first start, and what readers are to trust of any."""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from cli.state import write_private

CERTIFICATE = "baa.pem"
"""Beside the key `baa.key`: the certificate, then the one that issued it. It is public."""

_DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336
_LIFE = dt.timedelta(days=3650)
_CLOCK_SKEW = dt.timedelta(minutes=5)


def ensure_signing_certificate(key_file: Path, *, now: dt.datetime | None = None) -> Path:
    """An EC key as PKCS #8 PEM and its certificate beside it, for ten years; what exists is kept. Returns the certificate's file.

    The authority signs this once and its key is forgotten: nobody can issue another certificate that its readers would trust.
    """
    certificate_file = key_file.with_name(CERTIFICATE)
    if key_file.exists() and certificate_file.exists():
        return certificate_file
    now = now or dt.datetime.now(dt.UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Hasp development signing CA", authority_key.public_key(), now, is_authority=True)
    leaf = _certificate("Hasp development signing certificate", key.public_key(), now, is_authority=False)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hasp development signing CA")])
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    signed = [
        leaf.issuer_name(issuer).add_extension(issued_by, critical=False).sign(authority_key, hashes.SHA256()),
        authority.issuer_name(issuer).sign(authority_key, hashes.SHA256()),
    ]
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key_file, plain.decode())
    write_private(certificate_file, "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in signed))
    return certificate_file


def describe(certificate_file: Path) -> str:
    """What a reader compares: for each certificate its name, its time, and its SHA-256 fingerprint as PDF readers show it."""
    chain = x509.load_pem_x509_certificates(certificate_file.read_bytes())
    return "\n".join(_described(each) for each in chain)


def _described(certificate: x509.Certificate) -> str:
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        f"{certificate.subject.rfc4514_string()}\n  valid {begins:%Y-%m-%d} to {ends:%Y-%m-%d}\n  SHA-256 {fingerprint}"
    )


def _certificate(
    name: str, public_key: ec.EllipticCurvePublicKey, now: dt.datetime, *, is_authority: bool
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_authority,
                content_commitment=not is_authority,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if is_authority:
        return builder
    return builder.add_extension(x509.ExtendedKeyUsage([_DOCUMENT_SIGNING]), critical=False)
