"""Where webhooks may be sent: which URLs are taken, and which addresses are dialled.

A URL is read more strictly than browsers read it: what two readers could take for two different hosts is refused, not mended.
Addresses are judged by tables of our own, for `ipaddress.is_global` of Python 3.11 takes multicast for global and does not look
into the IPv4 addresses that IPv6 ones carry.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import idna

from services.chassis.errors import ValidationFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 2048
"""Characters."""
NO_PUBLIC_ADDRESS = "The URL's host has no address that webhooks may be sent to."
"""One sentence for names that do not resolve and for those that resolve to where we do not send: it tells nothing of inner names."""

_HTTPS_PORT = 443
_URL = re.compile(r"https://(?P<authority>[^/?#]*)(?P<target>.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]@%]+))(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# The URL standard reads such a host as an IPv4 address, in up to four parts, decimal, octal or hexadecimal.
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


@dataclass(frozen=True, slots=True)
class Destination:
    """What a URL says: `host` is a name in lower-case ASCII or an address without brackets, `target` the path with the query."""

    host: str
    port: int
    target: str
    address: Address | None
    """Where the host is an address."""

    @property
    def authority(self) -> str:
        """As the Host header tells it (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _HTTPS_PORT else f"{host}:{self.port}"


def parse(url: str) -> Destination:
    """Raises ValidationFailed for anything but a plain https URL."""
    if len(url) > MAX_URL:
        raise _refused(f"A URL has at most {MAX_URL} characters.")
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise _refused("A URL has no blanks, control characters or backslashes.")
    split = _URL.fullmatch(url)
    if split is None:
        raise _refused("Webhooks are sent to https URLs.")
    if "#" in split["target"]:
        raise _refused("A webhook's URL has no fragment.")
    if "@" in split["authority"]:
        raise _refused("A webhook's URL holds no user name or password.")
    if not split["target"].isascii():
        raise _refused("Path and query of a URL are ASCII, the rest percent-encoded.")
    authority = _AUTHORITY.fullmatch(split["authority"])
    port = int(authority["port"] or _HTTPS_PORT) if authority else 0
    if authority is None or not 0 < port <= 65535:
        raise _refused("The URL's host or port is not valid.")
    target = split["target"] if split["target"].startswith("/") else f"/{split['target']}"
    if authority["ipv6"] is not None:
        address = _ipv6(authority["ipv6"])
        return Destination(str(address), port, target, address)
    host = _ascii(authority["name"])
    if _ENDS_IN_A_NUMBER.fullmatch(host):
        return Destination(host, port, target, _ipv4(authority["name"]))
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 §6.3
        raise _refused(NO_PUBLIC_ADDRESS)
    return Destination(host, port, target, None)


def _ascii(name: str) -> str:
    """The name as it is looked up: UTS 46 for what is not ASCII, lower case, without the root's dot."""
    try:
        if not name.isascii() or "xn--" in name.lower():
            name = idna.encode(name, uts46=True, std3_rules=True, transitional=False).decode("ascii")
    except idna.IDNAError:
        raise _refused("The URL's host is not a valid name.") from None
    name = name.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise _refused("The URL's host is not a valid name.")
    return name


def _ipv4(text: str) -> IPv4Address:
    try:
        address = IPv4Address(text)
    except ValueError:
        address = None
    if address is None or str(address) != text:
        raise _refused("An IPv4 address is written as four decimal numbers.")
    return address


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise _refused("The URL's host is not a valid IPv6 address.") from None


def _refused(sentence: str) -> ValidationFailed:
    return ValidationFailed(sentence, param="url")


class Policy:
    """Which addresses are dialled: global unicast, and the operator's own `allowed` networks. Never those of `_NEVER`."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def permits(self, address: Address) -> bool:
        """An address that carries others is permitted when each of them is."""
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return False
        return all(self._permits_as_it_is(one) for one in (address, *carried(address)))

    def _permits_as_it_is(self, address: Address) -> bool:
        if _within(address, _NEVER):
            return False
        return _is_global(address) or _within(address, self._allowed)


def carried(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for or is forwarded to."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if number <= 1:  # unspecified and loopback: not IPv4-compatible ones
        return
    if _within(address, _LAST_32_BITS) or (number >> 32) & 0xFDFFFFFF == _ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour is not None:  # RFC 3056
        yield address.sixtofour
    if address.teredo is not None:  # RFC 4380: the server, and the client with its bits inverted
        yield from address.teredo


def _is_global(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _within(address, _NOT_GLOBAL_4)
    return _within(address, _GLOBAL_6) and not _within(address, _NOT_GLOBAL_6)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


# IANA IPv4 Special-Purpose Address Registry (RFC 6890) but for what it holds reachable for all, and multicast (RFC 5771).
# https://www.iana.org/assignments/iana-ipv4-special-registry
_NOT_GLOBAL_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carriers' translation, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local, RFC 3927
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and broadcast, RFC 1112 and RFC 8190
    )
)

# What IANA has given out as global unicast, and the prefix by which networks without IPv4 reach it (RFC 6052 §2.1).
# Everything else is refused with that: loopback, mapped, unique and link-local, site-local, multicast, SRv6, what is not assigned.
# https://www.iana.org/assignments/ipv6-address-space
_GLOBAL_6 = (IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96"))

# https://www.iana.org/assignments/iana-ipv6-special-registry
_NOT_GLOBAL_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them, RFC 2928 and RFC 4380: no web server lives there
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "3fff::/20",  # documentation, RFC 9637
    )
)

_LAST_32_BITS = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, RFC 4291 §2.5.5.1
        "::ffff:0:0/96",  # IPv4-mapped, RFC 4291 §2.5.5.2
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # NAT64 of a network's own, RFC 8215
    )
)

# An interface identifier of 0000:5efe or 0200:5efe and the IPv4 address, under any prefix: RFC 5214 §6.1.
_ISATAP = 0x00005EFE

# Link-local, and where clouds answer a machine's questions about itself, credentials among the answers. One of them is public.
_NEVER: tuple[Network, ...] = (
    IPv4Network("169.254.0.0/16"),  # AWS, Azure, Google, Oracle and others at .169.254, ECS at .170.2
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv4Network("168.63.129.16/32"),  # Azure's host
    IPv4Network("192.0.0.192/32"),  # Oracle
    IPv6Network("fe80::/10"),
    IPv6Network("fd00:ec2::/32"),  # AWS at ::254, EKS at ::23
    IPv6Network("fd20:ce::254/128"),  # Google
)
