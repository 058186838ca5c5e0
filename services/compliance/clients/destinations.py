"""Looking up where a webhook's URL leads, and refusing to go there."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from services.chassis.errors import ValidationFailed
from services.compliance.domain import destinations as domain
from services.compliance.domain.destinations import NO_PUBLIC_ADDRESS, Address, Policy

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host, as text. Raises OSError when it has none or cannot be looked up."""

# A look-up that hangs keeps its thread until the system's resolver gives up, long after nobody waits for it. So these have threads of their own.
_THREADS = 64


class SystemResolver:
    """What the machine's own resolver says."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)


def _look_up(host: str) -> Sequence[str]:
    return [str(address[0]) for _, _, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class DestinationRefused(Exception):
    """A host that has no address, or one that webhooks are not sent to. Holds neither."""


class Destinations:
    """`timeout` is in seconds, for one look-up."""

    def __init__(self, policy: Policy, resolve: Resolve, *, timeout: float = 5.0) -> None:
        self._policy = policy
        self._resolve = resolve
        self._timeout = timeout

    async def check(self, url: str) -> None:
        """Raises ValidationFailed for a URL that is not one for webhooks, or that leads today where they are not sent."""
        destination = domain.parse(url)
        try:
            await self.addresses(destination.host)
        except DestinationRefused:
            raise ValidationFailed(NO_PUBLIC_ADDRESS, param="url") from None

    async def addresses(self, host: str) -> Sequence[Address]:
        """What may be dialled, in the resolver's order. One address that may not be refuses the host. Raises DestinationRefused."""
        try:
            found = [ip_address(host)]
        except ValueError:
            found = await self._look_up(host)
        if not found or not all(self._policy.permits(address) for address in found):
            raise DestinationRefused
        return list(dict.fromkeys(found))

    async def _look_up(self, host: str) -> list[Address]:
        try:
            async with asyncio.timeout(self._timeout):
                return [ip_address(text) for text in await self._resolve(host)]
        except (OSError, ValueError):  # TimeoutError is an OSError, UnicodeError a ValueError
            raise DestinationRefused from None
