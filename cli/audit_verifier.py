"""Checks an audit export with nothing but a trusted key: no network, no database, no other module of this project.

    python audit_verifier.py FILE --key VKEY [--key VKEY …] [--trusted FILE] [--earlier FILE …] [--timestamp-certificate PEM]

exits with 0 where the file is what the operator signed, whole and in order; with 1 where it is not, naming the first entry that is bad.
It needs Python 3.11 and `cryptography`, and `rfc3161-client` for a file that bears a time stamp. How the file is made:
services/compliance/domain/exports.py; the tree: RFC 6962 §2.1 and RFC 9162 §2.1; signatures: C2SP signed-note. A key is trusted because it
was given from outside, or because an already trusted one has signed for it: whatever the file says of itself makes nothing trusted.

A time stamp (RFC 3161) must be over the very checkpoint that the file ends with, whether or not anybody asks for its time. With the roots
of an authority given, the file must bear one that chains to them; only then is a time told. Nothing is fetched, so that it is not noticed
where an issuer has revoked a certificate.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "hasp-audit-export/1"
ENDORSEMENT = "hasp-audit-key/1"
_MOST_LINE = 64 << 20
_MOST_NOTE = 64 << 10
_MOST_SHOWN = 200


class NotVerified(Exception):
    """What is wrong, for a person to read. The first entry that is bad is `seq`, or one of those from there to `last`: what was signed
    together can only be told apart together. Both are None where it is no entry that is bad."""

    def __init__(self, reason: str, seq: int | None = None, last: int | None = None) -> None:
        super().__init__(reason)
        self.seq = seq
        self.last = seq if last is None else last


@dataclass(frozen=True)
class Verified:
    """What the file proves."""

    origin: str
    first: int
    count: int
    tree_size: int
    root: str
    """Hex."""
    signed_by: str
    """The fingerprint of the key: SHA-256 of the raw public key, hex."""
    earlier: tuple[int, ...] = ()
    """Sizes of the earlier trees that were shown to be prefixes of this one."""
    time_stamp: str = "none"
    """What is known of one, for a person."""
    stamped_at: datetime | None = None
    """When the tree's checkpoint existed, on the word of an authority that is trusted; None where no such word was checked."""
    believed: tuple[str, ...] = ()
    """Verifier keys that were not given, and that a trusted one has signed for."""


def _vkey(name: str, key: bytes) -> str:
    return f"{name}+{_key_id(name, key).hex()}+{base64.b64encode(bytes([1]) + key).decode()}"


def fingerprint(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()


def fingerprint_of(vkey: str) -> str:
    """Of an Ed25519 verifier key. Raises ValueError."""
    return fingerprint(base64.b64decode(vkey.split("+", 2)[2], validate=True)[1:])


def _shown(told: object) -> str:
    """Something that a file says, so that no terminal takes it for anything else."""
    return ascii(told if isinstance(told, str) else str(told))[1:-1][:_MOST_SHOWN]


# --- signed notes -------------------------------------------------------------------------------------------------------------


@dataclass
class Keys:
    """Raw public keys that are trusted to sign as `name`, as anything below `name/`, and as what `name` is below: the operator signs as
    `<deployment>/audit/<organization>` for one tree, and with the same key as `<deployment>/audit` for what all of them share."""

    trusted: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, vkey: str) -> None:
        """Raises ValueError for what is no Ed25519 verifier key."""
        parts = vkey.strip().split("+", 2)
        if len(parts) != 3:
            raise ValueError("not a verifier key, which reads NAME+ID+KEY")
        name, key_id, encoded = parts
        raw = base64.b64decode(encoded, validate=True)
        if raw[:1] != b"\x01" or len(raw) != 33 or _key_id(name, raw[1:]).hex() != key_id:
            raise ValueError("not an Ed25519 verifier key, or its parts do not belong together")
        self.trusted.append((name, raw[1:]))

    def add_all(self, path: Path) -> None:
        """Those of a file, one a line; lines that begin with `#` are for people. Raises ValueError, OSError."""
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                self.add(line)

    def of(self, name: str) -> list[bytes]:
        return [
            key
            for trusted, key in self.trusted
            if name == trusted or name.startswith(f"{trusted}/") or trusted.startswith(f"{name}/")
        ]

    def open(self, note: str, name: str) -> tuple[str, bytes]:
        """The text, and the key that signed it as `name`. Raises NotVerified."""
        text, between, lines = note.rpartition("\n\n")
        if not between:
            raise NotVerified("a signed note has no signature")
        text += "\n"
        for line in lines.split("\n"):
            parts = line.split(" ")
            if len(parts) != 3 or parts[0] != "—" or parts[1] != name:
                continue
            try:
                signed = base64.b64decode(parts[2], validate=True)
            except ValueError:
                continue
            if base64.b64encode(signed).decode() != parts[2]:
                continue
            for key in self.of(name):
                if signed[:4] == _key_id(name, key) and _signs(key, signed[4:], text):
                    return text, key
        raise NotVerified(f"a note is not signed by a trusted key as {_shown(name)}")

    def believe(self, endorsement: str, deployment: str) -> None:
        """Trust the new key that an already trusted one has signed for, for what that one was trusted for; what another signed says
        nothing. Raises NotVerified."""
        try:
            text, signed_by = self.open(endorsement, deployment)
        except NotVerified:
            return
        lines = text.split("\n")
        if len(lines) != 6 or lines[0] != ENDORSEMENT or lines[1] != deployment:
            raise NotVerified("an endorsement of a key does not have its form")
        old, new = (_public(lines[at], word) for at, word in ((2, "old"), (3, "new")))
        if old != signed_by:
            raise NotVerified("an endorsement is not signed by the key that it replaces")
        told = {(name, new) for name, key in self.trusted if key == old}
        self.trusted += sorted(told.difference(self.trusted))


def _public(line: str, word: str) -> bytes:
    said, _, encoded = line.partition(" ")
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if said != word or len(key) != 32:
        raise NotVerified("an endorsement of a key does not have its form")
    return key


def _key_id(name: str, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4]


def _signs(key: bytes, signature: bytes, text: str) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text.encode())
    except InvalidSignature:
        return False
    return True


# --- trees --------------------------------------------------------------------------------------------------------------------


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class Tree:
    """As perfect subtrees (level, root), largest first."""

    size: int = 0
    perfect: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, level: int, hashed: bytes) -> None:
        """A perfect subtree at the right edge. Raises NotVerified where none of this level can follow."""
        if self.size & ((1 << level) - 1):
            raise NotVerified("the subtrees beside the entries do not fit the tree")
        self.size += 1 << level
        while self.perfect and self.perfect[-1][0] == level:
            hashed = node_hash(self.perfect.pop()[1], hashed)
            level += 1
        self.perfect.append((level, hashed))

    @property
    def root(self) -> bytes:
        if not self.perfect:
            return hashlib.sha256(b"").digest()
        hashed = self.perfect[-1][1]
        for _, left in reversed(self.perfect[:-1]):
            hashed = node_hash(left, hashed)
        return hashed


def levels(start: int, end: int) -> Iterator[int]:
    """Of the perfect subtrees that lie side by side from start to end."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level
        start += 1 << level


def is_included(index: int, size: int, leaf_hash: bytes, proof: list[bytes], root: bytes) -> bool:
    """RFC 9162 §2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn, hashed = index, size - 1, leaf_hash
    for other in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            hashed = node_hash(other, hashed)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            hashed = node_hash(hashed, other)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and hashed == root


def is_prefix(first: int, second: int, first_root: bytes, second_root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162 §2.1.4.2."""
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    path = [first_root, *proof] if first & (first - 1) == 0 else proof
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for other in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(other, fr), node_hash(other, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, other)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (fr, sr) == (first_root, second_root)


@dataclass(frozen=True)
class Signed:
    """A checkpoint whose signature was found good."""

    size: int
    root: bytes
    text: str


def checkpoint(note: Any, origin: str, keys: Keys) -> Signed:
    """Raises NotVerified."""
    if not isinstance(note, str):
        raise NotVerified("a checkpoint is missing")
    text, _ = keys.open(note, origin)
    lines = text.split("\n")
    try:
        if lines[0] != origin or not lines[1].isascii() or not lines[1].isdecimal():
            raise ValueError  # noqa: TRY301 - as for what cannot be read
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (ValueError, IndexError):
        raise NotVerified("a checkpoint does not have its form") from None
    return Signed(size, root, text)


# --- the file -----------------------------------------------------------------------------------------------------------------


class _Lines:
    """The file's lines; and the SHA-256 of those before the last that was given out."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._digest = hashlib.sha256()
        self._last = b""
        self.number = 0

    def next(self) -> bytes:
        """Without its newline. Raises NotVerified at the end of the file."""
        self._digest.update(self._last)
        self._last = self._file.readline(_MOST_LINE)
        self.number += 1
        if not self._last.endswith(b"\n"):
            raise NotVerified(f"the file ends too early, in line {self.number}")
        return self._last[:-1]

    @property
    def last(self) -> bytes:
        """The one that was given out last, with its newline."""
        return self._last

    def value(self, kind: str, line: bytes | None = None) -> Any:
        """What the next line holds as `kind`. Raises NotVerified."""
        told = _json(self.next() if line is None else line, self.number)
        if not isinstance(told, dict) or list(told) != [kind]:
            raise NotVerified(f"line {self.number} should hold the {kind}")
        return told[kind]

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def is_at_end(self) -> bool:
        return not self._file.read(1)

    def close(self) -> None:
        self._file.close()


def _json(line: bytes, number: int) -> Any:
    """It must say the same to everybody: UTF-8, and no name twice in an object."""
    try:
        told = _DECODER.decode(line.decode())
        if b"\\ud" in line or b"\\uD" in line:
            json.dumps(told, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise NotVerified(f"line {number} cannot be read") from None
    return told


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return told


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _hashes(values: Any) -> list[bytes]:
    try:
        if not isinstance(values, list):
            raise TypeError  # noqa: TRY301 - as for what cannot be read
        hashes = [bytes.fromhex(value) for value in values]
    except (TypeError, ValueError):
        raise NotVerified("a list of hashes cannot be read") from None
    if any(len(hashed) != 32 for hashed in hashes):
        raise NotVerified("a list of hashes cannot be read")
    return hashes


@dataclass(frozen=True)
class _Header:
    org_id: str
    origin: str
    first: int
    count: int
    tree_size: int

    @property
    def end(self) -> int:
        return self.first + self.count

    @property
    def deployment(self) -> str:
        """The name under which keys are endorsed: the origin without the organization."""
        return self.origin.removesuffix(f"/{self.org_id}")


def _header(told: Any) -> _Header:
    try:
        if told["format"] != FORMAT:
            raise NotVerified(f"the file is not a {FORMAT}")
        header = _Header(*(told[name] for name in ("org_id", "origin", "first", "count", "tree_size")))
        numbers = (header.first, header.count, header.tree_size)
        if any(type(number) is not int or number < 0 for number in numbers) or header.end > header.tree_size:
            raise ValueError  # noqa: TRY301 - as for what cannot be read
        if not isinstance(header.org_id, str) or not header.org_id or not header.origin.endswith(f"/{header.org_id}"):
            raise ValueError  # noqa: TRY301
    except (TypeError, KeyError, ValueError, AttributeError):
        raise NotVerified("the header cannot be read") from None
    return header


class _Reading:
    """One pass over a file. A careful one looks at the signature of every checkpoint: it tells best which entry is bad."""

    def __init__(
        self, path: Path, keys: Keys, earlier: list[Signed], roots: list[x509.Certificate], *, careful: bool
    ) -> None:
        self._careful = careful
        self._lines = _Lines(path)
        self._keys = Keys(list(keys.trusted))
        self._given = len(keys.trusted)
        self._tree = Tree()
        self._earlier: dict[int, list[Signed]] = {}
        for signed in earlier:
            self._earlier.setdefault(signed.size, []).append(signed)
        self._roots = roots
        self._prefixes: set[int] = set()
        self._sound = 0
        """Leaves below the last checkpoint that the entries agreed with."""
        self.unsigned: tuple[int, int] | None = None
        """The first entries since that stand before a checkpoint which no trusted key signed."""

    def verify(self) -> Verified:
        try:
            return self._verify()
        finally:
            self._lines.close()

    def _verify(self) -> Verified:
        header = self._header = _header(self._lines.value("header"))
        line = self._lines.next()
        while line.startswith(b'{"endorsement":'):
            self._keys.believe(_text(self._lines.value("endorsement", line)), header.deployment)
            line = self._lines.next()
        if not self._keys.of(header.origin):
            self._refuse_untrusted()
        for earlier in (signed for signatures in self._earlier.values() for signed in signatures):
            if earlier.text.partition("\n")[0] != header.origin:
                raise NotVerified("the earlier tree is not one of this organization")
        self._extend(_hashes(self._lines.value("left", line)), 0, header.first)
        self._sound = header.first
        self._meet_earlier()
        line = self._entries()
        self._extend(_hashes(self._lines.value("right", line)), header.end, header.tree_size)
        note = self._lines.value("anchor")
        anchor = self._anchor(note)
        self._log(self._lines.value("log"), anchor)
        self._prefix(self._lines.value("prefix"), anchor)
        stamped_at, time_stamp = self._timestamp(self._lines.value("timestamp"), note)
        signed_by = self._manifest(self._lines.value("manifest"))
        for size in self._earlier:
            if size > header.tree_size:
                raise NotVerified(
                    f"the tree given as the earlier one has {size} leaves, and this one {header.tree_size}"
                )
            if size not in self._prefixes:
                raise NotVerified(
                    f"the file does not show that the earlier tree of {size} leaves is a prefix of this one"
                )
        sizes = tuple(sorted(self._prefixes))
        return Verified(
            header.origin,
            header.first,
            header.count,
            header.tree_size,
            self._tree.root.hex(),
            fingerprint(signed_by),
            sizes,
            time_stamp,
            stamped_at,
            tuple(_vkey(name, key) for name, key in self._keys.trusted[self._given :]),
        )

    def _extend(self, hashes: list[bytes], start: int, end: int) -> None:
        expected = list(levels(start, end))
        if len(expected) != len(hashes):
            raise NotVerified("the subtrees beside the entries do not fit the tree")
        for level, hashed in zip(expected, hashes, strict=True):
            self._tree.add(level, hashed)

    def _entries(self) -> bytes:
        """The line behind them."""
        for seq in range(self._header.first, self._header.end):
            line = self._lines.next()
            while line.startswith(b'{"checkpoint":'):
                self._meet(self._lines.value("checkpoint", line))
                line = self._lines.next()
            self._check_entry(line, seq)
            self._tree.add(0, hashlib.sha256(b"\x00" + line).digest())
            self._meet_earlier()
        line = self._lines.next()
        while line.startswith(b'{"checkpoint":'):
            self._meet(self._lines.value("checkpoint", line))
            line = self._lines.next()
        return line

    def _check_entry(self, line: bytes, seq: int) -> None:
        if not line.startswith(b'{"action":'):
            raise NotVerified(f"entry {seq} is missing: another line stands in its place", seq)
        try:
            told = _json(line, self._lines.number)
            said, org_id, entry_id = told["seq"], told["org_id"], told["id"]
        except (NotVerified, TypeError, KeyError):
            raise NotVerified(f"entry {seq} cannot be read", seq) from None
        if type(said) is not int or said != seq:
            there = f"{_shown(entry_id)}, entry {_shown(said)}, stands there"
            raise NotVerified(f"entry {seq} is missing or out of place: {there}", seq)
        if org_id != self._header.org_id:
            raise NotVerified(f"entry {seq} ({_shown(entry_id)}) belongs to another organization", seq)

    def _meet(self, note: Any) -> None:
        """A checkpoint among the entries. Whatever it is, the manifest signs it too."""
        tree = self._tree
        if (
            not self._careful
            and isinstance(note, str)
            and note.startswith(f"{self._header.origin}\n{tree.size}\n{_encoded(tree.root)}\n\n")
        ):
            self._sound = tree.size
            return
        try:
            signed = checkpoint(note, self._header.origin, self._keys)
        except NotVerified:
            # By a key before those that are trusted, or by nobody: a later one tells.
            self.unsigned = self.unsigned or (self._sound, tree.size - 1)
            return
        if signed.size != tree.size:
            last = max(signed.size, tree.size) - 1
            where = f"the checkpoint of {signed.size} leaves stands behind entry {tree.size - 1}"
            raise NotVerified(
                f"{where}: among the entries {self._sound} to {last} one is missing or out of place", self._sound, last
            )
        if signed.root != tree.root:
            self._refuse_changed(tree.size)
        self._sound, self.unsigned = tree.size, None

    def _refuse_changed(self, size: int) -> NoReturn:
        seq, last = self._sound, min(size, self._header.end) - 1
        where = f"entry {seq}" if seq >= last else f"one of the entries {seq} to {last}"
        if seq == self._header.first > 0:
            where = f"{where}, or what the file says of those before,"
        raise NotVerified(f"{where} is not what was signed", seq, last)

    def _meet_earlier(self) -> None:
        for signed in self._earlier.get(self._tree.size, ()):
            if signed.root != self._tree.root:
                raise NotVerified(f"the earlier tree of {signed.size} leaves is not a prefix of this one")
            self._prefixes.add(signed.size)

    def _anchor(self, note: Any) -> Signed | None:
        header = self._header
        if note is None and header.tree_size == 0:
            return None
        anchor = checkpoint(note, header.origin, self._keys)
        if anchor.size != header.tree_size:
            raise NotVerified("the checkpoint is not of the tree that the header names")
        if anchor.root != self._tree.root:
            if self._sound >= header.end:
                raise NotVerified("the subtrees beside the entries do not lead to the signed root")
            self._refuse_changed(header.end)
        self._meet_earlier()
        return anchor

    def _log(self, told: Any, anchor: Signed | None) -> None:
        if told is None and anchor is None:
            return
        if not isinstance(told, dict):
            raise NotVerified("the checkpoint's place in the log of logs is missing")
        try:
            index, hashes, note = told["index"], _hashes(told["hashes"]), told["checkpoint"]
            log = checkpoint(note, self._header.deployment, self._keys)
        except (TypeError, KeyError):
            raise NotVerified("the checkpoint's place in the log of logs cannot be read") from None
        leaf = hashlib.sha256(b"\x00" + (anchor.text if anchor else "").encode()).digest()
        if type(index) is not int or not is_included(index, log.size, leaf, hashes, log.root):
            raise NotVerified("the checkpoint is not in the log of logs where the file says")

    def _prefix(self, told: Any, anchor: Signed | None) -> None:
        if told is None or anchor is None:
            return
        try:
            size, hashes = told["from_size"], _hashes(told["hashes"])
            signatures = self._earlier.get(size, ())
        except (TypeError, KeyError):
            raise NotVerified("the proof of a prefix cannot be read") from None
        for signed in signatures:
            if not is_prefix(signed.size, anchor.size, signed.root, anchor.root, hashes):
                raise NotVerified(f"the earlier tree of {signed.size} leaves is not a prefix of this one")
            self._prefixes.add(signed.size)

    def _manifest(self, note: Any) -> bytes:
        """The key that signed it."""
        header = self._header
        digest = self._lines.digest
        text, key = self._keys.open(_text(note), header.origin)
        expected = f"{FORMAT}\n{header.origin}\nfirst {header.first}\ncount {header.count}\ntree_size {header.tree_size}\nsha256 {digest}\n"
        if text != expected:
            raise NotVerified(
                "the file is not the one that the manifest signs: something else than an entry was changed"
            )
        # Nothing signs this line: there must be one way alone to write it.
        signatures = note.rpartition("\n\n")[2]
        if signatures.find("\n") != len(signatures) - 1 or self._lines.last != _line("manifest", note):
            raise NotVerified("the manifest does not have its form")
        if not self._lines.is_at_end():
            raise NotVerified("there is more behind the manifest")
        return key

    def _timestamp(self, told: Any, note: Any) -> tuple[datetime | None, str]:
        """The time that an authority which is trusted vouches for, and what there is to say."""
        if told is None:
            if self._roots:
                raise NotVerified(
                    "the file bears no time stamp: it says that no time-stamping authority was configured"
                )
            return None, "none"
        try:
            authority, token = told["authority"], told["token"]
        except (TypeError, KeyError):
            raise NotVerified("the time stamp cannot be read") from None
        if not isinstance(authority, str) or not isinstance(token, str | None):
            raise NotVerified("the time stamp cannot be read")
        if token is None:
            if self._roots:
                raise NotVerified("the file bears no time stamp: the authority gave none when the file was made")
            return None, f"none: {_shown(authority)} gave none when the file was made"
        at = stamped_at(token, _text(note).encode(), self._roots)
        if at is None:
            return (
                None,
                "borne, but its time is not checked: no root of an authority is trusted (--timestamp-certificate)",
            )
        return at, f"the tree existed on {at.isoformat()}"

    def _refuse_untrusted(self) -> NoReturn:
        raise NotVerified(f"none of the trusted keys signs for {_shown(self._header.origin)}")


# --- time stamps --------------------------------------------------------------------------------------------------------------


def stamped_at(token: str, message: bytes, roots: list[x509.Certificate]) -> datetime | None:
    """When the message existed, as an authority that chains to one of the roots says; None without roots. Raises NotVerified for a
    token, DER in base64, that stamps something else, or that no such authority signed."""
    try:
        import rfc3161_client
    except ImportError:
        raise NotVerified("the file bears a time stamp, and checking it needs the package rfc3161-client") from None
    try:
        der = base64.b64decode(token, validate=True)
        # The library reads answers of an authority, which are a status (granted) and a token: RFC 3161 §2.4.2.
        granted = b"\x30\x03\x02\x01\x00" + der
        answer = rfc3161_client.decode_timestamp_response(b"\x30" + _length(len(granted)) + granted)
        imprint, at = answer.tst_info.message_imprint, answer.tst_info.gen_time
    except ValueError:
        raise NotVerified("the time stamp cannot be read") from None
    hashes = {
        "2.16.840.1.101.3.4.2.1": hashlib.sha256,
        "2.16.840.1.101.3.4.2.2": hashlib.sha384,
        "2.16.840.1.101.3.4.2.3": hashlib.sha512,
    }
    hashed = hashes.get(imprint.hash_algorithm.dotted_string)
    if hashed is None or hashed(message).digest() != imprint.message:
        raise NotVerified("the time stamp is not one of this checkpoint")
    if not roots:
        return None
    try:
        rfc3161_client.VerifierBuilder(roots=list(roots)).build().verify_message(answer, message)
    except (rfc3161_client.VerificationError, ValueError, x509.InvalidVersion, x509.DuplicateExtension):
        raise NotVerified("the time stamp is not signed by an authority that is trusted") from None
    return at.astimezone(UTC)


def _length(count: int) -> bytes:
    """As DER writes it."""
    if count < 0x80:
        return bytes([count])
    told = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(told)]) + told


def _line(kind: str, value: object) -> bytes:
    return json.dumps({kind: value}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _encoded(hashed: bytes) -> str:
    return base64.b64encode(hashed).decode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise NotVerified("a signed note is missing")
    return value


def verify(
    path: Path, keys: Keys, earlier: list[Signed] | None = None, roots: list[x509.Certificate] | None = None
) -> Verified:
    """`roots`: of time-stamping authorities that are trusted; with any, the file must bear a stamp of one. Raises NotVerified; OSError
    where the file cannot be read."""
    try:
        return _Reading(path, keys, earlier or [], roots or [], careful=False).verify()
    except NotVerified as found:
        failure = found
    reading = _Reading(path, keys, earlier or [], roots or [], careful=True)
    try:
        reading.verify()
    except NotVerified as found:
        failure = found
    if failure.seq is None and reading.unsigned is not None:
        first, last = reading.unsigned
        where = f"entry {first}" if first >= last else f"one of the entries {first} to {last}"
        raise NotVerified(f"{failure}; from {where} on nothing is signed by a trusted key", first, last)
    raise failure


def anchor_of(path: Path, keys: Keys) -> Signed:
    """The checkpoint of an earlier export, or of a file that is a checkpoint alone. Raises NotVerified."""
    try:
        with path.open("rb") as file:
            start = file.read(_MOST_NOTE)
        if not start.startswith(b"{"):
            text = start.decode()
            return checkpoint(text, text.partition("\n")[0], keys)
        reading = verify(path, keys)
    except (NotVerified, UnicodeDecodeError) as failure:
        raise NotVerified(f"the earlier {path}: {failure}") from None
    return Signed(reading.tree_size, bytes.fromhex(reading.root), f"{reading.origin}\n")


def claimed_key(path: Path) -> str | None:
    """The fingerprint of the key that the file says it is signed with, for a person to compare. It proves nothing."""
    try:
        with path.open("rb") as file:
            vkey = json.loads(file.readline(_MOST_LINE))["header"]["key"]
        return fingerprint_of(vkey)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="audit verify", description="Check an audit export without trusting who sent it."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", action="append", default=[], help="a trusted verifier key; repeat for several")
    parser.add_argument("--trusted", type=Path, help="a file of verifier keys, one a line")
    parser.add_argument(
        "--earlier",
        type=Path,
        action="append",
        default=[],
        help="an earlier export or checkpoint that must be a prefix",
    )
    parser.add_argument(
        "--timestamp-certificate",
        type=Path,
        help="the roots (PEM) of a time-stamping authority, one of whose stamps the file must bear",
    )
    asked = parser.parse_args(arguments)
    keys = Keys()
    try:
        for vkey in asked.key:
            keys.add(vkey)
        if asked.trusted:
            keys.add_all(asked.trusted)
    except (OSError, ValueError) as failure:
        return _fail(f"a key cannot be read: {failure}")
    try:
        given = asked.timestamp_certificate
        roots = [] if given is None else x509.load_pem_x509_certificates(given.read_bytes())
    except (OSError, ValueError):
        return _fail("the certificate of the time-stamping authority cannot be read")
    if not keys.trusted:
        return _fail("no key is trusted: give one with --key, from somewhere else than this file", asked.file)
    try:
        verified = verify(asked.file, keys, [anchor_of(path, keys) for path in asked.earlier], roots)
    except NotVerified as failure:
        several = f" to {failure.last}, one of them" if failure.last != failure.seq else ""
        entry = "" if failure.seq is None else f"\nfirst bad entry: {failure.seq}{several}"
        return _fail(f"{failure}{entry}", asked.file)
    except OSError as failure:
        return _fail(str(failure))
    print("VERIFIED", _shown(verified.origin))
    print(
        f"entries {verified.first} to {verified.first + verified.count - 1}: {verified.count}, of a tree of {verified.tree_size}"
    )
    print(f"root {verified.root}\nsigned by {verified.signed_by}")
    for vkey in verified.believed:
        print(f"a trusted key has signed for {vkey}")
    for size in verified.earlier:
        print(f"the tree of {size} leaves is a prefix")
    print(f"time stamp: {verified.time_stamp}")
    return 0


def _fail(reason: str, path: Path | None = None) -> int:
    print(f"NOT VERIFIED: {reason}", file=sys.stderr)
    if path is not None and (claimed := claimed_key(path)):
        print(f"the file says of itself that this key signed it: {claimed}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
