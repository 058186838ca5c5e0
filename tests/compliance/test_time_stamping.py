"""The client of a time-stamping authority, and every way in which one can misbehave."""

import asyncio
import hashlib
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms, tsp
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import VerifierBuilder, decode_timestamp_response

from services.compliance.clients.time_stamping import NotStamped, TimeStampingAuthority, check_url, load_roots
from tests.compliance.time_stamping import Answer, Identity, authority, identity, reply, with_impossible_certificate

MESSAGE = b"a checkpoint\n1\nof a tree\n"


@pytest.fixture(scope="module")
def trusted() -> Identity:
    return identity()


@pytest.fixture(scope="module")
def other() -> Identity:
    return identity(name="Another authority")


async def test_a_token_stamps_the_message(trusted: Identity) -> None:
    async with authority(trusted.answer) as running:
        token = await TimeStampingAuthority(running.url, [trusted.root]).stamp(MESSAGE)
    query = dict(running.queries[0].native or {})
    assert query["cert_req"] is True
    assert query["nonce"].bit_length() >= 56
    assert query["message_imprint"]["hash_algorithm"]["algorithm"] == "sha256"
    answer = decode_timestamp_response(
        tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(token)}).dump()
    )
    assert VerifierBuilder(roots=[trusted.root]).build().verify_message(answer, MESSAGE)


async def test_openssl_agrees(trusted: Identity, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    async with authority(trusted.answer) as running:
        (tmp_path / "token").write_bytes(await TimeStampingAuthority(running.url).stamp(MESSAGE))
    (tmp_path / "root.pem").write_bytes(trusted.root.public_bytes(Encoding.PEM))
    (tmp_path / "message").write_bytes(MESSAGE)
    command = [openssl, "ts", "-verify", "-token_in", "-in", "token", "-data", "message", "-CAfile", "root.pem"]
    verified = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True, check=False)
    assert verified.returncode == 0, verified.stderr


async def test_it_understands_openssl_s_authority(trusted: Identity, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    running_openssl = _openssl(openssl, trusted, tmp_path)
    async with authority(running_openssl) as running:
        client = TimeStampingAuthority(running.url, [trusted.root])
        assert await client.stamp(MESSAGE)
        assert await client.async_timestamp(hashlib.sha512(MESSAGE).digest(), "sha512")
        with pytest.raises(NotStamped, match="refused, with status 2"):
            await client.async_timestamp(hashlib.sha384(MESSAGE).digest(), "sha384")  # which it is not told to accept


def _openssl(openssl: str, identity: Identity, folder: Path) -> Answer:
    """`openssl ts -reply`."""
    (folder / "key.pem").write_bytes(identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "tsa.pem").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    (folder / "serial").write_text("01\n")
    (folder / "ts.cnf").write_text(
        "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = key.pem\n"
        "signer_digest = sha256\ndefault_policy = 1.2.3.4\ndigests = sha256, sha512\nordering = no\n"
        "tsa_name = yes\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n"
    )

    def answer(req: tsp.TimeStampReq) -> bytes:
        (folder / "query").write_bytes(req.dump())
        command = [openssl, "ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "reply"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        return (folder / "reply").read_bytes()

    return answer


def changing(identity: Identity, **changed: object) -> Answer:
    """It answers to a request in which these fields are others."""

    def answer(req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        asked = tsp.TimeStampReq.load(req.dump())
        for name, value in changed.items():
            asked[name] = value
        return identity.answer(asked)

    return answer


def imprint(algorithm: str, digest: bytes) -> tsp.MessageImprint:
    return tsp.MessageImprint({"hash_algorithm": {"algorithm": algorithm}, "hashed_message": digest})


async def refusal(answer: Answer, *roots: Identity) -> str:
    async with authority(answer) as running:
        with pytest.raises(NotStamped) as refused:
            await TimeStampingAuthority(running.url, [trusted.root for trusted in roots]).stamp(MESSAGE)
    return str(refused.value)


@pytest.mark.parametrize("with_roots", [True, False])
async def test_an_answer_to_another_question_is_not_believed(trusted: Identity, *, with_roots: bool) -> None:
    roots = (trusted,) if with_roots else ()
    digest = hashlib.sha256(b"something else").digest()
    same_length = imprint("sha3_256", hashlib.sha256(MESSAGE).digest())
    assert await refusal(changing(trusted, nonce=5), *roots) == "the authority answered another question"
    assert await refusal(changing(trusted, nonce=None), *roots) == "the authority answered another question"
    for other in (imprint("sha256", digest), imprint("sha512", hashlib.sha512(MESSAGE).digest()), same_length):
        assert await refusal(changing(trusted, message_imprint=other), *roots) == "the authority stamped something else"


async def test_a_policy_that_was_asked_for_is_the_token_s(trusted: Identity) -> None:
    async with authority(trusted.answer) as running:
        client = TimeStampingAuthority(running.url, [trusted.root])
        _, req = client.request_cms(hashlib.sha256(MESSAGE).digest(), "sha256")
        req["req_policy"] = "1.3.6.1.4.1.4146.2.2"
        await client.async_request_tsa_response(req)
        req["req_policy"] = "1.3.6.1.4.1.4146.2.3"
        with pytest.raises(NotStamped, match="another policy"):
            await client.async_request_tsa_response(req)


async def test_a_refusal_and_nonsense_are_no_tokens(trusted: Identity) -> None:
    for status in range(1, 6):
        refused = bytes.fromhex("30053003020100")[:-1] + bytes([status])
        assert await refusal(lambda _, body=refused: body) == f"the authority refused, with status {status}"
    granted_nothing = bytes.fromhex("30053003020100")
    whole = trusted.token(MESSAGE)
    for body in (b"", b"nonsense", granted_nothing, whole, whole[:-1], b"\x30\x80" + b"\x00" * 64, b"\x30" * 5000):
        assert await refusal(lambda _, body=body: body) == "the authority's answer cannot be read"


async def test_only_who_chains_to_the_configured_root_is_believed(trusted: Identity, other: Identity) -> None:
    unbelieved = "the token is not signed by the authority that is configured"
    assert await refusal(other.answer, trusted) == unbelieved
    async with authority(other.answer) as running:
        assert await TimeStampingAuthority(running.url, [trusted.root, other.root]).stamp(MESSAGE)
    expired = identity(since=timedelta(days=3), valid_for=timedelta(days=2))
    assert await refusal(expired.answer, expired) == unbelieved
    for usages in (
        [ExtendedKeyUsageOID.CODE_SIGNING],
        [ExtendedKeyUsageOID.SERVER_AUTH],
    ):
        for_something_else = identity(usages=usages)
        assert await refusal(for_something_else.answer, for_something_else) == unbelieved


async def test_a_token_with_an_impossible_certificate_is_no_token(trusted: Identity) -> None:
    def answer(req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        answered = trusted.answer(req)
        token = with_impossible_certificate(answered["time_stamp_token"].dump())
        return tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(token)})

    assert await refusal(answer, trusted) == "the authority's answer cannot be read"


async def test_an_edited_token_is_not_believed(trusted: Identity) -> None:
    def edited(req: tsp.TimeStampReq) -> bytes:
        answered = trusted.stamper(datetime(2026, 5, 11, 12, tzinfo=UTC)).request_tsa_response(req).dump()
        assert b"20260511120000Z" in answered
        return answered.replace(b"20260511120000Z", b"20250511120000Z")

    assert (await refusal(edited, trusted)).startswith("the token is not signed")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (reply(b"", "500 Internal Server Error"), "the authority answered with HTTP status 500"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "the authority answered with HTTP status 302",
        ),
        (reply(b"<html>", kind="text/html"), "what answered is not a time-stamping authority"),
        (reply(bytes(64 * 1024 + 1)), "the authority's answer is longer than 65536 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\nContent-Length: 9\r\n\r\n1",
            "the authority cannot be reached",
        ),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the authority cannot be reached"),
        (b"", "the authority cannot be reached"),
    ],
)
async def test_what_is_not_the_protocol_is_no_token(trusted: Identity, raw: bytes, reason: str) -> None:
    async with authority(trusted.answer) as running:
        running.raw = raw
        with pytest.raises(NotStamped) as refused:
            await TimeStampingAuthority(running.url).stamp(MESSAGE)
    assert str(refused.value) == reason
    assert len(running.queries) == 1


async def test_who_hangs_is_waited_for_no_longer_than_allowed(trusted: Identity) -> None:
    async with authority(trusted.answer) as running:
        running.hangs = True
        started = time.monotonic()
        with pytest.raises(NotStamped, match="did not answer in time"):
            await TimeStampingAuthority(running.url, seconds=0.3).stamp(MESSAGE)
        assert time.monotonic() - started < 3


async def test_nobody_there_is_no_token(trusted: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    async with authority(trusted.answer) as running:
        monkeypatch.setenv("HTTP_PROXY", running.url)
        secure = running.url.replace("http:", "https:")
        with pytest.raises(NotStamped, match="did not answer in time"):
            await TimeStampingAuthority(secure, seconds=0.4).stamp(MESSAGE)
    with pytest.raises(NotStamped, match="cannot be reached"):
        await TimeStampingAuthority(running.url).stamp(MESSAGE)


async def test_nothing_weaker_than_sha_256_is_asked_for(trusted: Identity) -> None:
    async with authority(trusted.answer) as running:
        with pytest.raises(NotStamped, match="weaker"):
            await TimeStampingAuthority(running.url).async_timestamp(hashlib.sha1(MESSAGE).digest(), "sha1")
    assert running.queries == []


def test_a_url_is_that_of_an_authority() -> None:
    for good in ("http://tsa.example/", "https://tsa.example:8443/stamp?account=5", "http://[::1]:3161"):
        assert check_url(good) == good
    for bad in (
        "",
        "tsa.example",
        "ftp://tsa.example",
        "http://",
        "http:///x",
        "http://a:b@tsa.example",
        "http://tsa.example/#x",
        "http://tsa.example:99999",
        "http://tsa.example/a b",
        "http://tsa.example/\r\n",
        "http://t\u00e4sa.example",
        "http://[::1",
    ):
        with pytest.raises(ValueError) as refused:
            check_url(bad)
        assert "a:b" not in str(refused.value)
    assert TimeStampingAuthority("https://tsa.example/stamp?account=5").name == "https://tsa.example/stamp"


def test_roots_are_certificates_in_pem(trusted: Identity, other: Identity, tmp_path: Path) -> None:
    file = tmp_path / "roots.pem"
    pems = [one.root.public_bytes(Encoding.PEM) for one in (trusted, other)]
    file.write_bytes(b"# two\n" + b"".join(pems))
    assert load_roots(file) == [trusted.root, other.root]
    for bad in (b"", b"nonsense", pems[0][:100], pems[0] + pems[1][:100]):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match="certificate"):
            load_roots(file)
