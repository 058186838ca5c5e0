"""An organization whose log is exported, and what somebody who holds the file may do to it."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cli import audit_verifier
from cli.audit_verifier import Keys, Signed, Verified
from services.chassis.access import Call, Principal, current
from services.chassis.database import Database
from services.compliance.clients.time_stamping import TimeStampingAuthority
from services.compliance.domain.checkpoints import LOG_OF_LOGS, Signers, head_hash, text
from services.compliance.domain.exports import Extent, manifest
from services.compliance.domain.leaves import leaf_hash
from services.compliance.domain.merkle import Tree
from services.compliance.store import sequencing
from services.compliance.usecases.audit_log import AuditIntake, IntakeTrail
from services.compliance.usecases.exporting import Asked, Exports
from tests.compliance.support import NOON, SIGNERS, event, sequencer
from tests.fakes import FrozenClock

ENTRIES = 60
EVERYTHING = Asked()
OTHER = Ed25519PrivateKey.from_private_bytes(b"the signing key of somebody else")
SUCCESSOR = Ed25519PrivateKey.from_private_bytes(b"the key that replaces the first.")


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@dataclass(frozen=True)
class House:
    """An organization with some entries, each pass of the sequencer signing for some of them."""

    db: Database
    caller: Principal
    clock: FrozenClock

    async def grow(self, count: int, batch: int = 3) -> None:
        intake = AuditIntake(self.db)
        async with self.db.hot.connection() as connection:
            await connection.execute("SELECT pg_advisory_unlock_all()")
            epoch = await sequencing.lead(connection)
            assert epoch is not None
            for start in range(0, count, batch):
                # Those of one pass get their places by their ids, which say nothing below a millisecond.
                moments = [NOON + timedelta(minutes=start)] * min(batch, count - start)
                await intake.append([event(self.caller.org_id, created_at=moment) for moment in moments])
                assert await sequencing.place(connection, epoch, sequencer(self.db)._seal) >= len(moments)
            await connection.execute("SELECT pg_advisory_unlock_all()")

    async def export(
        self,
        asked: Asked = EVERYTHING,
        signers: Signers = SIGNERS,
        endorsements: tuple[str, ...] = (),
        authority: TimeStampingAuthority | None = None,
    ) -> bytes:
        exports = Exports(self.db, self.clock, IntakeTrail(self.clock), signers, endorsements, authority)
        token = current.set(Call(method="/test", request_id="req_01J00000000000000000000REQ", principal=self.caller))
        try:
            return b"".join([piece async for piece in await exports.export(self.caller, asked)])
        finally:
            current.reset(token)

    @property
    def keys(self) -> Keys:
        return trusting(SIGNERS.of(self.caller.org_id).vkey)


def trusting(*vkeys: str) -> Keys:
    keys = Keys()
    for vkey in vkeys:
        keys.add(vkey)
    return keys


def check(
    file: bytes,
    keys: Keys,
    folder: Path,
    earlier: list[Signed] | None = None,
    roots: list[x509.Certificate] | None = None,
) -> Verified:
    path = folder / "export"
    path.write_bytes(file)
    return audit_verifier.verify(path, keys, earlier, roots)


Lines = list[bytes]


def of(lines: Lines, kind: str) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith(b'{"%s":' % kind.encode()))


def at(lines: Lines, seq: int) -> int:
    return next(
        number for number, line in enumerate(lines) if b'"seq":%d,' % seq in line and line.startswith(b'{"action"')
    )


def edited(lines: Lines, seq: int, old: bytes, new: bytes) -> Lines:
    number = at(lines, seq)
    assert old in lines[number]
    return [*lines[:number], lines[number].replace(old, new), *lines[number + 1 :]]


def with_field(lines: Lines, kind: str, change: Callable[[Any], object]) -> Lines:
    number = of(lines, kind)
    return [*lines[:number], as_line(kind, change(json.loads(lines[number])[kind])), *lines[number + 1 :]]


def with_header(lines: Lines, **changed: object) -> Lines:
    return with_field(lines, "header", lambda header: header | changed)


def without(lines: Lines, *seqs: int) -> Lines:
    gone = {at(lines, seq) for seq in seqs}
    return [line for number, line in enumerate(lines) if number not in gone]


def renumbered(lines: Lines) -> Lines:
    seq, out = -1, []
    for line in lines:
        is_entry = line.startswith(b'{"action"')
        seq += is_entry
        out.append(re.sub(rb'"seq":\d+,', b'"seq":%d,' % seq, line) if is_entry else line)
    return out


def resigned(lines: Lines, key: Ed25519PrivateKey) -> Lines:
    """Everything that is signed computed anew and signed with this key, as whoever wrote the file might do with their own."""
    header = json.loads(lines[0])["header"]
    signers = Signers("hasp.example", key)
    signer = signers.of(header["org_id"])
    tree, out = Tree(), [as_line("header", {**header, "key": signer.vkey})]
    for line in lines[1:]:
        kind = line[2:].partition(b'"')[0].decode()
        told = text(signer.name, tree.size, tree.root) if tree.size else ""
        if kind == "action":
            tree.append([leaf_hash(line[:-1])])
            out.append(line)
        elif kind in {"checkpoint", "anchor"}:
            out.append(as_line(kind, signer.sign(told)))
        elif kind == "log":
            log = Tree()
            log.append([head_hash(told)])
            note = signers.of(LOG_OF_LOGS).sign(text("hasp.example/audit", 1, log.root))
            out.append(as_line(kind, {"index": 0, "hashes": [], "checkpoint": note}))
        elif kind == "manifest":
            extent = Extent(header["first"], header["first"] + header["count"], header["tree_size"])
            sha256 = hashlib.sha256(b"".join(out)).hexdigest()
            out.append(as_line(kind, signer.sign(manifest(signer.name, extent, sha256))))
        else:
            out.append(line)
    return out


def as_line(kind: str, value: object) -> bytes:
    return json.dumps({kind: value}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
