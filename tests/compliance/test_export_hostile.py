"""Files that were made to break the verifier, to mislead who reads what it prints, or to be believed by less than a signature."""

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import audit_verifier
from cli.audit_keys import endorsement
from cli.audit_verifier import NotVerified, Signed
from services.chassis.access import Principal
from services.chassis.database import Database
from services.compliance.domain.checkpoints import LOG_OF_LOGS, Signers
from services.compliance.usecases.exporting import Asked
from tests.compliance.exporting import (
    ENTRIES,
    OTHER,
    SUCCESSOR,
    House,
    Lines,
    as_line,
    at,
    check,
    edited,
    of,
    raw,
    resigned,
    trusting,
    with_field,
    with_header,
)
from tests.compliance.support import KEY, NOON, SIGNERS
from tests.fakes import FrozenClock

DEEP = b"[" * 100_000
HALF = "\ud800"
FORGED = "\x1b[2K\x1b[1GVERIFIED hasp.example\n"
"""What a terminal would show as another line."""


def told_twice(lines: Lines, kind: str) -> Lines:
    number = of(lines, kind)
    doubled = lines[number].replace(b'{"%s":' % kind.encode(), b'{"%s":null,"%s":' % (kind.encode(), kind.encode()), 1)
    return [*lines[:number], doubled, *lines[number + 1 :]]


def replaced(lines: Lines, kind: str, line: bytes) -> Lines:
    number = of(lines, kind)
    return [*lines[:number], line, *lines[number + 1 :]]


def escaped(text: object) -> bytes:
    return json.dumps(text).encode()


def signed_as(lines: Lines, **changed: Any) -> Lines:
    """With another header, and everything signed anew by a stranger under the name that it bears."""
    return resigned(with_header(lines, **changed), OTHER)


HOSTILE: dict[str, Callable[[Lines], Lines]] = {
    "an empty file": lambda lines: [],
    "a newline": lambda lines: [b"\n"],
    "NUL bytes": lambda lines: [bytes(4096), *lines],
    "NUL bytes in a line": lambda lines: replaced(lines, "left", b'{"left":[\x00]}\n'),
    "compressed": lambda lines: [gzip.compress(b"".join(lines))],
    "a byte order mark": lambda lines: [b"\xef\xbb\xbf" + lines[0], *lines[1:]],
    "UTF-16": lambda lines: [b"".join(lines).decode().encode("utf-16")],
    "CRLF": lambda lines: [line[:-1] + b"\r\n" for line in lines],
    "CRLF behind the manifest": lambda lines: [*lines[:-1], lines[-1][:-1] + b"\r\n"],
    "no newline behind the manifest": lambda lines: [*lines[:-1], lines[-1][:-1]],
    "two newlines behind the manifest": lambda lines: [*lines, b"\n"],
    "the manifest escaped": lambda lines: [
        *lines[:-1],
        b'{"manifest":%s}\n' % escaped(json.loads(lines[-1])["manifest"]),
    ],
    "the manifest told twice": lambda lines: told_twice(lines, "manifest"),
    "the manifest in a line of blanks": lambda lines: [*lines[:-1], b" " * 1000 + lines[-1]],
    "the manifest's signature padded otherwise": lambda lines: [*lines[:-1], otherwise_padded(lines[-1])],
    "two manifests": lambda lines: [*lines, lines[-1]],
    "two headers": lambda lines: [lines[0], *lines],
    "the header told twice": lambda lines: told_twice(lines, "header"),
    "a header that says its count twice": lambda lines: [
        lines[0].replace(b'"count":', b'"count":1,"count":'),
        *lines[1:],
    ],
    "a header with a huge count": lambda lines: with_header(lines, count=10**3000, tree_size=10**3000),
    "a header that begins far away": lambda lines: with_header(lines, first=2**70, tree_size=2**70 + ENTRIES),
    "a header with a number that no number is": lambda lines: [
        lines[0].replace(b'"count":60', b'"count":NaN'),
        *lines[1:],
    ],
    "a header with too many digits": lambda lines: [
        lines[0].replace(b'"count":60', b'"count":' + b"9" * 9999),
        *lines[1:],
    ],
    "a header of deep nesting": lambda lines: [b'{"header":' + DEEP + b"\n", *lines[1:]],
    "an anchor of deep nesting": lambda lines: replaced(lines, "anchor", b'{"anchor":' + DEEP + b"\n"),
    "an entry of deep nesting": lambda lines: [
        *lines[: at(lines, 5)],
        b'{"action":' + DEEP + b"\n",
        *lines[at(lines, 5) + 1 :],
    ],
    "half a character in the header": lambda lines: [
        lines[0].replace(b'"origin":"hasp.example/audit/', b'"origin":"hasp.example/audit/\\ud800/'),
        *lines[1:],
    ],
    "half a character in a checkpoint": lambda lines: with_half(lines, "anchor"),
    "half a character in an endorsement": lambda lines: [
        lines[0],
        b'{"endorsement":%s}\n' % escaped(SIGNERS.of(LOG_OF_LOGS).sign("x\n").replace("x", HALF)),
        *lines[1:],
    ],
    "a proof of a prefix that is no number": lambda lines: with_field(
        lines, "prefix", lambda _: {"from_size": [], "hashes": []}
    ),
    "a place in the log of logs that is no number": lambda lines: with_field(
        lines, "log", lambda log: {**log, "index": {}}
    ),
    "hashes that are no list": lambda lines: with_field(lines, "left", lambda _: 5),
    "a hash that is short": lambda lines: with_field(lines, "left", lambda _: ["00"]),
    "an entry that says its place twice": lambda lines: edited(lines, 7, b'"seq":7,', b'"seq":8,"seq":7,'),
    "an entry that says a place of another type": lambda lines: edited(lines, 1, b'"seq":1,', b'"seq":true,'),
    "an entry whose id writes on the terminal": lambda lines: [
        *lines[: at(lines, 9)],
        b'{"action":"a","id":%s,"org_id":"x","seq":4}\n' % escaped(FORGED),
        *lines[at(lines, 9) + 1 :],
    ],
    "an origin that writes on the terminal": lambda lines: signed_as(
        lines, origin=f"{FORGED}/{json.loads(lines[0])['header']['org_id']}"
    ),
    "a time of making that writes on the terminal": lambda lines: with_header(lines, made_at=FORGED),
    "another organization's name": lambda lines: with_header(lines, org_id="X", origin="hasp.example/audit/X"),
    "an endorsement by a stranger": lambda lines: [
        lines[0],
        as_line("endorsement", strange_endorsement()),
        *resigned(lines, OTHER)[1:],
    ],
    "an endorsement a thousand times": lambda lines: [
        lines[0],
        *[as_line("endorsement", strange_endorsement())] * 1000,
        *lines[1:],
    ],
    "an endorsement behind the entries": lambda lines: [
        *lines[: of(lines, "right")],
        as_line("endorsement", strange_endorsement()),
        *lines[of(lines, "right") :],
    ],
    "a checkpoint before the hashes beside it": lambda lines: [lines[0], lines[of(lines, "checkpoint")], *lines[1:]],
    "the anchor as a manifest": lambda lines: replaced(
        lines, "manifest", lines[of(lines, "anchor")].replace(b"anchor", b"manifest", 1)
    ),
    "the manifest as an anchor": lambda lines: replaced(
        lines, "anchor", lines[of(lines, "manifest")].replace(b"manifest", b"anchor", 1)
    ),
    "the anchor of another organization": lambda lines: replaced(
        lines, "anchor", as_line("anchor", SIGNERS.of("X").sign("hasp.example/audit/X\n60\n" + root_of(lines)))
    ),
    "the anchor signed under another organization's name": lambda lines: replaced(
        lines, "anchor", as_line("anchor", SIGNERS.of("X").sign(anchor_text(lines)))
    ),
    "the anchor signed under the deployment's name": lambda lines: replaced(
        lines, "anchor", as_line("anchor", SIGNERS.of(LOG_OF_LOGS).sign(anchor_text(lines)))
    ),
    "a header of no entries before everything": lambda lines: with_header(lines, count=0, tree_size=0),
}


def strange_endorsement() -> str:
    said = endorsement("hasp.example", raw(KEY), raw(OTHER), "2026-06-01T00:00:00+00:00")
    return Signers("hasp.example", OTHER).of(LOG_OF_LOGS).sign(said)


def anchor_text(lines: Lines) -> str:
    return json.loads(lines[of(lines, "anchor")])["anchor"].rpartition("\n\n")[0] + "\n"


def root_of(lines: Lines) -> str:
    return anchor_text(lines).split("\n")[2] + "\n"


def otherwise_padded(line: bytes) -> bytes:
    """The same signature in base64, with a bit set that no byte holds."""
    number = line.rindex(b"=") - 1
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return line[:number] + bytes([alphabet[alphabet.index(line[number]) ^ 1]]) + line[number + 1 :]


def with_half(lines: Lines, kind: str) -> Lines:
    note = json.loads(lines[of(lines, kind)])[kind]
    return replaced(lines, kind, b'{"%s":%s}\n' % (kind.encode(), escaped(note.replace("\n\n", f"\n{HALF}\n\n"))))


async def test_no_hostile_file_is_verified_or_breaks_the_command(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    file = tmp_path / "export"
    for name, change in HOSTILE.items():
        file.write_bytes(b"".join(change(lines)))
        assert audit_verifier.main([str(file), "--key", SIGNERS.of(LOG_OF_LOGS).vkey]) == 1, name
        told = capsys.readouterr()
        assert told.out == "", name
        assert told.err.startswith("NOT VERIFIED: "), name
        assert all(line.isprintable() for line in told.err.splitlines()), name
        assert "\nVERIFIED" not in told.err, name


async def test_hashes_are_a_list_whoever_signs(house: House, tmp_path: Path) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    for kind in ("left", "right"):
        for none in ("", {}, None):
            with pytest.raises(NotVerified, match="list of hashes"):
                check(b"".join(resigned(with_field(lines, kind, lambda _, none=none: none), KEY)), house.keys, tmp_path)


async def test_a_line_without_an_end_is_not_read_to_its_end(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    monkeypatch.setattr(audit_verifier, "_MOST_LINE", 1 << 20)
    with (tmp_path / "long").open("wb") as file:
        file.write(lines[0])
        file.truncate(1 << 30)  # a gigabyte of NULs that no disk holds
    with pytest.raises(NotVerified, match="line 2"):
        audit_verifier.verify(tmp_path / "long", house.keys)


async def test_the_hashes_beside_a_range_cannot_be_exchanged(house: House, tmp_path: Path) -> None:
    asked = Asked(NOON + timedelta(minutes=21), NOON + timedelta(minutes=30))
    lines = (await house.export(asked)).splitlines(keepends=True)
    assert len(json.loads(lines[of(lines, "left")])["left"]) >= 2
    for kind in ("left", "right"):
        number = of(lines, kind)
        hashes = json.loads(lines[number])[kind]
        for other in (hashes[::-1], hashes[1:], [*hashes, "00" * 32], ["00" * 32, *hashes[1:]]):
            if other != hashes:
                changed = [*lines[:number], as_line(kind, other), *lines[number + 1 :]]
                with pytest.raises(NotVerified):
                    check(b"".join(changed), house.keys, tmp_path)


async def test_a_key_of_one_organization_says_nothing_of_another(
    db: Database, house: House, mallory: Principal, clock: FrozenClock, tmp_path: Path
) -> None:
    """Nor does its successor: an endorsement hands on what its signer was trusted for, and no more."""
    other = House(db, mallory, clock)
    successors = Signers("hasp.example", SUCCESSOR)
    said = endorsement("hasp.example", raw(KEY), raw(SUCCESSOR), "2026-06-01T00:00:00+00:00")
    endorsements = (SIGNERS.of(LOG_OF_LOGS).sign(said),)
    mine = trusting(SIGNERS.of(house.caller.org_id).vkey)
    lines = (await other.export(endorsements=endorsements)).splitlines(keepends=True)
    for file in (b"".join(lines), b"".join(resigned(lines, SUCCESSOR))):
        assert check(file, trusting(SIGNERS.of(LOG_OF_LOGS).vkey), tmp_path).count == 4
        with pytest.raises(NotVerified, match="none of the trusted keys signs for"):
            check(file, mine, tmp_path)
    rotated = await house.export(signers=successors, endorsements=endorsements)
    assert check(rotated, mine, tmp_path).signed_by == audit_verifier.fingerprint(raw(SUCCESSOR))


async def test_endorsements_that_go_round_or_stand_in_no_order_make_nothing_trusted(
    house: House, tmp_path: Path
) -> None:
    third = OTHER

    def said(old: Any, new: Any) -> str:
        told = endorsement("hasp.example", raw(old), raw(new), "2026-06-01T00:00:00+00:00")
        return Signers("hasp.example", old).of(LOG_OF_LOGS).sign(told)

    first_to_second, second_to_third = said(KEY, SUCCESSOR), said(SUCCESSOR, third)
    deployment = trusting(SIGNERS.of(LOG_OF_LOGS).vkey)
    signers = Signers("hasp.example", third)
    for bad in (
        (second_to_third, first_to_second),
        (second_to_third,),
        (said(third, third), said(third, SUCCESSOR), second_to_third),
    ):
        with pytest.raises(NotVerified):
            check(await house.export(signers=signers, endorsements=bad), deployment, tmp_path)
    circle = (first_to_second, second_to_third, said(third, KEY)) * 20
    assert check(await house.export(signers=signers, endorsements=circle), deployment, tmp_path).count == ENTRIES


async def test_two_earlier_trees_of_one_size_must_both_be_prefixes(house: House, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.write_bytes(await house.export())
    shown = audit_verifier.anchor_of(first, house.keys)
    another = Signed(shown.size, bytes(32), shown.text)
    await house.grow(9)
    for asked in (Asked(), Asked(NOON + timedelta(hours=9), from_size=ENTRIES)):
        file = await house.export(asked)
        assert check(file, house.keys, tmp_path, [shown, shown]).earlier == (ENTRIES,)
        for earlier in ([another, shown], [shown, another]):
            with pytest.raises(NotVerified, match="is not a prefix"):
                check(file, house.keys, tmp_path, earlier)


async def test_an_earlier_file_that_cannot_be_read_is_named(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, earlier = tmp_path / "export", tmp_path / "earlier"
    file.write_bytes(await house.export())
    note = json.loads(file.read_bytes().splitlines()[-5])["anchor"]
    other = (
        Signers("hasp.example", KEY)
        .of("ANOTHER")
        .sign("hasp.example/audit/ANOTHER\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
    )
    command = [str(file), "--key", SIGNERS.of(LOG_OF_LOGS).vkey, "--earlier", str(earlier)]
    earlier.write_text(note)
    assert audit_verifier.main(command) == 0
    capsys.readouterr()
    for bad in (b"", b"\xff\xfe", b"{", b"{}\n", b"\x00" * 100, other.encode(), note.encode()[:-20]):
        earlier.write_bytes(bad)
        assert audit_verifier.main(command) == 1
        told = capsys.readouterr()
        assert (told.out, told.err[:25]) == ("", "NOT VERIFIED: the earlier")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


async def test_whatever_a_line_holds_the_verifier_does_not_break(
    db: Database, alice: Principal, clock: FrozenClock, tmp_path: Path
) -> None:
    """Any value in place of any of the file's: it is not verified, and nothing else happens."""
    house = House(db, alice, clock)
    await house.grow(6)
    lines = (await house.export()).splitlines(keepends=True)
    keys, kinds = house.keys, ("header", "left", "right", "anchor", "log", "prefix", "timestamp", "checkpoint")

    @given(st.sampled_from(kinds), VALUES, st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def put(kind: str, value: object, data: st.DataObject) -> None:
        def change(told: Any) -> object:
            if isinstance(told, dict) and data.draw(st.booleans()):
                return {**told, data.draw(st.sampled_from(sorted(told))): value}
            return value

        number = of(lines, kind)
        told = json.dumps({kind: change(json.loads(lines[number])[kind])}).encode() + b"\n"
        body = b"".join([*lines[:number], told, *lines[number + 1 : -1]])
        earlier = [Signed(3, bytes(32), f"hasp.example/audit/{alice.org_id}\n")]
        for given_earlier in ([], earlier):
            with pytest.raises(NotVerified):
                check(body + lines[-1], keys, tmp_path, given_earlier)

    await asyncio.to_thread(put)
