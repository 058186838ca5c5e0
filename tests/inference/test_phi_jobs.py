"""Long texts in pieces: nothing lost, nothing depending on what else is in the request, nothing missed at a cut."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.clients.presidio import PoolSettings, PresidioPool
from services.inference.clients.presidio.jobs import Piece, cut_to_jobs

SIZE = 60
texts = st.lists(st.sampled_from(["word", " ", "\n", "\n\n", ". ", ",", "x" * 50, "é"]), max_size=80).map("".join)


def pieces(blocks: dict[bytes, str], size: int = SIZE) -> list[Piece]:
    return [piece for job in cut_to_jobs(blocks, size) for piece in job]


@settings(max_examples=300, deadline=None)
@given(texts, texts)
def test_the_pieces_are_the_block_whatever_else_is_sent(one: str, other: str):
    alone = pieces({b"1": one})
    whole = [piece for piece in alone if not piece.around_a_cut]
    assert "".join(piece.text for piece in whole) == one
    assert all(one.startswith(piece.text, piece.start) for piece in alone)
    assert [piece for piece in pieces({b"0": other, b"1": one}) if piece.key == b"1"] == alone
    assert max(len(piece.text) for piece in whole) <= SIZE * 4 / 3 + 2


def test_a_long_text_is_cut_evenly():
    text = "The wound is clean and dry. " * 720
    lengths = [len(piece.text) for piece in pieces({b"1": text}, 6_000) if not piece.around_a_cut]
    assert len(text) > 20_000
    assert len(lengths) == 4
    assert max(lengths) - min(lengths) < 2_000


def test_what_touches_the_end_of_a_window_may_be_half_of_something():
    found = [(0, 3, "PERSON", 0.9, "a"), (2, 5, "PERSON", 0.9, "a"), (4, 6, "PERSON", 0.9, "a")]
    assert [span.start for span in Piece(b"", 10, "abcdef").in_block(found)] == [10, 12, 14]
    assert [span.start for span in Piece(b"", 10, "abcdef", around_a_cut=True).in_block(found)] == [12]


@pytest.mark.parametrize("between", [". ", " ", "\n"])
async def test_a_label_before_a_cut_still_labels_the_number_behind_it(between: str):
    """The only separators are those between a label and its value, so that every cut falls there."""
    line = f"{'x' * 400}-MRN{between}4827193-{'x' * 400}"
    text = line * 30
    pool = PresidioPool(PoolSettings(workers=1))
    await pool.start()
    try:
        (found,) = await pool.detect([text], time.monotonic() + 60, b"k" * 32)
    finally:
        await pool.stop()
    cuts = [piece.start for piece in pieces({b"1": text}, 6_000)[2::2]]
    assert len(cuts) >= 3
    for cut in cuts:
        assert text[cut:].startswith("4827193")
        assert any(span.start <= cut and span.end >= cut + 7 for span in found)
