import asyncio
import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

import pytest

from services.chassis.errors import ValidationFailed
from services.compliance.clients.destinations import DestinationRefused, Destinations, SystemResolver
from services.compliance.domain.destinations import Policy, parse
from tests.compliance.addresses import LOOPBACK, METADATA, NOT_GLOBAL

PUBLIC = "8.8.8.8"

MALFORMED = (
    "http://example.com/",
    "ftp://example.com/",
    "//example.com/",
    "example.com",
    "https:example.com",
    "https:/example.com",
    "https:///example.com",
    "https://",
    "https://?q",
    "https://user@example.com/",
    "https://user:word@example.com/",
    "https://example.com@127.0.0.1/",
    "https://@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/#part",
    "https://example.com#@127.0.0.1/",
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:443:443/",
    "https://example.com:-1/",
    "https://example.com:+443/",
    "https://example.com:٤٤٣/",
    "https://example.com:https/",
    " https://example.com/",
    "https://example.com/ ",
    "https://exa mple.com/",
    "https://example.com/a\nHost: other",
    "https://example.com/\r\n",
    "https://example.com/\x00",
    "https://exam\tple.com/",
    "https://example.com/\x7f",
    "https://example.com/ö",
    "https://example..com/",
    "https://example.com../",
    "https://.example.com/",
    "https://-example.com/",
    "https://exa_mple.com/",
    "https://exam!ple.com/",
    "https://example.com％/",
    "https://example.com／evil/",
    "https://example.com＠127.0.0.1/",
    "https://xn--a/",
    f"https://{'a' * 64}.com/",
    f"https://{'a.' * 127}com/",
    "https://[::1/",
    "https://::1/",
    "https://[]/",
    "https://[127.0.0.1]/",
    "https://[::1]a/",
    "https://[1::2::3]/",
    "https://[v1.a]/",
    f"https://example.com/{'a' * 2029}",
)


def names(addresses: Mapping[str, Sequence[str]], *, allowed: Sequence[str] = ()) -> Destinations:
    """Where those names are all there are."""

    async def resolve(host: str) -> Sequence[str]:
        if host not in addresses:
            raise OSError
        return addresses[host]

    return Destinations(Policy([ip_network(network) for network in allowed]), resolve)


async def refused(url: str, destinations: Destinations | None = None) -> str:
    """The sentence with which it is."""
    with pytest.raises(ValidationFailed) as refusal:
        await (destinations or names({})).check(url)
    assert refusal.value.param == "url"
    return refusal.value.message


@pytest.mark.parametrize("host", LOOPBACK + METADATA + NOT_GLOBAL)
async def test_a_host_that_is_not_global_is_refused_in_every_notation(host: str) -> None:
    for url in (f"https://{host}/", f"https://{host}:8443/hook?x=1", f"HTTPS://{host}"):
        await refused(url)


@pytest.mark.parametrize("host", LOOPBACK + METADATA + NOT_GLOBAL)
async def test_a_name_that_resolves_there_is_refused(host: str) -> None:
    literal = host.strip("[]").partition("%")[0]
    try:
        address = str(ip_address(literal))
    except ValueError:
        return  # no resolver says such a thing
    for found in ([address], [PUBLIC, address], [address, PUBLIC], ["2606:4700::1111", address]):
        destinations = names({"receiver.example": found})
        await refused("https://receiver.example/", destinations)
        with pytest.raises(DestinationRefused):
            await destinations.addresses("receiver.example")


@pytest.mark.parametrize("url", MALFORMED)
async def test_what_is_not_a_plain_https_url_is_refused(url: str) -> None:
    sentence = await refused(url, names({"example.com": [PUBLIC]}))
    assert "127.0.0.1" not in sentence
    assert "evil" not in sentence


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("https://Example.COM:443/a/b?c=d&e=%20", "example.com", 443, "/a/b?c=d&e=%20", "example.com"),
        ("https://example.com.:8443?x=1", "example.com", 8443, "/?x=1", "example.com:8443"),
        ("https://bücher.example:1/", "xn--bcher-kva.example", 1, "/", "xn--bcher-kva.example:1"),
        ("https://faß.example/", "xn--fa-hia.example", 443, "/", "xn--fa-hia.example"),
        ("https://r3---sn-a.example:65535/", "r3---sn-a.example", 65535, "/", "r3---sn-a.example:65535"),
        ("https://0x7f.example/", "0x7f.example", 443, "/", "0x7f.example"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/", "8.8.8.8"),
        ("https://[2606:4700:0::1111]:8443/", "2606:4700::1111", 8443, "/", "[2606:4700::1111]:8443"),
        ("https://[64:ff9b::8.8.8.8]/", "64:ff9b::808:808", 443, "/", "[64:ff9b::808:808]"),
        (f"https://example.com/{'a' * 2028}", "example.com", 443, f"/{'a' * 2028}", "example.com"),
    ],
)
async def test_public_hosts_are_taken(url: str, host: str, port: int, target: str, authority: str) -> None:
    destination = parse(url)
    assert (destination.host, destination.port, destination.target) == (host, port, target)
    assert destination.authority == authority
    await names({host: [PUBLIC, "2606:4700::1111"]}).check(url)


async def test_a_name_without_an_address_is_refused_in_the_same_words_as_an_inner_one() -> None:
    destinations = names({"inner.example": ["10.1.2.3"], "empty.example": [], "odd.example": ["not an address"]})
    hosts = ("inner.example", "empty.example", "odd.example", "none.example", "10.1.2.3", "localhost")
    assert len({await refused(f"https://{host}/", destinations) for host in hosts}) == 1


async def test_a_zone_in_an_answer_is_refused() -> None:
    await refused("https://a.example/", names({"a.example": ["2606:4700::1111%eth0"]}))


async def test_an_operator_opens_networks_but_never_metadata() -> None:
    allowed = ["10.0.0.0/8", "127.0.0.0/8", "0.0.0.0/0", "fd00::/8", "::/0"]
    destinations = names({"receiver.inner": ["10.1.2.3", "fd00:1::1"], "m.inner": ["169.254.169.254"]}, allowed=allowed)
    for url in ("https://receiver.inner/", "https://127.0.0.1:8443/", "https://[fd00:1::1]/", "https://[::1]/"):
        await destinations.check(url)
    for host in (*METADATA, "m.inner", "[fe80::1]", "localhost"):
        await refused(f"https://{host}/", destinations)


async def test_an_opened_network_opens_nothing_that_is_carried_within_it() -> None:
    destinations = names({}, allowed=["64:ff9b:1::/48", "2002::/16"])
    await destinations.check("https://[64:ff9b:1::8.8.8.8]/")
    await destinations.check("https://[2002:808:808::1]/")
    await names({}, allowed=["::1/128"]).check("https://[::1]/")
    await refused("https://[64:ff9b:1::10.0.0.1]/", destinations)
    await refused("https://[2002:a00:1::1]/", destinations)


async def test_a_look_up_that_hangs_is_given_up() -> None:
    async def hang(_: str) -> Sequence[str]:
        await asyncio.sleep(60)
        return [PUBLIC]

    started = time.monotonic()
    await refused("https://slow.example/", Destinations(Policy(), hang, timeout=0.1))
    assert time.monotonic() - started < 5


async def test_the_system_resolver_knows_this_machine() -> None:
    assert "127.0.0.1" in await SystemResolver()("127.0.0.1")
    with pytest.raises(DestinationRefused):
        await Destinations(Policy(), SystemResolver()).addresses("localhost")
