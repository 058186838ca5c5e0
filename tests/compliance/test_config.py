"""What of a time-stamping authority is configured is right from the start, or the process does not start."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from services.chassis import process
from services.compliance.config import Settings
from tests.compliance.time_stamping import identity


@pytest.fixture
def _others(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        if field.is_required():
            monkeypatch.setenv(str(field.validation_alias), "x")


def told(monkeypatch: pytest.MonkeyPatch, url: str, certificate_file: str) -> Settings | str:
    """The settings, or the sentence with which the process ends."""
    monkeypatch.setenv("HASP_TSA_URL", url)
    monkeypatch.setenv("HASP_TSA_CERTIFICATE_FILE", certificate_file)
    try:
        return process.load(Settings)
    except SystemExit as ended:
        return str(ended.code)


@pytest.mark.usefixtures("_others")
def test_an_authority_is_optional_and_checked_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    roots, nonsense = tmp_path / "roots.pem", tmp_path / "nonsense.pem"
    roots.write_bytes(identity().root.public_bytes(Encoding.PEM))
    nonsense.write_text("nonsense")
    for url, certificate_file in (("", ""), ("https://tsa.example/", ""), ("https://tsa.example/", str(roots))):
        settings = told(monkeypatch, url, certificate_file)
        assert isinstance(settings, Settings), settings
        assert (settings.tsa_url, settings.tsa_certificate_file) == (
            url or None,
            Path(certificate_file) if certificate_file else None,
        )
    for url, certificate_file, name in (
        ("tsa.example", "", "HASP_TSA_URL"),
        ("https://user:secret@tsa.example", "", "HASP_TSA_URL"),
        ("https://tsa.example", str(nonsense), "HASP_TSA_CERTIFICATE_FILE"),
        ("https://tsa.example", str(tmp_path / "missing.pem"), "HASP_TSA_CERTIFICATE_FILE"),
        ("", str(roots), "HASP_TSA_CERTIFICATE_FILE"),
    ):
        ending = told(monkeypatch, url, certificate_file)
        assert isinstance(ending, str)
        assert [line.split(":")[0].strip() for line in ending.splitlines()[1:]] == [name]
        assert "secret" not in ending
