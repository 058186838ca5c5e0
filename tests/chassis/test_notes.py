import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.notes import Signer
from tests.notes import text_of

# The example of golang.org/x/mod/sumdb/note, whose format this is.
PETER_SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def peter() -> Signer:
    seed = base64.b64decode(PETER_SKEY.split("+", 4)[4])[1:]
    return Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(seed))


def test_a_note_is_that_of_the_format_s_first_implementation() -> None:
    signer = peter()
    assert signer.vkey == PETER_VKEY
    assert signer.sign(PETER_TEXT) == f"{PETER_TEXT}\n{PETER_LINE}"


def test_what_was_signed_is_read_back_and_nothing_else() -> None:
    signer = Signer("hasp.example/audit/1", Ed25519PrivateKey.generate())
    note = signer.sign("origin\n7\nroot\n")
    assert text_of(note, signer.vkey) == "origin\n7\nroot\n"
    with pytest.raises(InvalidSignature):
        text_of(note.replace("\n7\n", "\n8\n", 1), signer.vkey)
    with pytest.raises(ValueError, match="not signed by this key"):
        text_of(note, Signer("hasp.example/audit/1", Ed25519PrivateKey.generate()).vkey)


@pytest.mark.parametrize("name", ["", "with blank", "with+plus", "with\nline"])
def test_a_name_that_no_note_can_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Signer(name, Ed25519PrivateKey.generate())


def test_a_text_ends_in_a_newline() -> None:
    with pytest.raises(ValueError, match="newline"):
        peter().sign("no end")
