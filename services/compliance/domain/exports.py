"""The file that an audit export is: UTF-8 lines, read by `cli/audit_verifier.py` with nothing but a trusted key.

    {"header": {"format", "org_id", "origin", "key", "since"|null, "until"|null, "first", "count", "tree_size", "made_at"}}
    {"endorsement": "<note>"}        one for each change of the signing key, oldest first
    {"left": ["<hash>" …]}           the perfect subtrees over the leaves before `first`, left to right
    <leaf>                           `count` of them, each as it was hashed, in the order of the tree
    {"checkpoint": "<note>"}         behind the last leaf of the tree it signs, wherever one lies in the range
    {"right": ["<hash>" …]}          the perfect subtrees over the leaves from the range's end to `tree_size`
    {"anchor": "<note>"|null}        the checkpoint of `tree_size` leaves; null where the tree has none
    {"log": {"index", "hashes", "checkpoint"}|null}    the anchor's place in the log of logs
    {"prefix": {"from_size", "hashes"}|null}           proof that the tree of `from_size` leaves is a prefix of the anchor's
    {"timestamp": {"authority", "token"|null}|null}    that the anchor existed at a time
    {"manifest": "<note>"}           signs how many entries there are, and the SHA-256 of every byte before this line

`key` is the verifier key that signs, for a person to compare with the one they trust: a reader must not believe it. Hashes are
hexadecimal. Leaves begin with `{"action":`, so that no line is taken for another. Entries keep their places: where `since` and `until`
choose by the time of happening, what lies between the first and the last chosen entry is in the file as well.

The time stamp's `token` is a TimeStampToken (RFC 3161 §2.4.2), DER in base64, over the anchor's note: the UTF-8 bytes of the string that
the line `anchor` holds, from the first of its origin to the newline behind its last signature. `authority` is the URL that was asked,
without its query. `timestamp` is null where no authority is configured, or there is no anchor; `token` alone is null where the authority
gave none that could be believed: the file is whole without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.compliance.domain.leaves import canonical

FORMAT = "hasp-audit-export/1"


@dataclass(frozen=True, slots=True)
class Extent:
    """What is in the file: leaves from `first` up to, but without, `end`, of a tree of `tree_size`."""

    first: int
    end: int
    tree_size: int

    @property
    def count(self) -> int:
        return self.end - self.first


def line(kind: str, value: object) -> bytes:
    return canonical({kind: value}) + b"\n"


def hexes(hashes: Sequence[bytes]) -> list[str]:
    return [hashed.hex() for hashed in hashes]


def manifest(origin: str, extent: Extent, sha256: str) -> str:
    """What is signed at the end. Its first line differs from a checkpoint's, which is signed by the same key."""
    return f"{FORMAT}\n{origin}\nfirst {extent.first}\ncount {extent.count}\ntree_size {extent.tree_size}\nsha256 {sha256}\n"
