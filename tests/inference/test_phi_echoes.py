"""What was found once is found again where less stands around it."""

import pytest
from presidio_analyzer import AnalyzerEngine

from services.inference.clients.presidio.analyzer.engine import build, detect

SAID_AGAIN = [
    ("Worker Eldon Badger hurt his back. Modified duty only. Badger drives a company truck.", "Badger", 2),
    ("Pt: Katarzyna Wisniewska, 54F. Wisniewska sleeps badly; KATARZYNA was told to rest.", "Wisniewska", 2),
    ("Dr. Will Young rounds at 8. Ask Will about the film.", "Will", 2),
    ("Oluwaseun Adeyemi called. later adeyemi wrote that the pain is gone", "adeyemi", 1),
    ("MRN: 4827193 was merged. Old scans are still filed under 4827193 in the archive.", "4827193", 2),
    ("Her daughter Ondine Farquharson brought her. Farquharson's number is on the board.", "Farquharson", 2),
]
SAID_IN_ANOTHER_SENSE = [
    ("Dr. Will Young rounds at 8. Will this dose do? Young women need less.", ["Will this", "Young women"]),
    ("John Parkinson was seen for a tremor. Parkinson disease was excluded.", ["Parkinson disease"]),
    ("Grace White came in. White count 12, and by the grace of God no fever.", ["White count", "grace of"]),
    ("Mr. Long had a fall. A long bone was broken.", ["long bone"]),
    ("MRN: 4827193. The total was 14827193 and then 48271930.", ["14827193", "48271930"]),
]


@pytest.fixture(scope="module")
def engine() -> AnalyzerEngine:
    return build()


@pytest.mark.parametrize(("text", "value", "count"), SAID_AGAIN)
def test_every_place_of_a_name_or_number_is_found(engine: AnalyzerEngine, text: str, value: str, count: int) -> None:
    spans = detect(engine, text)
    starts = [at for at in range(len(text)) if text.startswith(value, at)]
    assert len(starts) == count
    assert all(any(span.start <= start and start + len(value) <= span.end for span in spans) for start in starts)


@pytest.mark.parametrize(("text", "words"), SAID_IN_ANOTHER_SENSE)
def test_what_only_looks_like_it_stays(engine: AnalyzerEngine, text: str, words: list[str]) -> None:
    spans = detect(engine, text)
    assert spans
    for word in words:
        start = text.index(word)
        assert not any(span.start < start + len(word.split()[0]) and start < span.end for span in spans), word
