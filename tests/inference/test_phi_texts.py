"""The guard on texts outside of any request: offsets, numbering, and the way back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.domain.phi import (
    Operators,
    PlaceholderMap,
    RedactedTexts,
    RestoredTooLong,
    TextGuard,
    masking,
    restore_texts,
)
from services.inference.domain.phi.operators import Value
from services.inference.usecases.in_order import in_order
from services.inference.usecases.pump import Stop, Stopped
from tests.inference.phi_fakes import PatternDetector

KEY = b"k" * 32
MANY = 1 << 20


async def redact(texts: Sequence[str], patience: float = 5) -> RedactedTexts:
    deadline = time.monotonic() + patience
    return await guard().redact(texts, Operators(), org_key=KEY, salt=KEY, deadline=deadline, most=MANY)


def guard() -> TextGuard:
    return TextGuard(PatternDetector(), NoAnonymizer())


class NoAnonymizer:
    async def anonymize(
        self, values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float
    ) -> list[str]:
        raise AssertionError("no operator was given")


async def scan(texts: Sequence[str]) -> list[list[tuple[str, str]]]:
    found = await guard().scan(texts, org_key=KEY, deadline=time.monotonic() + 5)
    return [[(s.entity_type, t[s.start : s.end]) for s in spans] for t, spans in zip(texts, found, strict=True)]


async def test_offsets_are_those_of_the_text_as_it_was_sent() -> None:
    inner = json.dumps({"note": "é\u2028 John Smith", "ssn": "536-22-8812"})
    texts = [
        "😀 John Smith, 536-22-8812",
        '{"who": "\\ud83d\\ude00 caf\\u00e9 \\"John Smith\\"", "John Smith": 1}',
        json.dumps({"body": inner}),
        '  ["Jane Smith", {"mrn": 4827193}]  ',
        "",
        "nothing",
    ]
    assert await scan(texts) == [
        [("PERSON", "John Smith"), ("US_SSN", "536-22-8812")],
        [("PERSON", "John Smith"), ("PERSON", "John Smith")],
        [("PERSON", "John Smith"), ("US_SSN", "536-22-8812")],
        [("PERSON", "Jane Smith"), ("MEDICAL_RECORD_NUMBER", "4827193")],
        [],
        [],
    ]


@settings(deadline=None)
@given(st.lists(st.text() | st.just("John Smith"), max_size=4), st.booleans(), st.booleans())
def test_a_span_in_json_covers_the_value_however_it_is_escaped(parts: list[str], ascii_only: bool, twice: bool) -> None:
    value = " ".join(["a", *parts, "Jane Smith", "b"])
    text = json.dumps({"k": value}, ensure_ascii=ascii_only)
    if twice:
        text = json.dumps([text], ensure_ascii=ascii_only)
    (found,) = asyncio.run(scan([text]))
    assert [kind for kind, _ in found] == ["PERSON"] * (value.count("John Smith") + value.count("Jane Smith"))
    assert {covered for _, covered in found} <= {"John Smith", "Jane Smith"}


async def test_placeholders_are_numbered_over_the_batch_and_avoid_what_looks_like_them() -> None:
    texts = ["John Smith", "Jane Smith met JOHN SMITH, John Smith.", '{"mrn": 4827193, "by": "Jane Smith"}']
    done = await redact(texts)
    assert done.texts == [
        "[PERSON_1]",
        "[PERSON_2] met JOHN SMITH, [PERSON_1].",
        '{"mrn": "[MRN_1]", "by": "[PERSON_2]"}',
    ]
    assert done.map.by_placeholder() == {
        "[PERSON_1]": "John Smith",
        "[PERSON_2]": "Jane Smith",
        "[MRN_1]": "4827193",
    }
    assert [[(r.placeholder, r.place, r.category) for r in each] for each in done.redactions] == [
        [("[PERSON_1]", (0, 10), "A")],
        [("[PERSON_2]", (0, 10), "A"), ("[PERSON_1]", (27, 37), "A")],
        [("[MRN_1]", (8, 15), "H"), ("[PERSON_2]", (24, 34), "A")],
    ]
    taken = ["Whoever [PERSON_1] is, he is not John Smith.", "person_A1, PERSON_A7"]
    done = await redact(taken)
    assert done.texts == ["Whoever [PERSON_1] is, he is not [PERSON_B1].", "person_A1, PERSON_A7"]
    assert await restore_texts(done.texts, done.map.by_placeholder(), most=MANY) == (taken, 1)


async def test_what_was_redacted_comes_back_and_json_stays_json() -> None:
    texts = ["I saw John Smith.", '{"by": "Ana \\"Bo\\" Li", "ssn": "536-22-8812", "mrn": 4827193}', "{not json} Zylo"]
    done = await redact(texts)
    assert all(value not in "".join(done.texts) for value in ("John", "Ana", "536", "4827193", "Zylo"))
    restored, count = await restore_texts(done.texts, done.map.by_placeholder(), most=MANY)
    assert (restored[0], restored[2], count) == (texts[0], texts[2], 5)
    assert json.loads(restored[1]) == json.loads(texts[1]) | {"mrn": "4827193"}


async def test_a_placeholder_comes_back_as_the_streams_restore_it() -> None:
    values = {"[PERSON_1]": "John Smith", "[SSN_1]": "536-22-8812"}
    texts = ["[person_1], [PERSON\\_1], [Person 1], PERSON_1", "[PERSON_2] [MRN_1] person_1 [SSN_1]", "\\[SSN_1\\]"]
    assert await restore_texts(texts, values, most=MANY) == (
        ["John Smith, John Smith, John Smith, John Smith", "[PERSON_2] [MRN_1] person_1 536-22-8812", "536-22-8812"],
        6,
    )
    # a value that reads like a placeholder of the map is not restored a second time
    assert await restore_texts(["[PERSON_1]"], {"[PERSON_1]": "[SSN_1]", "[SSN_1]": "1"}, most=MANY) == (["[SSN_1]"], 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"PERSON_1": "x"},
        {"[PERSON_0]": "x"},
        {"[PERSON_01]": "x"},
        {"[person_1]": "x"},
        {"[NOBODY_1]": "x"},
        {"[PERSON_1] ": "x"},
        {"[PERSON_1]": ""},
        {"[PERSON_1]": "x", "[PERSON_A2]": "y"},
        {"[PERSON_1234567]": "x"},
        {"John Smith": "x"},
    ],
)
def test_what_is_no_map_is_refused_without_its_words(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not a map of placeholders"):
        PlaceholderMap.from_placeholders(wrong)


async def test_a_short_text_cannot_ask_for_a_long_answer() -> None:
    values = {"[URL_1]": "https://" + "a" * 1_000}
    with pytest.raises(RestoredTooLong):
        await restore_texts(["[URL_1]" * 2_000], values, most=1_000_000)
    assert (await restore_texts(["[URL_1]" * 900], values, most=1_000_000))[1] == 900


async def test_a_long_text_is_restored_as_a_short_one_and_lets_others_run() -> None:
    values, turns = {"[PERSON_1]": "John Smith"}, 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    for step in range(12):  # the pieces end at another character of the placeholder each time
        text = "x" * step + "[PERSON_1]" * 20_000
        assert await restore_texts([text], values, most=MANY) == (["x" * step + "John Smith" * 20_000], 20_000)
    task.cancel()
    assert turns >= 12 * 6


async def test_a_batch_costs_what_it_is_long() -> None:
    """Every text is searched for every value known so far: not value by value."""

    def names(count: int) -> list[str]:
        return [f"mrn: K{number}x{number}, seen with K{number // 2}x{number // 2}." for number in range(count)]

    async def cost(count: int) -> float:
        texts, began = names(count), time.process_time()
        done = await redact(texts, 60)
        assert sum(map(len, done.redactions)) > count
        return time.process_time() - began

    await cost(500)
    # Four times the texts: value by value it would be sixteen times the cost, and a busy machine's caches have their say.
    assert min([await cost(8_000), await cost(8_000)]) < 12 * min([await cost(2_000), await cost(2_000)])


class Work:
    """Takes the time that a test says and remembers what ran."""

    def __init__(self) -> None:
        self.running = self.most = self.begun = 0

    async def __call__(self, seconds: float) -> float:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(abs(seconds))
        finally:
            self.running -= 1
        if seconds < 0:
            raise LookupError
        return seconds


async def items(*each: float) -> AsyncIterator[float]:
    for one in each:
        yield one


async def test_answers_keep_their_order_and_few_are_under_way() -> None:
    work, waits = Work(), [0.2, 0.1, 0.15, 0.0, 0.01, 0.02, 0.0]
    assert [one async for one in in_order(items(*waits), work, at_once=3, stop=Stop())] == waits
    assert (work.most, work.running) == (3, 0)


async def test_a_slow_reader_is_not_run_ahead_of() -> None:
    work = Work()
    answers = in_order(items(*[0.0] * 50), work, at_once=3, stop=Stop())
    await anext(answers)
    await asyncio.sleep(0.05)
    assert work.begun <= 4
    await answers.aclose()  # pyright: ignore[reportAttributeAccessIssue]


async def test_what_fails_is_told_after_the_answers_before_it() -> None:
    work = Work()
    answers = in_order(items(0.03, 0.0, -0.001, 0.0), work, at_once=4, stop=Stop())
    assert [await anext(answers), await anext(answers)] == [0.03, 0.0]
    with pytest.raises(LookupError):
        await anext(answers)
    assert work.running == 0


async def test_a_stop_and_a_close_end_what_is_under_way() -> None:
    work, stop = Work(), Stop()
    answers = in_order(items(0.0, 30, 30), work, at_once=3, stop=stop)
    await anext(answers)
    asyncio.get_running_loop().call_later(0.02, stop, "revoked")
    with pytest.raises(Stopped):
        await anext(answers)
    assert work.running == 0
    answers = in_order(items(0.0, 30, 30), work, at_once=3, stop=Stop())
    await anext(answers)
    await answers.aclose()  # pyright: ignore[reportAttributeAccessIssue]
    assert work.running == 0


_WORDS = st.sampled_from(["John", "Smith", "Ångström", "(555)", "123-4567", "_", "x", "-", "Smithson", "é", "St.", " "])


@given(st.lists(st.lists(_WORDS, min_size=1, max_size=4).map(" ".join), max_size=6), st.lists(_WORDS, max_size=40))
def test_known_values_are_found_wherever_a_plain_search_finds_them(values: list[str], parts: list[str]) -> None:
    text, known = "".join(parts), masking._Known()
    for value in values:
        known.add("FACILITY", value)
    plain: set[int] = set()
    for value in {value for value in values if masking._distinctive("FACILITY", value)}:
        for start in range(len(text)):
            end = start + len(value)
            inside = text[start - 1 : start].isalnum() if start else False
            if text[start:end] == value and not inside and not text[end : end + 1].isalnum():
                plain |= set(range(start, end))
    found = {at for span in known.within(text) for at in range(span.start, span.end)}
    assert found == plain
