import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli import audit_keys
from cli.audit_verifier import Keys, NotVerified
from services.chassis.notes import Signer
from services.compliance.clients.signing_keys import load_endorsements, load_signing_key


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = audit_keys.ensure_key(tmp_path / "audit.key")
    first = path.read_bytes()
    assert audit_keys.ensure_key(path).read_bytes() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_endorsements(path.with_name(audit_keys.ENDORSEMENTS)) == []


def test_every_later_key_is_believed_from_the_first(tmp_path: Path) -> None:
    path = audit_keys.ensure_key(tmp_path / "audit.key")
    keys = Keys()
    keys.add(audit_keys.vkey(path, "hasp.example"))
    kept = [audit_keys.rotate(path, "hasp.example")]
    path_of_second = kept[0].rename(tmp_path / "first")
    kept.append(audit_keys.rotate(path, "hasp.example"))
    assert path_of_second.read_bytes() != kept[1].read_bytes() != path.read_bytes()
    endorsements = load_endorsements(path.with_name(audit_keys.ENDORSEMENTS))
    assert len(endorsements) == 2
    signer = Signer("hasp.example/audit/ORG", load_signing_key(path))
    with pytest.raises(NotVerified):
        keys.open(signer.sign("text\n"), signer.name)
    for endorsement in endorsements:
        keys.believe(endorsement, "hasp.example/audit")
    assert keys.open(signer.sign("text\n"), signer.name)[0] == "text\n"


def test_what_a_stranger_signs_makes_no_key_trusted(tmp_path: Path) -> None:
    path, stranger = audit_keys.ensure_key(tmp_path / "audit.key"), audit_keys.ensure_key(tmp_path / "stranger.key")
    keys = Keys()
    keys.add(audit_keys.vkey(path, "hasp.example"))
    audit_keys.rotate(stranger, "hasp.example")
    (endorsement,) = load_endorsements(stranger.with_name(audit_keys.ENDORSEMENTS))
    keys.believe(endorsement, "hasp.example/audit")
    assert len(keys.trusted) == 1


@pytest.mark.parametrize("text", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "audit.key"
    path.write_text(text)
    with pytest.raises(ValueError):
        load_signing_key(path)


def test_a_verifier_key_whose_parts_do_not_belong_together_is_refused() -> None:
    good = Signer("hasp.example/audit", Ed25519PrivateKey.generate()).vkey
    for bad in ("", "name", "name+00000000+AAAA", good.replace("hasp", "gasp"), good[:-2]):
        with pytest.raises(ValueError):
            Keys().add(bad)


def test_a_file_of_keys_is_read_and_what_is_no_key_is_said_so(tmp_path: Path) -> None:
    first, second = (
        Signer(f"{name}/audit", Ed25519PrivateKey.generate()).vkey for name in ("one.example", "two.example")
    )
    pinned = tmp_path / "trusted"
    pinned.write_text(f"# operators\n{first}\n\n{second}\n")
    keys = Keys()
    keys.add_all(pinned)
    assert [name for name, _ in keys.trusted] == ["one.example/audit", "two.example/audit"]
    pinned.write_text("hello\n")
    with pytest.raises(ValueError, match=r"NAME\+ID\+KEY"):
        keys.add_all(pinned)
