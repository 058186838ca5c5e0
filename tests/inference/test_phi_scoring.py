"""The evaluation's own arithmetic, on spans that a person can check by eye."""

import itertools
import json
import math
import random
from pathlib import Path

import pytest

from tests.phi_eval import chart, docs, latency, report
from tests.phi_eval.documents import Document, Gold, data_sets, parse, read
from tests.phi_eval.figures import figures, halves, wilson
from tests.phi_eval.measure import Run
from tests.phi_eval.scoring import Found, Verdict, judge, merged
from tests.phi_eval.unseen.__main__ import HERE, documents, rendered


def document(text: str, *gold: tuple[str, str], ignored: tuple[str, ...] = ()) -> Document:
    places = [(text.index(value), value) for value in ignored]
    return Document(
        "one",
        text,
        tuple(Gold(text.index(value), text.index(value) + len(value), kind) for value, kind in gold),
        tuple((start, start + len(value)) for start, value in places),
    )


def found(text: str, *values: str, kind: str = "NAME") -> list[Found]:
    return [Found(text.index(value), text.index(value) + len(value), kind) for value in values]


def counts(verdict: Verdict) -> tuple[int, int, int, int]:
    """Overlapped, covered, right, predicted."""
    columns = (verdict.overlapped, verdict.covered, verdict.correct, verdict.predicted)
    overlapped, covered, correct, predicted = (sum(column.values()) for column in columns)
    return overlapped, covered, correct, predicted


def judged(text: str, gold: str, *masked: str, ignored: tuple[str, ...] = ()) -> tuple[int, int, int, int]:
    return counts(judge(document(text, (gold, "NAME"), ignored=ignored), found(text, *masked)))


def test_half_an_address_overlaps_and_does_not_cover():
    text = "She lives at 12 Elm Row, Ashby."
    assert judged(text, "12 Elm Row, Ashby", "Ashby") == (1, 0, 1, 1)
    assert judged(text, "12 Elm Row, Ashby", "12 Elm Row", "Ashby") == (1, 1, 2, 2)


def test_generic_words_and_punctuation_need_no_mask_but_something_must_be_masked():
    text = "Seen by Dr. Okafor (MRN number 55-81)."
    assert judged(text, "Dr. Okafor", "Okafor") == (1, 1, 1, 1)
    assert judged(text, "MRN number 55-81", "55-81") == (1, 1, 1, 1)
    assert judged(text, "MRN number 55-81", "81") == (1, 0, 1, 1)
    assert judged("the clinic", "the clinic") == (0, 0, 0, 0)


def test_part_of_a_word_is_not_the_word_and_two_neighbouring_masks_are():
    text = "Chart AB123456."
    assert judged(text, "AB123456", "B123456") == (1, 0, 1, 1)
    assert judged(text, "AB123456", "AB12", "3456") == (1, 1, 2, 2)


def test_overlapping_detections_count_once_and_the_longest_names_them():
    spans = [Found(4, 9, "GEO"), Found(0, 5, "DATE"), Found(8, 30, "NAME"), Found(30, 31, "IP"), Found(7, 7, "URL")]
    assert merged(spans) == [Found(0, 30, "NAME"), Found(30, 31, "IP")]
    assert merged([Found(0, 20, "GEO"), Found(2, 4, "NAME"), Found(10, 12, "DATE")]) == [Found(0, 20, "GEO")]
    text = "Ana Maria Lopez"
    assert judged(text, "Ana Maria Lopez", "Ana Maria", "Maria Lopez") == (1, 1, 1, 1)


def test_a_detection_in_an_ignored_span_is_neither_right_nor_wrong():
    text = "Ms. Ito of Acme Corp, aged 40"
    assert judged(text, "Ito", "Ito", "Acme Corp", ignored=("Acme Corp",)) == (1, 1, 1, 1)
    assert judged(text, "Ito", "Ito", "40", ignored=("Acme Corp",)) == (1, 1, 1, 2)


def test_a_detection_that_touches_gold_and_an_ignored_span_is_right():
    text = "Ito Acme Corp"
    assert judged(text, "Ito", "Ito Acme", ignored=("Ito Acme Corp",)) == (1, 1, 1, 1)
    # an ignored span over the gold one excuses nothing
    assert judged(text, "Ito", ignored=("Ito Acme Corp",)) == (0, 0, 0, 0)
    assert judge(document(text, ("Ito", "NAME"), ignored=("Ito Acme Corp",)), []).leaks


def test_empty_documents_and_documents_without_phi():
    empty = judge(Document("e", "", ()), [])
    assert empty.clean
    assert empty.untouched
    assert not empty.leaks
    text = "Acme sells aspirin"
    assert not judge(document(text), found(text, "aspirin")).untouched
    assert judge(document(text, ignored=("Acme",)), found(text, "Acme")).untouched
    assert not judge(document(text, ignored=("Acme",)), found(text, "Acme", "aspirin")).untouched
    measured = figures([empty])
    assert (measured.full.value, measured.precision.value, measured.f2.value, measured.ms_per_1000) == (None,) * 4


def test_spans_over_lines_and_offsets_in_code_points():
    text = "🩺🙂 Post to:\n7 Rue Haute\n1000 Bruxelles\n𝒏𝒐𝒕𝒆: call Zoé"
    gold = "7 Rue Haute\n1000 Bruxelles"
    assert judged(text, gold, gold) == (1, 1, 1, 1)
    assert judged(text, gold, "7 Rue Haute\n1000") == (1, 0, 1, 1)
    assert judged(text, "𝒏𝒐𝒕𝒆", "𝒏𝒐") == (1, 0, 1, 1)
    assert judged(text, "Zoé", "Zoé") == (1, 1, 1, 1)
    assert judged("Zoe\u0301 left", "Zoe\u0301", "Zoe") == (1, 1, 1, 1)  # the accent alone is no letter


def test_the_type_counts_for_the_name_alone():
    text = "Mrs Paris of Rome"
    verdict = judge(document(text, ("Paris", "NAME"), ("Rome", "GEO")), found(text, "Paris", "Rome", kind="GEO"))
    assert (verdict.covered["NAME"], verdict.named["NAME"], verdict.named["GEO"]) == (1, 0, 1)
    assert verdict.correct["GEO"] == verdict.predicted["GEO"] == 2
    by_type = figures([verdict], "NAME")
    assert (by_type.spans, by_type.full.value, by_type.named.value, by_type.precision.value) == (1, 1.0, 0.0, None)


def test_a_span_outside_its_text_is_refused(tmp_path: Path):
    for start, end in ((0, 0), (-1, 2), (3, 9), (4, 2)):
        with pytest.raises(ValueError, match="bad"):
            parse({"id": "bad", "text": "four", "spans": [{"start": start, "end": end, "type": "NAME"}]})
    line = json.dumps(
        {"id": "a", "text": "x\u2028y 🩺", "spans": [{"start": 2, "end": 3, "type": "NAME"}]}, ensure_ascii=False
    )
    (tmp_path / "set.jsonl").write_text(line + "\n\n", encoding="utf-8")
    (only,) = read(tmp_path / "set.jsonl")
    assert only.text[only.gold[0].start : only.gold[0].end] == "y"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "set.jsonl").write_text(line, encoding="utf-8")
    assert list(data_sets([tmp_path, tmp_path / "other"])) == ["set", "other/set"]


def test_wilson_is_wilsons():
    rate = wilson(9, 10)  # Newcombe (1998), method 3
    assert (round(rate.low or 0, 4), round(rate.high or 0, 4)) == (0.5958, 0.9821)
    assert wilson(0, 0).value is None
    assert (wilson(10, 10).high, wilson(0, 10).low) == pytest.approx((1.0, 0.0))


def _verdicts(misses: int, documents: int = 40) -> list[Verdict]:
    text = "Ana met Bob"
    whole, half = found(text, "Ana", "Bob"), found(text, "Ana")
    gold = document(text, ("Ana", "NAME"), ("Bob", "NAME"))
    return [judge(gold, half if index < misses else whole) for index in range(documents)]


def test_figures_are_ratios_of_sums_with_intervals_around_them():
    measured = figures(_verdicts(8))
    assert (measured.documents, measured.spans, measured.full.of) == (40, 80, 80)
    assert measured.full.value == measured.overlap.value == 0.9
    assert measured.precision.value == 1.0
    assert math.isclose(measured.f2.value or 0, 5 * 0.9 / (4 + 0.9))
    assert (measured.no_leak.value, measured.untouched.value) == (0.8, None)
    # the misses stand in 8 documents of 40: half the width of the interval of a share of .2 among 40
    assert (measured.full.low or 0) == pytest.approx(0.8375, abs=0.015)
    assert (measured.full.high or 0) == pytest.approx(0.9563, abs=0.015)
    assert measured == figures(_verdicts(8))


def test_all_right_is_not_certainty_and_neither_are_a_few_documents():
    assert figures(_verdicts(0)).full.low == wilson(40, 40).low
    few = figures(_verdicts(1, 5))
    assert (few.full.low, few.full.high) == (wilson(4.5, 5).low, wilson(4.5, 5).high)


def test_halves_bracket_the_whole():
    low, high = halves(_verdicts(8))
    assert low < 0.9 < high


def test_the_reports_hold_the_figures():
    systems = {name: Run({"set": _verdicts(misses)}).plain() for name, misses in (("other", 20), ("guard", 8))}
    assert systems["guard"]["across_authors"]["lowest_full"] == 0.9
    tables = report.tables({"systems": systems})
    for text in (report.terminal(tables), report.markdown(tables)):
        assert "0.900 (0." in text
        assert "0.750 (0." in text
    drawn = chart.svg(systems)
    assert drawn.count("<rect") == 1 + 2 + 4  # background, legend, two systems for "all" and NAME
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("source", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_the_unseen_text_is_what_its_source_says(source: Path):
    assert source.with_suffix(".jsonl").read_text(encoding="utf-8") == rendered(source)
    assert len(read(source.with_suffix(".jsonl"))) >= 6


def test_markup_with_mistakes_is_refused():
    marked = "=== a\n{{NAME:Ana}} of {{~ORG:Acme}}\n"
    assert documents(marked)[0] | {"id": ""} == {
        "id": "",
        "text": "Ana of Acme",
        "spans": [{"start": 0, "end": 3, "type": "NAME"}],
        "ignore": [[7, 11, "ORG"]],
    }
    for wrong in (marked + marked, "=== a\n{{WHO:Ana}}", "=== a\n{{NAME:Ana}"):
        with pytest.raises(ValueError, match=r"twice|type|left over"):
            documents(wrong)


def test_the_order_of_detections_does_not_matter():
    dice = random.Random(1)
    for _ in range(200):
        spans = [Found(start := dice.randrange(40), start + dice.randrange(1, 9), "NAME") for _ in range(6)]
        expected = {place for span in spans for place in range(span.start, span.end)}
        dice.shuffle(spans)
        together = merged(spans)
        assert {place for span in together for place in range(span.start, span.end)} == expected
        assert all(a.end <= b.start for a, b in itertools.pairwise(together))


def test_the_docs_say_what_was_measured():
    text = docs.PAGE.read_text(encoding="utf-8")
    assert docs.page(text) == text
    for path, drawn in docs.charts().items():
        assert path.read_text(encoding="utf-8") == drawn


def test_latency_is_taken_on_texts_of_the_right_length_that_none_was_before():
    texts = latency.Texts(["The wound is clean.", "Seen by Ana."])
    made = [texts.of(200) for _ in range(50)]
    assert {len(text) for text in made} == {200}
    assert len(set(made)) == 50
    measured = latency.percentiles(200, "x", [n / 1000 for n in range(1, 101)])
    assert (measured["p50"], measured["p95"], measured["p99"]) == (51.0, 96.0, 100.0)
