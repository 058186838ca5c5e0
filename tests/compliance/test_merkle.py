"""The trees against the definitions of RFC 6962 §2.1 and RFC 9162 §2.1, written down once more here, and against their vectors."""

import hashlib
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compliance.domain.merkle import (
    EMPTY,
    Node,
    Tree,
    consistency_path,
    inclusion_path,
    needed,
    node_hash,
    perfect_nodes,
    roots,
)

SIZES = st.integers(1, 1500)


@cache
def leaf(index: int) -> bytes:
    return hashlib.sha256(b"\x00%d" % index).digest()


@cache
def mth(start: int, end: int) -> bytes:
    """MTH of RFC 6962 §2.1 over leaves from start to end."""
    if end - start == 1:
        return leaf(start)
    k = 1
    while k * 2 < end - start:
        k *= 2
    return node_hash(mth(start, start + k), mth(start + k, end))


def grown(size: int) -> tuple[Tree, dict[Node, bytes]]:
    tree, kept = Tree(), {}
    for start in range(0, size, 100):
        kept |= tree.append([leaf(index) for index in range(start, min(start + 100, size))])
    return tree, kept | {Node(0, index): leaf(index) for index in range(size)}


def included(index: int, size: int, hashed: bytes, path: list[bytes], root: bytes) -> bool:
    """RFC 9162 §2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, hashed
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistent(first: int, second: int, first_root: bytes, second_root: bytes, path: list[bytes]) -> bool:
    """RFC 9162 §2.1.4.2."""
    if first == second:
        return not path and first_root == second_root
    if not path:
        return False
    if first & (first - 1) == 0:
        path = [first_root, *path]
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (fr, sr) == (first_root, second_root)


# Inputs and roots of the reference implementation of certificate transparency, which RFC 6962 describes.
VECTORS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_roots_are_those_of_the_published_vectors() -> None:
    tree = Tree()
    assert tree.root == EMPTY
    for value, root in zip(VECTORS, ROOTS, strict=True):
        tree.append([hashlib.sha256(b"\x00" + bytes.fromhex(value)).digest()])
        assert tree.root.hex() == root


@given(SIZES)
@settings(max_examples=60, deadline=None)
def test_a_root_is_that_of_the_definition(size: int) -> None:
    assert grown(size)[0].root == mth(0, size)


@given(SIZES, st.data())
@settings(max_examples=80, deadline=None)
def test_an_inclusion_proof_proves_its_leaf_and_no_other(size: int, data: st.DataObject) -> None:
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    tree, kept = grown(size)
    path = inclusion_path(index, size)
    proof = roots(path, {node: kept[node] for node in needed(path)})
    assert included(index, size, leaf(index), proof, tree.root)
    if other != index:
        assert not included(other, size, leaf(index), proof, tree.root)
        assert not included(index, size, leaf(other), proof, tree.root)


@given(SIZES, SIZES)
@settings(max_examples=80, deadline=None)
def test_a_consistency_proof_proves_a_prefix_and_nothing_else(one: int, another: int) -> None:
    earlier, size = sorted((one, another))
    tree, kept = grown(size)
    path = consistency_path(earlier, size)
    proof = roots(path, {node: kept[node] for node in needed(path)})
    assert consistent(earlier, size, mth(0, earlier), tree.root, proof)
    if earlier < size:
        assert not consistent(earlier, size, leaf(0)[::-1], tree.root, proof)
        assert not consistent(earlier, size, mth(0, earlier), leaf(0)[::-1], proof)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_perfect_subtrees_lie_side_by_side(one: int, another: int) -> None:
    start, end = sorted((one, another))
    at = start
    for node in perfect_nodes(start, end):
        assert node.index << node.level == at
        at += 1 << node.level
    assert at == end


def test_few_hashes_are_read_for_a_proof_of_a_large_tree() -> None:
    size = 70_000_000 + 77_777
    for index in (0, 1, size // 2, size - 1):
        assert len(needed(inclusion_path(index, size))) < 8 * 256


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_there_is_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        inclusion_path(index, size)
    with pytest.raises(ValueError, match="empty"):
        consistency_path(size + 1, size)
