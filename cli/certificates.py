"""A development certificate authority and one certificate per workload, so that nothing ever talks without mTLS.

Workloads are known by the SPIFFE id in their certificate's URI name, never by host name.
"""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.state import private_folder, write_private

WORKLOADS = ("edge", "identity", "inference", "compliance", "billing", "cli")
_AUTHORITY_LIFE = dt.timedelta(days=3650)
_LEAF_LIFE = dt.timedelta(days=30)
_RENEW_BEFORE = dt.timedelta(days=10)
_CLOCK_SKEW = dt.timedelta(minutes=5)


def ensure_certificates(folder: Path, names: tuple[str, ...] = ()) -> Path:
    """`ca.pem`, and `<workload>.pem` and `<workload>.key` for every workload; what is valid for ten days yet is kept.

    `names` are further DNS names that the certificates carry beside localhost: the services' names in a container
    network. Returns the folder.
    """
    private_folder(folder)
    authority, key = _authority(folder)
    for workload in WORKLOADS:
        if not _is_current(folder / f"{workload}.pem", authority, {"localhost", workload, *names}):
            _issue(folder, workload, authority, key, names)
    return folder


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    if certificate_file.exists() and key_file.exists():
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and certificate.not_valid_after_utc - _now() > 2 * _LEAF_LIFE:
            return certificate, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hasp development CA")])
    certificate = (
        _builder(name, key.public_key(), _AUTHORITY_LIFE)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(certificate_file, key_file, certificate, key)
    return certificate, key


def _issue(
    folder: Path,
    workload: str,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    dns_names = sorted({"localhost", workload, *names})
    certificate = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, workload)]), key.public_key(), _LEAF_LIFE)
        .issuer_name(authority.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.UniformResourceIdentifier(f"spiffe://hasp/{workload}"),
                    *(x509.DNSName(name) for name in dns_names),
                    x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write(folder / f"{workload}.pem", folder / f"{workload}.key", certificate, key)


def _builder(subject: x509.Name, public_key: ec.EllipticCurvePublicKey, life: dt.timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _CLOCK_SKEW)
        .not_valid_after(_now() + life)
    )


def _is_current(file: Path, authority: x509.Certificate, names: set[str]) -> bool:
    if not file.exists() or not file.with_suffix(".key").exists():
        return False
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    return certificate.not_valid_after_utc - _now() > _RENEW_BEFORE and names <= set(
        alternatives.get_values_for_type(x509.DNSName)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    certificate_file: Path, key_file: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key_file, plain.decode())
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM).decode())


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
