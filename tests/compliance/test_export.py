"""The export, verified offline; and everything that somebody who holds the file, or the database, might do to it."""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import audit_verifier
from cli.audit_keys import endorsement
from cli.audit_verifier import NotVerified, Signed
from services.chassis.access import Call, Principal, current
from services.chassis.database import Database
from services.chassis.errors import ValidationFailed
from services.compliance.clients.time_stamping import TimeStampingAuthority
from services.compliance.domain.checkpoints import LOG_OF_LOGS, Signers
from services.compliance.domain.leaves import leaf_hash
from services.compliance.domain.merkle import Tree
from services.compliance.store import sequencing
from services.compliance.usecases.audit_log import AuditIntake, IntakeTrail
from services.compliance.usecases.exporting import Asked, Exports
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
    renumbered,
    resigned,
    trusting,
    with_field,
    with_header,
    without,
)
from tests.compliance.support import KEY, NOON, SIGNERS, event, sequencer
from tests.compliance.time_stamping import authority, identity
from tests.fakes import FrozenClock


async def test_an_export_is_verified_with_the_key_alone(house: House, tmp_path: Path) -> None:
    verified = check(await house.export(), house.keys, tmp_path)
    assert (verified.first, verified.count, verified.tree_size) == (0, ENTRIES, ENTRIES)
    assert verified.origin == f"hasp.example/audit/{house.caller.org_id}"
    assert verified.signed_by == audit_verifier.fingerprint(raw(KEY))


async def test_it_is_the_same_for_every_range(house: House, tmp_path: Path) -> None:
    for since, until in ((0, 6), (6, 9), (9, 42), (30, 60), (57, 60), (0, 60), (6, 6)):
        asked = Asked(NOON + timedelta(minutes=since), NOON + timedelta(minutes=until))
        verified = check(await house.export(asked), house.keys, tmp_path)
        assert verified.count == until - since
        if since < until:
            assert verified.first == since
            assert verified.tree_size == until
    assert check(await house.export(Asked(NOON + timedelta(days=9))), house.keys, tmp_path).count == 0


async def test_an_organization_without_entries_exports_none(
    db: Database, alice: Principal, clock: FrozenClock, tmp_path: Path
) -> None:
    house = House(db, alice, clock)
    assert check(await house.export(), house.keys, tmp_path).tree_size == 0


async def test_that_it_was_taken_is_in_the_audit_before_its_first_byte(house: House) -> None:
    exports = Exports(house.db, house.clock, IntakeTrail(house.clock), SIGNERS, ())
    token = current.set(Call(method="/test", request_id="req_01J00000000000000000000REQ", principal=house.caller))
    await exports.export(house.caller, Asked())
    current.reset(token)
    async with house.db.hot.connection() as connection:
        cursor = await connection.execute(
            "SELECT action, entity_type FROM audit_intake WHERE org_id = %s", (house.caller.org_id,)
        )
        assert await cursor.fetchall() == [("audit.exported", "audit_log")]


@pytest.mark.parametrize("removed", range(ENTRIES - 7, ENTRIES))
async def test_whichever_entry_is_removed_is_among_those_that_are_named(
    house: House, tmp_path: Path, removed: int
) -> None:
    lines = (await house.export()).splitlines(keepends=True)
    entries = [number for number, line in enumerate(lines) if line.startswith(b'{"action"')]
    del lines[entries[removed]]
    with pytest.raises(NotVerified) as found:
        check(b"".join(lines), house.keys, tmp_path)
    first, last = found.value.seq, found.value.last
    assert first is not None
    assert last is not None
    assert first <= removed <= last


async def test_an_earlier_tree_that_is_the_larger_one_is_said_to_be(house: House, tmp_path: Path) -> None:
    written = await house.export()
    await house.grow(40, 7)
    (later := tmp_path / "later").write_bytes(await house.export())
    size = audit_verifier.anchor_of(later, house.keys).size
    with pytest.raises(NotVerified, match=rf"the earlier one has {size} leaves, and this one {ENTRIES}"):
        check(written, house.keys, tmp_path, [audit_verifier.anchor_of(later, house.keys)])


async def test_the_exports_of_two_days_show_that_the_first_is_a_prefix(house: House, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.write_bytes(await house.export())
    earlier = audit_verifier.anchor_of(first, house.keys)
    await house.grow(40, 7)
    for asked in (Asked(), Asked(from_size=ENTRIES), Asked(NOON + timedelta(hours=9), from_size=ENTRIES)):
        assert check(await house.export(asked), house.keys, tmp_path, [earlier]).earlier == (ENTRIES,)
    forged = Signed(ENTRIES, hashlib.sha256(b"another history").digest(), earlier.text)
    for asked in (Asked(), Asked(NOON + timedelta(hours=9), from_size=ENTRIES)):
        with pytest.raises(NotVerified, match="is not a prefix"):
            check(await house.export(asked), house.keys, tmp_path, [forged])
    with pytest.raises(NotVerified, match="does not show"):
        check(await house.export(Asked(NOON + timedelta(hours=9))), house.keys, tmp_path, [earlier])


async def test_no_later_tree_is_a_prefix(house: House) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await house.export(Asked(from_size=ENTRIES + 1))
    assert refused.value.param == "from_size"


async def test_a_new_key_is_believed_when_a_trusted_one_signed_for_it(house: House, tmp_path: Path) -> None:
    successors = Signers("hasp.example", SUCCESSOR)
    seal = sequencer(house.db)
    seal._signers = successors
    async with house.db.hot.connection() as connection:
        epoch = await sequencing.lead(connection)
        assert epoch is not None
        await AuditIntake(house.db).append([event(house.caller.org_id)])
        await sequencing.place(connection, epoch, seal._seal)
        await connection.execute("SELECT pg_advisory_unlock_all()")
    said = endorsement("hasp.example", raw(KEY), raw(SUCCESSOR), "2026-06-01T00:00:00+00:00")
    good = await house.export(signers=successors, endorsements=(SIGNERS.of(LOG_OF_LOGS).sign(said),))
    deployment = trusting(SIGNERS.of(LOG_OF_LOGS).vkey)
    assert check(good, deployment, tmp_path).signed_by == audit_verifier.fingerprint(raw(SUCCESSOR))
    for bad in (
        await house.export(signers=successors),
        await house.export(signers=successors, endorsements=(successors.of(LOG_OF_LOGS).sign(said),)),
        await house.export(
            signers=successors,
            endorsements=(
                SIGNERS.of(LOG_OF_LOGS).sign(endorsement("hasp.example", raw(OTHER), raw(SUCCESSOR), "2026-06-01")),
            ),
        ),
    ):
        with pytest.raises(NotVerified):
            check(bad, deployment, tmp_path)


async def test_the_command_says_so_and_ends_with_0_or_1(house: House, tmp_path: Path) -> None:
    file = tmp_path / "export"
    file.write_bytes(await house.export())
    vkey = SIGNERS.of(house.caller.org_id).vkey

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        # Alone, as an auditor has it: in a folder without the project, which is on no path.
        alone = tmp_path / "audit_verifier.py"
        alone.write_bytes(Path(audit_verifier.__file__).read_bytes())
        return subprocess.run(
            [sys.executable, "-I", str(alone), *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )

    good = run(str(file), "--key", vkey)
    assert good.returncode == 0, good.stderr
    assert good.stdout.startswith("VERIFIED hasp.example/audit/")
    (tmp_path / "pinned").write_text(f"# of the deployment\n{vkey}\n")
    assert run(str(file), "--trusted", str(tmp_path / "pinned")).returncode == 0
    for arguments in ((), ("--key", Signers("hasp.example", OTHER).of(house.caller.org_id).vkey)):
        bad = run(str(file), *arguments)
        assert (bad.returncode, bad.stdout) == (1, "")
        assert bad.stderr.startswith("NOT VERIFIED")
        assert audit_verifier.fingerprint(raw(KEY)) in bad.stderr
    assert run(str(file), "--key", "nonsense").returncode == 1
    assert run(str(tmp_path / "nothing"), "--key", vkey).returncode == 1


# --- tampering ----------------------------------------------------------------------------------------------------------------


def header_counts(lines: Lines, removed: int) -> Lines:
    return with_header(lines, count=ENTRIES - removed, tree_size=ENTRIES - removed)


def anchored_early(lines: Lines) -> Lines:
    number = of(lines, "anchor")
    return [*lines[:number], lines[of(lines, "checkpoint")].replace(b"checkpoint", b"anchor", 1), *lines[number + 1 :]]


def rehashed(lines: Lines, seq: int) -> Lines:
    """An entry edited, and every root behind it computed anew under the old signatures."""
    tree, out = Tree(), []
    for line in edited(lines, seq, b"api_key.created", b"api_key.revoked"):
        kind = line[2:].partition(b'"')[0].decode()
        if kind == "action":
            tree.append([leaf_hash(line[:-1])])
        if kind in {"checkpoint", "anchor"}:
            body, _, signature = json.loads(line)[kind].rpartition("\n\n")
            body = "\n".join([*body.split("\n")[:2], base64.b64encode(tree.root).decode()])
            out.append(as_line(kind, f"{body}\n\n{signature}"))
        else:
            out.append(line)
    return out


def swapped(lines: Lines, one: int, other: int) -> Lines:
    first, second = at(lines, one), at(lines, other)
    out = list(lines)
    out[first], out[second] = out[second], out[first]
    return out


TAMPERINGS: dict[str, tuple[Callable[[Lines], Lines], int | None]] = {
    "a middle entry removed": (lambda lines: without(lines, 30), 30),
    "the first entry removed": (lambda lines: without(lines, 0), 0),
    "the last entry removed": (lambda lines: without(lines, 59), 57),
    "the last entries removed and the header told": (lambda lines: header_counts(without(lines, 57, 58, 59), 3), None),
    "a middle entry removed and the rest renumbered": (
        lambda lines: header_counts(renumbered(without(lines, 30)), 1),
        30,
    ),
    "two entries swapped": (lambda lines: swapped(lines, 20, 40), 20),
    "two entries swapped and renumbered": (lambda lines: renumbered(swapped(lines, 22, 41)), 21),
    "an entry told twice": (lambda lines: [*lines[: at(lines, 9)], lines[at(lines, 9)], *lines[at(lines, 9) :]], 10),
    "an entry's action edited": (lambda lines: edited(lines, 31, b"api_key.created", b"api_key.revoked"), 30),
    "an entry's actor edited": (lambda lines: edited(lines, 4, b"ADMN", b"ADMX"), 3),
    "an entry's moment edited": (lambda lines: edited(lines, 33, b"2026-05-11T12", b"2026-05-12T12"), 33),
    "a blank put into an entry": (lambda lines: edited(lines, 45, b'{"action":"', b'{"action": "'), 45),
    "an entry edited and every root behind it computed anew": (lambda lines: rehashed(lines, 30), 30),
    "an entry of another organization put in": (lambda lines: edited(lines, 12, b'"org_id":"', b'"org_id":"X'), 12),
    "a checkpoint removed": (
        lambda lines: [line for line in lines if b"audit/" not in line or b"\\n30\\n" not in line],
        None,
    ),
    "a checkpoint moved": (
        lambda lines: [*lines[: at(lines, 0)], lines[of(lines, "checkpoint")], *lines[at(lines, 0) :]],
        0,
    ),
    "the anchor of an earlier tree": (anchored_early, None),
    "the time of making edited": (lambda lines: with_header(lines, made_at="2030-01-01T00:00:00.000+00:00"), None),
    "the range's times edited": (lambda lines: with_header(lines, since="2020-01-01T00:00:00.000+00:00"), None),
    "the claimed key edited": (lambda lines: with_header(lines, key=Signers("hasp.example", OTHER).of("x").vkey), None),
    "a time stamp invented": (
        lambda lines: with_field(lines, "timestamp", lambda _: {"authority": "x", "token": "AA=="}),
        None,
    ),
    "the time stamp removed": (lambda lines: with_field(lines, "timestamp", lambda _: None), None),
    "the time stamp's token removed": (
        lambda lines: with_field(lines, "timestamp", lambda stamp: {**stamp, "token": None}),
        None,
    ),
    "the time stamp's authority edited": (
        lambda lines: with_field(lines, "timestamp", lambda stamp: {**stamp, "authority": "https://tsa.example"}),
        None,
    ),
    "the time stamp's token edited": (
        lambda lines: with_field(lines, "timestamp", lambda stamp: {**stamp, "token": f"AA{stamp['token'][2:]}"}),
        None,
    ),
    "a blank put into the manifest": (lambda lines: [*lines[:-1], lines[-1].replace(b":", b": ", 1)], None),
    "a second signature put under the manifest": (
        lambda lines: with_field(lines, "manifest", lambda note: f"{note}— somebody AAAA\n"),
        None,
    ),
    "the place in the log of logs edited": (
        lambda lines: with_field(lines, "log", lambda log: {**log, "index": log["index"] - 1}),
        None,
    ),
    "the log of logs removed": (lambda lines: with_field(lines, "log", lambda _: None), None),
    "the manifest removed": (lambda lines: lines[: of(lines, "manifest")], None),
    "cut in the middle of a line": (lambda lines: [*lines[:50], lines[50][:20]], None),
    "more behind the manifest": (lambda lines: [*lines, lines[at(lines, 3)]], None),
    "the whole file signed anew with another key": (lambda lines: resigned(lines, OTHER), None),
    "an entry edited and the whole file signed anew with another key": (
        lambda lines: resigned(edited(lines, 31, b"api_key.created", b"api_key.revoked"), OTHER),
        None,
    ),
    "a middle entry removed, renumbered and signed anew with another key": (
        lambda lines: resigned(header_counts(renumbered(without(lines, 30)), 1), OTHER),
        None,
    ),
}


async def stamped_export(house: House) -> bytes:
    one = identity()
    async with authority(one.answer) as running:
        return await house.export(authority=TimeStampingAuthority(running.url, [one.root]))


async def test_every_tampering_is_found_and_named(house: House, tmp_path: Path) -> None:
    lines = (await stamped_export(house)).splitlines(keepends=True)
    # Signed by the right key this would be good: what is refused below is refused for the key.
    assert check(b"".join(resigned(lines, KEY)), house.keys, tmp_path).count == ENTRIES
    assert len(TAMPERINGS) >= 20
    for name, (tamper, seq) in TAMPERINGS.items():
        tampered = b"".join(tamper(lines))
        assert tampered != b"".join(lines), name
        with pytest.raises(NotVerified) as found:
            check(tampered, house.keys, tmp_path)
        if seq is not None:
            assert found.value.seq == seq, (name, str(found.value), found.value.seq)
            assert found.value.last is not None
            assert found.value.last - seq <= 2, name  # three entries were signed for at a time


async def test_where_each_entry_was_signed_for_alone_the_very_entry_is_named(
    db: Database, alice: Principal, clock: FrozenClock, tmp_path: Path
) -> None:
    house = House(db, alice, clock)
    await house.grow(20, 1)
    lines = (await house.export()).splitlines(keepends=True)
    for tampered in (edited(lines, 11, b"ADMN", b"ADMX"), rehashed(lines, 11)):
        with pytest.raises(NotVerified, match="entry 11") as found:
            check(b"".join(tampered), house.keys, tmp_path)
        assert found.value.seq == 11


async def test_what_the_database_s_owner_edits_is_found(house: House, tmp_path: Path) -> None:
    """The hashes edited with the leaf: whoever can write every table cannot sign."""
    async with house.db.hot.connection() as connection:
        cursor = await connection.execute(
            "SELECT leaf FROM audit_entries WHERE org_id = %s AND seq = 30", (house.caller.org_id,), binary=True
        )
        row = await cursor.fetchone()
    assert row is not None
    lines = (await house.export()).splitlines(keepends=True)
    number = lines.index(row[0] + b"\n")
    forged = row[0].replace(b"api_key.created", b"api_key.revoked")
    with pytest.raises(NotVerified) as found:
        check(b"".join([*lines[:number], forged + b"\n", *lines[number + 1 :]]), house.keys, tmp_path)
    assert found.value.seq == 30


async def test_random_edits_are_found(house: House, tmp_path: Path) -> None:
    file = await stamped_export(house)
    keys = house.keys
    lines = file.splitlines(keepends=True)

    @given(st.data())
    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def edit(data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(["byte", "insert", "delete", "drop", "swap", "repeat", "cut"]))
        # The last lines are long, and what signs the rest is itself signed by nothing.
        start = data.draw(st.sampled_from([0, file.index(b'{"timestamp":'), file.index(b'{"manifest":')]))
        place = data.draw(st.integers(start, len(file) - 1))
        line, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        changed = bytearray(file)
        if kind == "byte":
            changed[place] ^= data.draw(st.integers(1, 255))
        elif kind == "insert":
            changed[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        elif kind == "delete":
            del changed[place : place + data.draw(st.integers(1, 40))]
        elif kind == "cut":
            del changed[place:]
        else:
            rest = list(lines)
            if kind == "drop":
                del rest[line]
            elif kind == "swap":
                rest[line], rest[other] = rest[other], rest[line]
            else:
                rest.insert(other, rest[line])
            changed = bytearray(b"".join(rest))
        if bytes(changed) != file:
            with pytest.raises(NotVerified):
                check(bytes(changed), keys, tmp_path)

    await asyncio.to_thread(edit)
