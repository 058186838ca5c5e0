"""Receivers of webhooks: real HTTPS servers on this machine, under an authority of their own, that answer as a test wants."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import h11
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Authority:
    """Certifies receivers. `file` holds its certificate, PEM."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Receivers' authority")])
        certificate = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, 0), critical=True)
        self.file = folder / "receivers-ca.pem"
        self.file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def context(self, *names: str) -> ssl.SSLContext:
        """Of a server that is known by those names and addresses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certify(*names))
        return context

    def certify(self, *names: str) -> Path:
        """A key and its certificate for those names and addresses, in one PEM file."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([]), key).add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=True
        )
        file = self._folder / f"{len(list(self._folder.iterdir()))}.pem"
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )
        return file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass(frozen=True, slots=True)
class Received:
    """A request. `headers` as they came; names in `header` are lower case."""

    target: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def header(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers}

    @property
    def id(self) -> str:
        return self.header["webhook-id"]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
Answer = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def status(code: int, *headers: str) -> Answer:
    """Says that, and keeps the connection."""
    lines = "".join(f"{header}\r\n" for header in headers)

    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {code} Said\r\n{lines}Content-Length: 0\r\n\r\n".encode())

    return answer


def says(data: bytes) -> Answer:
    """Those bytes, and closes the connection."""

    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return answer


async def hang(_: Received, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@dataclass
class Receiver:
    """What came, in order; `answer` may be changed at any time."""

    answer: Answer = field(default_factory=lambda: status(200))
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.received]

    async def got(self, many: int, seconds: float = 10) -> list[Received]:
        """Wait until so many requests have come."""
        async with asyncio.timeout(seconds):
            while len(self.received) < many:  # noqa: ASYNC110 - what is waited for comes from other processes
                await asyncio.sleep(0.005)
        return self.received

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing() and (received := await _read(reader)) is not None:
                self.received.append(received)
                await self.answer(received, writer)
                await writer.drain()
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    """The next request of a connection; None when the other side has closed it."""
    http = h11.Connection(h11.SERVER)
    request, body = None, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not data:
                return None
            http.receive_data(data)
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            assert isinstance(event, h11.EndOfMessage)
            assert request is not None
            headers = [(name.decode(), value.decode()) for name, value in request.headers.raw_items()]
            return Received(request.target.decode(), headers, body)


@asynccontextmanager
async def receiving(context: ssl.SSLContext | None, answer: Answer | None = None) -> AsyncIterator[Receiver]:
    """On a free port of 127.0.0.1; without TLS where `context` is None."""
    receiver = Receiver() if answer is None else Receiver(answer)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        try:
            await receiver._serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=256)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in set(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
