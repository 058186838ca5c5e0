"""Sending to receivers that are hostile, broken or not where their name says. What a whole delivery is: test_dispatcher."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from services.compliance.clients.destinations import Destinations, Resolve
from services.compliance.clients.receivers import Receivers, trust
from services.compliance.domain.deliveries import Answer
from services.compliance.domain.destinations import Policy
from tests.compliance.addresses import LOOPBACK, METADATA, NOT_GLOBAL
from tests.compliance.receivers import OK, Authority, Received, Receiver, hang, receiving, says, status

BODY = b'{"id": "told"}'
HEADERS = [("Content-Type", "application/json"), ("webhook-id", "1")]
OPENED = ("127.0.0.0/8", "::1/128")


def names(addresses: Mapping[str, Sequence[str]]) -> Resolve:
    async def resolve(host: str) -> Sequence[str]:
        return addresses[host]

    return resolve


@asynccontextmanager
async def client(
    authority: Authority | None,
    *,
    resolve: Resolve | None = None,
    allowed: Sequence[str] = OPENED,
    timeout: float = 5,
) -> AsyncIterator[Callable[[str], Awaitable[Answer]]]:
    """Posts one body to a URL."""
    destinations = Destinations(Policy([ip_network(network) for network in allowed]), resolve or names({}))
    receivers = Receivers(destinations, trust(authority.file if authority else None), timeout=timeout)
    try:
        yield lambda url: receivers.send(url, HEADERS, BODY)
    finally:
        await receivers.close()


@asynccontextmanager
async def a_receiver(authority: Authority, answer: object = None) -> AsyncIterator[Receiver]:
    async with receiving(authority.context("127.0.0.1", "receiver.example"), answer) as receiver:  # type: ignore[arg-type]
        yield receiver


async def test_what_is_sent(authority: Authority) -> None:
    async with a_receiver(authority) as receiver, client(authority) as send:
        assert await send(f"{receiver.url}/hook/a?token=b") == Answer(200)
        assert await send(f"{receiver.url}") == Answer(200)
    first, second = receiver.received
    assert (first.target, second.target) == ("/hook/a?token=b", "/")
    assert first.body == BODY
    assert first.headers == [("Host", f"127.0.0.1:{receiver.port}"), ("Content-Length", str(len(BODY))), *HEADERS]
    assert receiver.connections == 1


async def test_a_name_is_dialled_by_address_and_certified_by_name(authority: Authority) -> None:
    asked: list[str] = []

    async def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        return ["::1", "127.0.0.1"]  # nobody listens on the first

    async with a_receiver(authority) as receiver, client(authority, resolve=resolve) as send:
        for _ in range(3):
            assert await send(f"https://Receiver.Example:{receiver.port}/") == Answer(200)
    assert asked == ["receiver.example"]
    assert receiver.received[0].header["host"] == f"receiver.example:{receiver.port}"


@pytest.mark.parametrize("code", [201, 204, 299, 300, 301, 400, 404, 410, 429, 500, 503, 999])
async def test_only_2xx_is_success(authority: Authority, code: int) -> None:
    async with a_receiver(authority, status(code)) as receiver, client(authority) as send:
        answer = await send(receiver.url)
    assert answer.status == code
    assert answer.taken == (200 <= code < 300)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_to_inside_is_not_followed(authority: Authority, code: int) -> None:
    async with a_receiver(authority) as inside, a_receiver(authority) as outside, client(authority) as send:
        for target in (inside.url, "http://169.254.169.254/latest/meta-data/", "//127.0.0.1/", "/other"):
            outside.answer = status(code, f"Location: {target}")
            answer = await send(outside.url)
            assert answer == Answer(code)
            assert not answer.taken
    assert inside.connections == 0
    assert len(outside.received) == 4


async def test_a_name_that_moves_inside_is_refused_when_it_is_dialled(authority: Authority) -> None:
    """DNS rebinding: public when the endpoint is registered, private when it is sent to."""
    answers = iter([["8.8.8.8"], ["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["10.0.0.1"]])

    async def resolve(_: str) -> Sequence[str]:
        return next(answers)

    async with a_receiver(authority) as inside:
        url = f"https://receiver.example:{inside.port}/"
        destinations = Destinations(Policy(), resolve)
        await destinations.check(url)
        receivers = Receivers(destinations, trust(authority.file))
        for _ in range(4):
            assert await receivers.send(url, HEADERS, BODY) == Answer(None, "refused")
        await receivers.close()
    assert inside.connections == 0


async def test_nothing_inside_is_dialled_in_any_notation(authority: Authority) -> None:
    """Whatever a database may hold, and whatever a name resolves to by now."""
    hosts = (*LOOPBACK, *METADATA, *NOT_GLOBAL)
    found = {f"{number}.example": [host.strip("[]")] for number, host in enumerate(hosts)}
    async with a_receiver(authority) as inside, client(authority, allowed=(), resolve=names(found)) as send:
        for host in (*hosts, *found):
            assert await send(f"https://{host}:{inside.port}/") == Answer(None, "refused"), host
    assert inside.connections == 0


async def test_a_pooled_connection_is_of_its_own_host(authority: Authority) -> None:
    async with a_receiver(authority) as receiver:
        found = {"receiver.example": ["127.0.0.1"], "other.example": ["10.1.2.3"]}
        async with client(authority, resolve=names(found)) as send:
            assert (await send(f"https://receiver.example:{receiver.port}/")).taken
            assert await send(f"https://other.example:{receiver.port}/") == Answer(None, "refused")
    assert len(receiver.received) == 1


async def test_a_certificate_of_another_name_is_not_believed(authority: Authority) -> None:
    async with receiving(authority.context("other.example")) as receiver, client(authority) as send:
        assert await send(receiver.url) == Answer(None, "connect")
    assert receiver.received == []


async def test_an_unknown_authority_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    async with a_receiver(authority) as receiver:
        for known in (None, Authority(tmp_path)):
            async with client(known) as send:
                assert await send(receiver.url) == Answer(None, "connect")
    assert receiver.received == []


async def test_nothing_is_sent_without_tls(authority: Authority) -> None:
    async with receiving(None) as receiver, client(authority) as send:
        assert await send(receiver.url) == Answer(None, "connect")
        assert await send(receiver.url.replace("https", "http")) == Answer(None, "refused")
    assert receiver.received == []


async def test_nobody_there(authority: Authority) -> None:
    async with client(authority) as send:
        assert await send("https://127.0.0.1:1/") == Answer(None, "connect")


async def drip_a_body(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await drip(writer)


async def drip_headers(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await drip(writer)


async def drip_early_hints(_: Received, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [hang, drip_a_body, drip_headers, drip_early_hints])
async def test_all_of_a_try_has_one_time_limit(authority: Authority, answer: object) -> None:
    async with a_receiver(authority, answer) as receiver, client(authority, timeout=0.4) as send:
        started = time.monotonic()
        assert await send(receiver.url) == Answer(None, "timeout")
        assert 0.4 <= time.monotonic() - started < 3
        receiver.answer = status(200)
        assert (await send(receiver.url)).taken


async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        says(b"\x00\xff garbage \r\n\r\n"),
        says(b"220 smtp.example ESMTP\r\n"),
        says(b""),
    ],
)
async def test_what_is_not_a_whole_answer_is_none(authority: Authority, answer: object) -> None:
    async with a_receiver(authority, answer) as receiver, client(authority) as send:
        assert await send(receiver.url) == Answer(None, "broken")
        receiver.answer = status(200)
        assert (await send(receiver.url)).taken


async def test_a_switch_of_protocols_is_a_failure(authority: Authority) -> None:
    async with a_receiver(authority, status(101, "Upgrade: other", "Connection: Upgrade")) as receiver:
        async with client(authority, timeout=1) as send:
            assert not (await send(receiver.url)).taken


def page(size: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size


@pytest.mark.parametrize("answer", [endless, says(page(65_536)), says(page(10_000_000))])
async def test_of_a_whole_page_the_status_counts_and_little_is_read(authority: Authority, answer: object) -> None:
    async with a_receiver(authority, answer) as receiver, client(authority) as send:
        assert await send(receiver.url) == Answer(200)
        assert await send(receiver.url) == Answer(200)
    assert receiver.connections == 2


async def say_ok_and_cut(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    asyncio.get_running_loop().call_later(0.02, writer.transport.abort)


@pytest.mark.parametrize("answer", [says(OK), say_ok_and_cut, status(200, "Connection: close")])
async def test_a_connection_that_was_closed_meanwhile_is_replaced(authority: Authority, answer: object) -> None:
    async with a_receiver(authority, answer) as receiver, client(authority) as send:
        for _ in range(3):
            assert (await send(receiver.url)).taken
            await asyncio.sleep(0.05)
    assert receiver.connections == 3


async def test_givings_up_leave_no_connection_behind(authority: Authority) -> None:
    """More of them than the pool has places, at once and one after the other, and then it still sends."""
    async with a_receiver(authority, hang) as receiver, client(authority, timeout=0.3) as send:
        for _ in range(3):
            answers = await asyncio.gather(*(send(receiver.url) for _ in range(40)))
            assert {answer.status for answer in answers} == {None}
        receiver.answer = status(200)
        assert (await send(receiver.url)).taken


async def test_a_handshake_that_is_given_up_ends_its_connection(authority: Authority) -> None:
    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()
        ended.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server, client(authority, timeout=0.3) as send:
        port = server.sockets[0].getsockname()[1]
        assert await send(f"https://127.0.0.1:{port}/") == Answer(None, "timeout")
        async with asyncio.timeout(2):
            await ended.wait()


async def test_proxies_of_the_environment_are_not_asked(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_receiver(authority) as receiver, receiving(None) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client(authority) as send:
            assert (await send(receiver.url)).taken
    assert proxy.connections == 0


async def test_nothing_of_it_is_logged(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with a_receiver(authority, says(b"HTTP/1.1 500 secret-reason\r\n\r\nsecret-body")) as receiver:
        async with client(authority) as send:
            assert (await send(f"{receiver.url}/secret-path?secret-query")).status == 500
            await send("https://user:secret-word@127.0.0.1/secret-path")
    assert "secret" not in caplog.text
