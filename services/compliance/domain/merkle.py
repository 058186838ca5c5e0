"""RFC 6962 / RFC 9162 Merkle trees that grow at their right edge.

A tree of `size` leaves is kept as its frontier: the roots of the perfect subtrees that `size` decomposes into, largest first.
Between the leaves and the frontier only the roots of perfect subtrees of 256, 256² … leaves are kept (the tiles of C2SP
`tlog-tiles`); a proof is made from those and from at most 255 leaf hashes at either end.

Hashes are 32 bytes of SHA-256. The verifying half is not here: an auditor has one of their own (`cli/audit`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

TILE = 8
"""Levels between two that are kept: 2⁸ hashes lie below one."""

EMPTY = hashlib.sha256(b"").digest()

Range = tuple[int, int]
"""Leaves from the first up to, but without, the last."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 §2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A perfect subtree: of 2^level leaves, from the leaf index * 2^level."""

    level: int
    index: int


@dataclass(slots=True)
class Tree:
    size: int = 0
    frontier: list[bytes] = field(default_factory=list)

    def append(self, leaf_hashes: Sequence[bytes]) -> dict[Node, bytes]:
        """Grow by these; the perfect subtrees that are whole now and have to be kept."""
        kept: dict[Node, bytes] = {}
        for leaf_hash in leaf_hashes:
            hashed, level, index = leaf_hash, 0, self.size
            while index & 1:
                hashed = node_hash(self.frontier.pop(), hashed)
                level, index = level + 1, index >> 1
                if level % TILE == 0:
                    kept[Node(level, index)] = hashed
            self.frontier.append(hashed)
            self.size += 1
        return kept

    @property
    def root(self) -> bytes:
        return fold(self.frontier) if self.frontier else EMPTY


def fold(perfect: Sequence[bytes]) -> bytes:
    """The root over neighbouring perfect subtrees that shrink from left to right."""
    hashed = perfect[-1]
    for left in reversed(perfect[:-1]):
        hashed = node_hash(left, hashed)
    return hashed


def inclusion_path(index: int, size: int) -> list[Range]:
    """What an inclusion proof of a leaf holds the roots of, from the leaf upwards (RFC 9162 §2.1.3.1).

    Raises ValueError for a leaf outside of the tree.
    """
    if not 0 <= index < size:
        raise ValueError("the leaf lies outside of the tree")
    path: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency_path(earlier: int, size: int) -> list[Range]:
    """What a consistency proof holds the roots of (RFC 9162 §2.1.4.1). Raises ValueError unless 0 < earlier ≤ size."""
    if not 0 < earlier <= size:
        raise ValueError("the earlier tree is empty, or larger than the later one")
    path: list[Range] = []
    start, end, known = 0, size, True
    while earlier < end:
        middle = _middle(start, end)
        if earlier <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start, known = middle, False
    if not known:
        path.append((start, end))
    return path[::-1]


def perfect_nodes(start: int, end: int) -> Iterator[Node]:
    """The largest perfect subtrees that lie side by side in the leaves from start to end, left to right."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield Node(level, start >> level)
        start += 1 << level


def needed(ranges: Sequence[Range]) -> list[Node]:
    """The kept nodes (levels 0, 8, 16 …) that the roots of these ranges are made of, in order, each once."""
    return sorted({below for one in ranges for node in perfect_nodes(*one) for below in _kept_below(node)})


def roots(ranges: Sequence[Range], kept: Mapping[Node, bytes] | Callable[[Node], bytes]) -> list[bytes]:
    """The root of each range, made of the kept nodes. Raises KeyError for one that is missing."""
    look = kept.__getitem__ if isinstance(kept, Mapping) else kept
    return [fold([_root(node, look) for node in perfect_nodes(*one)]) for one in ranges]


def _root(node: Node, look: Callable[[Node], bytes]) -> bytes:
    hashes = [look(below) for below in _kept_below(node)]
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def _kept_below(node: Node) -> Iterator[Node]:
    height = node.level % TILE
    return (Node(node.level - height, index) for index in range(node.index << height, (node.index + 1) << height))


def _middle(start: int, end: int) -> int:
    """The largest power of two of leaves that is smaller than the range lies left."""
    return start + (1 << ((end - start - 1).bit_length() - 1))
