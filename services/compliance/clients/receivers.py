"""Sending a webhook to whoever an organization named, which may be anyone: a hostile server, or a name that leads inside."""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import anyio
import certifi
import httpcore

from services.chassis.errors import ValidationFailed
from services.compliance.clients.destinations import DestinationRefused, Destinations
from services.compliance.domain import destinations as domain
from services.compliance.domain.deliveries import Answer

TIMEOUT = 10.0
"""Seconds for all of a try: looking up, connecting, sending, and the whole answer."""

_MOST_OF_AN_ANSWER = 64 * 1024
_TO_CONNECT = 4.0
_CONNECTIONS = 64
# Shorter than what usual servers keep an idle connection for (5 s), so that they do not close it under our request.
_IDLE = 4.0

# What httpcore calls its own steps.
_DIALLED = "connection.connect_tcp.started"
_ANSWERED = "http11.receive_response_headers.complete"


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates of the public authorities, and of the operator's own in `ca_file` (PEM)."""
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.hostname_checks_common_name = False
    return context


class Receivers:
    """Connections to receivers. A connection goes to an address that was judged when it was dialled, and is idle for seconds at most."""

    def __init__(self, destinations: Destinations, tls: ssl.SSLContext, *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        # No proxy, no redirects, no cookies, HTTP/1.1: this is the transport alone.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE,
            network_backend=_JudgedNetwork(destinations),
        )

    async def send(self, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """Post once. Whatever goes wrong is an answer without a status; nothing of what was received is kept."""
        try:
            # anyio's time limit and not asyncio's: httpcore puts its pool in order under a shield, and only anyio's respects that.
            with anyio.fail_after(self._timeout):
                return Answer(await self._post(domain.parse(url), headers, body))
        except (ValidationFailed, DestinationRefused):
            return Answer(None, "refused")
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(None, "timeout")
        except httpcore.ConnectError:
            return Answer(None, "connect")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
            return Answer(None, "broken")

    async def _post(self, destination: domain.Destination, headers: Iterable[tuple[str, str]], body: bytes) -> int:
        url = httpcore.URL(
            scheme=b"https",
            host=destination.host.encode(),
            port=destination.port,
            target=destination.target.encode(),
        )
        told = [("Host", destination.authority), ("Content-Length", str(len(body))), *headers]
        while True:
            seen: set[str] = set()
            try:
                return await self._try(url, told, body, seen)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                # The other side may have closed an idle connection just now, which says nothing about what was sent on it.
                if seen & {_DIALLED, _ANSWERED}:
                    raise

    async def _try(self, url: httpcore.URL, headers: list[tuple[str, str]], body: bytes, seen: set[str]) -> int:
        """What httpcore did on the way is added to `seen`."""

        async def trace(event: str, _: Mapping[str, object]) -> None:
            seen.add(event)

        stream = self._pool.stream("POST", url, headers=headers, content=body, extensions={"trace": trace})
        async with stream as answer:
            size = 0
            async for part in answer.aiter_stream():
                size += len(part)
                if size > _MOST_OF_AN_ANSWER:
                    break  # the status counts; what is not read ends the connection
            return answer.status

    async def close(self) -> None:
        await self._pool.aclose()


class _JudgedNetwork(httpcore.AsyncNetworkBackend):
    """Dials addresses that were looked up once and judged; never a name."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._destinations.addresses(host)
        return _Connected(await self._connect(addresses, port, socket_options))

    async def _connect(
        self,
        addresses: Sequence[domain.Address],
        port: int,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(str(address), port, _TO_CONNECT, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(str(addresses[-1]), port, _TO_CONNECT, None, socket_options)


class _Connected(httpcore.AsyncNetworkStream):
    """A TCP connection that speaks TLS next. It does not outlive a handshake that was given up: httpcore would leave it open."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
