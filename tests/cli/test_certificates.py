import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from cli.certificates import WORKLOADS, ensure_certificates


def load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_each_workload_is_named_by_its_spiffe_id_and_proven_by_the_authority(tmp_path: Path):
    folder = ensure_certificates(tmp_path / "tls")
    verifier = PolicyBuilder().store(Store([load(folder / "ca.pem")])).build_client_verifier()
    for workload in WORKLOADS:
        certificate = load(folder / f"{workload}.pem")
        verified = verifier.verify(certificate, [])
        assert verified.subjects is not None
        assert x509.UniformResourceIdentifier(f"spiffe://hasp/{workload}") in verified.subjects
        assert x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")) in verified.subjects
        assert certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) < dt.timedelta(days=31)


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path):
    folder = ensure_certificates(tmp_path / "tls")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.glob("*.key")} == {0o600}


def test_what_is_valid_is_kept(tmp_path: Path):
    folder = ensure_certificates(tmp_path / "tls")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    ensure_certificates(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_certificate_of_another_authority_is_replaced(tmp_path: Path):
    folder, other = ensure_certificates(tmp_path / "tls"), ensure_certificates(tmp_path / "other")
    for name in ("billing.pem", "billing.key"):
        (folder / name).write_bytes((other / name).read_bytes())
    ensure_certificates(folder)
    assert load(folder / "billing.pem") != load(other / "billing.pem")
    load(folder / "billing.pem").verify_directly_issued_by(load(folder / "ca.pem"))


def test_a_further_name_makes_new_certificates(tmp_path: Path):
    folder = ensure_certificates(tmp_path / "tls")
    ensure_certificates(folder, ("billing.hasp.svc",))
    names = load(folder / "billing.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "billing.hasp.svc" in names.get_values_for_type(x509.DNSName)
