"""The time stamp of an export: made by a real authority's protocol, and put to the test by whoever signs the rest of the file."""

import asyncio
import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from cli import audit_verifier
from cli.audit_verifier import NotVerified
from services.chassis.access import Principal
from services.chassis.database import Database
from services.compliance.clients.time_stamping import TimeStampingAuthority
from tests.compliance.exporting import ENTRIES, House, Lines, as_line, check, of, resigned, with_field
from tests.compliance.support import KEY, SIGNERS
from tests.compliance.time_stamping import (
    Identity,
    authority,
    identity,
    under_an_intermediate,
    with_impossible_certificate,
)
from tests.fakes import FrozenClock

STAMPED = datetime(2026, 5, 11, 12, 0, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def trusted() -> Identity:
    return identity(since=timedelta(days=365), valid_for=timedelta(days=730))


@pytest.fixture(scope="module")
def other() -> Identity:
    return identity(name="Another authority", since=timedelta(days=365), valid_for=timedelta(days=730))


def note(lines: Lines) -> bytes:
    return json.loads(lines[of(lines, "anchor")])["anchor"].encode()


def stamped(lines: Lines, token: object) -> Lines:
    """With this time stamp, and signed by the operator."""
    told = token if not isinstance(token, bytes) else {"authority": "x", "token": base64.b64encode(token).decode()}
    return resigned(with_field(lines, "timestamp", lambda _: told), KEY)


async def test_an_authority_s_token_is_in_the_file_and_its_time_is_told(
    house: House, trusted: Identity, other: Identity, tmp_path: Path
) -> None:
    async with authority(trusted.answer) as running:
        file = await house.export(authority=TimeStampingAuthority(running.url, [trusted.root]))
    verified = check(file, house.keys, tmp_path, roots=[other.root, trusted.root])
    assert verified.stamped_at is not None
    assert abs(verified.stamped_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert verified.stamped_at.isoformat() in verified.time_stamp
    unchecked = check(file, house.keys, tmp_path)
    assert unchecked.stamped_at is None
    assert "not checked" in unchecked.time_stamp
    with pytest.raises(NotVerified, match="not signed by an authority that is trusted"):
        check(file, house.keys, tmp_path, roots=[other.root])


async def test_an_authority_that_gives_none_costs_no_export_and_is_not_hidden(
    house: House, trusted: Identity, tmp_path: Path
) -> None:
    with capture_logs() as logged:
        async with authority(trusted.answer) as running:
            running.hangs = True
            url = running.url
            file = await house.export(authority=TimeStampingAuthority(url, seconds=0.2))
    lines = file.splitlines(keepends=True)
    assert json.loads(lines[of(lines, "timestamp")])["timestamp"] == {"authority": url, "token": None}
    told = [line for line in logged if line["event"] == "an export bears no time stamp"]
    assert [(line["org_id"], line["reason"]) for line in told] == [
        (house.caller.org_id, "the authority did not answer in time")
    ]
    verified = check(file, house.keys, tmp_path)
    assert (verified.count, verified.stamped_at) == (ENTRIES, None)
    assert verified.time_stamp == f"none: {url} gave none when the file was made"
    with pytest.raises(NotVerified, match="bears no time stamp"):
        check(file, house.keys, tmp_path, roots=[trusted.root])


async def test_a_deployment_without_an_authority_says_so(house: House, trusted: Identity, tmp_path: Path) -> None:
    file = await house.export()
    assert b'\n{"timestamp":null}\n' in file
    assert check(file, house.keys, tmp_path).time_stamp == "none"
    with pytest.raises(NotVerified, match="no time-stamping authority was configured"):
        check(file, house.keys, tmp_path, roots=[trusted.root])


async def test_where_nothing_was_signed_nothing_is_stamped(
    db: Database, alice: Principal, clock: FrozenClock, trusted: Identity, tmp_path: Path
) -> None:
    house = House(db, alice, clock)
    async with authority(trusted.answer) as running:
        file = await house.export(authority=TimeStampingAuthority(running.url))
    assert running.queries == []
    assert check(file, house.keys, tmp_path).tree_size == 0


async def test_a_token_of_something_else_is_never_verified_whoever_signs_the_file(
    house: House, trusted: Identity, tmp_path: Path
) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    good = trusted.token(note(lines), STAMPED)
    assert check(b"".join(stamped(lines, good)), house.keys, tmp_path, roots=[trusted.root]).stamped_at == STAMPED
    earlier = json.loads(lines[of(lines, "checkpoint")])["checkpoint"].encode()
    text = note(lines).partition(b"\n\n")[0] + b"\n"
    encoded = base64.b64encode(good).decode()
    for name, token in {
        "of an earlier checkpoint": trusted.token(earlier),
        "of the note's text without its signature": trusted.token(text),
        "of the note without its last newline": trusted.token(note(lines)[:-1]),
        "by SHA-1": trusted.token(note(lines), algorithm="sha1"),
        "cut": good[:-1],
        "with something behind it": good + b"\x00",
        "nothing": b"",
        "nonsense": b"nonsense",
        "a number": {"authority": "x", "token": 5},
        "a list": [encoded],
        "without an authority": {"token": encoded},
        "of an authority that is no text": {"authority": None, "token": encoded},
        "text alone": encoded,
        "not base64": {"authority": "x", "token": f"{encoded[:40]}*{encoded[40:]}"},
        "false": False,
        "an empty object": {},
    }.items():
        bad = b"".join(stamped(lines, token))
        for roots in ([], [trusted.root]):
            with pytest.raises(NotVerified) as found:
                check(bad, house.keys, tmp_path, roots=roots)
            assert "the time stamp" in str(found.value), name


async def test_a_token_that_no_trusted_authority_signed_tells_no_time(
    house: House, trusted: Identity, other: Identity, tmp_path: Path
) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    good = trusted.token(note(lines), STAMPED)
    moment = STAMPED.strftime("%Y%m%d%H%M%SZ").encode()
    assert good.count(moment) == 1
    expired = identity(since=timedelta(days=3), valid_for=timedelta(days=2))
    code = identity(usages=[ExtendedKeyUsageOID.CODE_SIGNING])
    for bad, root in (
        (other.token(note(lines)), trusted),
        (good.replace(moment, b"20200511120007Z"), trusted),
        (good[:-5] + bytes([good[-5] ^ 1]) + good[-4:], trusted),
        (expired.token(note(lines)), expired),
        (code.token(note(lines)), code),
        (with_impossible_certificate(good), trusted),
    ):
        file = b"".join(stamped(lines, bad))
        with pytest.raises(NotVerified, match="time stamp is not signed by an authority that is trusted"):
            check(file, house.keys, tmp_path, roots=[root.root])
        assert check(file, house.keys, tmp_path).stamped_at is None


async def test_an_authority_may_chain_to_its_root_through_others(house: House, tmp_path: Path) -> None:
    far = under_an_intermediate()
    async with authority(far.answer) as running:
        file = await house.export(authority=TimeStampingAuthority(running.url, [far.root]))
    assert check(file, house.keys, tmp_path, roots=[far.root]).stamped_at is not None
    with pytest.raises(NotVerified, match="not signed by an authority that is trusted"):
        check(file, house.keys, tmp_path, roots=[*far.between])


async def test_what_happens_to_a_stamp_behind_the_operator_s_back_is_found(
    house: House, trusted: Identity, other: Identity, tmp_path: Path
) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    lines = stamped(lines, trusted.token(note(lines), STAMPED))
    number = of(lines, "timestamp")
    again = base64.b64encode(trusted.token(note(lines), STAMPED + timedelta(days=1))).decode()
    another = base64.b64encode(other.token(note(lines))).decode()
    for told in (
        None,
        {"authority": "x", "token": None},
        {"authority": "x", "token": again},
        {"authority": "x", "token": another},
        {"authority": "y", "token": json.loads(lines[number])["timestamp"]["token"]},
    ):
        changed = [*lines[:number], as_line("timestamp", told), *lines[number + 1 :]]
        for roots in ([], [trusted.root], [other.root]):
            with pytest.raises(NotVerified):
                check(b"".join(changed), house.keys, tmp_path, roots=roots)


async def test_the_command_tells_the_time_and_names_what_it_lacks(
    house: House, trusted: Identity, other: Identity, tmp_path: Path
) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    (tmp_path / "export").write_bytes(b"".join(stamped(lines, trusted.token(note(lines), STAMPED))))
    for name, one in (("trusted", trusted), ("other", other)):
        (tmp_path / f"{name}.pem").write_bytes(one.root.public_bytes(Encoding.PEM))
    (tmp_path / "nonsense.pem").write_bytes(b"nonsense")

    verifier = audit_verifier.__file__
    program = "import sys, runpy; sys.modules.update(dict.fromkeys({})); runpy.run_path({!r}, run_name='__main__')"

    async def run(*arguments: str, lacking: tuple[str, ...] = ()) -> tuple[int, str, str]:
        key = ("--key", SIGNERS.of(house.caller.org_id).vkey)
        command = [sys.executable, "-I", "-c", program.format(lacking, verifier), "export", *key, *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    code, out, _ = await run("--timestamp-certificate", "trusted.pem")
    assert (code, out.splitlines()[-1]) == (0, "time stamp: the tree existed on 2026-05-11T12:00:07+00:00")
    code, out, _ = await run()
    assert code == 0
    assert "2026-05-11T12:00:07" not in out
    assert "time is not checked" in out.splitlines()[-1]
    for certificate, reason in (
        ("other.pem", "not signed by an authority that is trusted"),
        ("nonsense.pem", "cannot be read"),
        ("missing.pem", "cannot be read"),
    ):
        code, out, err = await run("--timestamp-certificate", certificate)
        assert (code, out) == (1, "")
        assert reason in err
    code, out, err = await run(lacking=("rfc3161_client",))
    assert (code, out) == (1, "")
    assert "needs the package rfc3161-client" in err
    assert "Traceback" not in err
