"""A time-stamping authority behind a real HTTP server: its protocol is the real one, and it misbehaves when it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asn1crypto import cms, keys, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

Answer = Callable[[tsp.TimeStampReq], tsp.TimeStampResp | bytes]
"""What an authority says to a request: the response, or the bytes of one."""


@dataclass(frozen=True)
class Identity:
    """A key, its certificate, and the root that it chains to, through others that a token holds."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    root: x509.Certificate
    between: tuple[x509.Certificate, ...] = ()

    def stamper(self, at: datetime | None = None) -> DummyTimeStamper:
        raw = self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        certificate, *between = (
            asn1_x509.Certificate.load(one.public_bytes(Encoding.DER)) for one in (self.certificate, *self.between)
        )
        held = SimpleCertificateStore.from_certs(between)
        return DummyTimeStamper(certificate, keys.PrivateKeyInfo.load(raw), held, fixed_dt=at or datetime.now(UTC))

    def answer(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        return self.stamper().request_tsa_response(req)

    def token(self, message: bytes, at: datetime | None = None, algorithm: str = "sha256") -> bytes:
        """One that was asked for without a network."""
        stamper = self.stamper(at)
        digest = hashes.Hash({"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}[algorithm])
        digest.update(message)
        _, req = stamper.request_cms(digest.finalize(), algorithm)
        return stamper.request_tsa_response(req)["time_stamp_token"].dump()


def with_impossible_certificate(token: bytes) -> bytes:
    """The same with one more certificate, of a version of X.509 that there is not. Nothing signs what certificates a token holds."""
    extra = identity().certificate.public_bytes(Encoding.DER)
    version = extra.index(bytes.fromhex("a003020102")) + 4
    changed = asn1_x509.Certificate.load(extra[:version] + b"\x09" + extra[version + 1 :])
    content = cms.ContentInfo.load(token)
    held = [*content["content"]["certificates"], cms.CertificateChoices("certificate", changed)]
    content["content"]["certificates"] = cms.CertificateSet(held)
    return content.dump(force=True)


def identity(
    *,
    name: str = "Time stamps for tests",
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.TIME_STAMPING,),
    valid_for: timedelta = timedelta(days=30),
    since: timedelta = timedelta(days=1),
) -> Identity:
    """Of an authority under a root of its own, valid from `since` ago, for `valid_for` from then on."""
    start = datetime.now(UTC) - since
    root_key, key = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
    issuer, subject = _named(f"{name}: root"), _named(name)
    root = (
        _certificate(issuer, issuer, root_key, start, timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    certificate = (
        _certificate(subject, issuer, key, start, valid_for)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    return Identity(key, certificate, root)


def under_an_intermediate() -> Identity:
    """Of an authority whose certificate was issued by another than the root."""
    one = identity(name="An authority far from its root")
    root_key, key = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
    start, days = one.certificate.not_valid_before_utc, timedelta(days=30)
    top, middle = _named("Far root"), _named("Between")
    authority = x509.BasicConstraints(ca=True, path_length=None)
    root = _certificate(top, top, root_key, start, days).add_extension(authority, critical=True)
    between = _certificate(middle, top, key, start, days).add_extension(authority, critical=True)
    usage = one.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    certificate = _certificate(one.certificate.subject, middle, one.key, start, days).add_extension(
        usage.value, critical=True
    )
    return Identity(
        one.key,
        certificate.sign(key, hashes.SHA256()),
        root.sign(root_key, hashes.SHA256()),
        (between.sign(root_key, hashes.SHA256()),),
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, start: datetime, valid_for: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + valid_for)
    )


@dataclass
class Authority:
    """A running one. `raw`, where it is set, is all that it says in HTTP; `hangs`: it says nothing."""

    port: int
    answer: Answer
    raw: bytes | None = None
    hangs: bool = False
    queries: list[tsp.TimeStampReq] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stamp"


@asynccontextmanager
async def authority(answer: Answer) -> AsyncIterator[Authority]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await _serve(running, reader))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    running = Authority(server.sockets[0].getsockname()[1], answer)
    try:
        yield running
    finally:
        server.close()


async def _serve(running: Authority, reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    assert head[0] == "POST /stamp HTTP/1.1"
    assert headers["content-type"] == "application/timestamp-query"
    query = await reader.readexactly(int(headers["content-length"]))
    running.queries.append(tsp.TimeStampReq.load(query))
    if running.hangs:
        await reader.read()  # until the client goes
        return b""
    if running.raw is not None:
        return running.raw
    told = running.answer(running.queries[-1])
    return reply(told if isinstance(told, bytes) else told.dump())


def reply(body: bytes, status: str = "200 OK", kind: str = "application/timestamp-reply") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
