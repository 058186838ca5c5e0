import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typer.testing import CliRunner

from cli.app import app
from cli.signing_certificates import describe, ensure_signing_certificate
from services.compliance.clients.press.certificates import common_name, load_signing_identity


def test_a_certificate_for_development_is_made_once_and_is_the_keys(tmp_path: Path):
    key = tmp_path / "baa.key"
    file = ensure_signing_certificate(key)
    before = (key.read_bytes(), file.read_bytes())
    assert ensure_signing_certificate(key) == file
    assert (key.read_bytes(), file.read_bytes()) == before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    identity = load_signing_identity(key, file)
    assert identity.is_valid_at(datetime.now(UTC))
    assert not identity.is_valid_at(datetime.now(UTC) - timedelta(days=1))
    assert not identity.is_valid_at(datetime.now(UTC) + timedelta(days=3660))


def test_it_is_for_signing_documents_and_its_authority_for_nothing_else(tmp_path: Path):
    leaf, authority = x509.load_pem_x509_certificates(ensure_signing_certificate(tmp_path / "baa.key").read_bytes())
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment, usage.key_cert_sign) == (True, True, False)
    purposes = [each.dotted_string for each in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]
    assert purposes == ["1.3.6.1.5.5.7.3.36"]
    assert ExtendedKeyUsageOID.SERVER_AUTH.dotted_string not in purposes
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    authority.verify_directly_issued_by(authority)


def test_the_command_prints_what_a_reader_compares_and_what_it_imports(tmp_path: Path):
    (tmp_path / "secrets").mkdir()
    file = ensure_signing_certificate(tmp_path / "secrets" / "baa.key")
    state = {"HASP_STATE_DIR": str(tmp_path)}
    told = CliRunner().invoke(app, ["baa", "certificate"], env=state)
    assert told.exit_code == 0
    assert told.stdout.strip() == describe(file)
    for certificate in x509.load_pem_x509_certificates(file.read_bytes()):
        assert certificate.fingerprint(SHA256()).hex(":").upper() in told.stdout
    printed = CliRunner().invoke(app, ["baa", "certificate", "--pem"], env=state)
    assert printed.stdout.strip() == file.read_text().strip()
    assert "PRIVATE" not in printed.stdout


def rsa_identity(folder: Path, *, bits: int = 2048, usage: bool = True) -> tuple[Path, Path]:
    """A self-signed certificate as an operator may bring it."""
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Agreements"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Inc."),
        ]
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    allowed = x509.KeyUsage(usage, usage, not usage, *[False] * 6)
    certificate = builder.add_extension(allowed, critical=True).sign(key, SHA256())
    files = folder / "rsa.key", folder / "rsa.pem"
    files[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[1].write_bytes(certificate.public_bytes(Encoding.PEM))
    return files


def test_an_rsa_key_with_a_certificate_of_its_own_is_taken(tmp_path: Path):
    identity = load_signing_identity(*rsa_identity(tmp_path))
    assert common_name(identity.certificate.subject) == "Agreements, Example Inc."


def test_what_does_not_fit_is_refused_at_the_start(tmp_path: Path, tls_dir: Path):
    key = tmp_path / "baa.key"
    file = ensure_signing_certificate(key)
    other, others = rsa_identity(tmp_path)
    with pytest.raises(ValueError, match="is not that of"):
        load_signing_identity(other, file)
    leaf = file.read_bytes().split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"
    file.write_bytes(leaf + others.read_bytes())
    with pytest.raises(ValueError, match="issued by the next"):
        load_signing_identity(key, file)
    with pytest.raises(ValueError, match="2048 bits"):
        load_signing_identity(*rsa_identity(tmp_path, bits=1024))
    with pytest.raises(ValueError, match="as one for TLS is"):
        load_signing_identity(tls_dir / "compliance.key", tls_dir / "compliance.pem")
    with pytest.raises(ValueError, match="key usage"):
        load_signing_identity(*rsa_identity(tmp_path, usage=False))
