"""Redact with operators: over a real gRPC server with Presidio's processes behind it, and what no operator lets through."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hasp.inference.v1.phi_service_pb2 import Operator, RedactRequest, RedactResponse, RestoreRequest
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_anonymizer import AnonymizerEngine

from services.chassis.access import Principal
from services.inference.clients.presidio import PoolSettings, PresidioPool, TextScanner, anonymizing
from services.inference.clients.presidio import operators as worker
from services.inference.clients.presidio.analyzer import engine as presidio
from services.inference.domain.phi import (
    Hash,
    Keep,
    Mask,
    Operators,
    Placeholder,
    Redact,
    Replace,
    Span,
    TextGuard,
    UnknownEntityType,
)
from services.inference.domain.phi.operators import Value
from tests.inference.conftest import ROOT, Failure, House, person
from tests.inference.test_phi_service import Caller, refusal

KEY = b"k" * 32
NOTE = "Patient Maria Lopez, SSN 536-22-8812, MRN 4827193, e-mail maria.lopez@example.org, seen in Denver."
PLACEHOLDER, REDACT = Operator(placeholder=Operator.Placeholder()), Operator(redact=Operator.Redact())
HASH, KEEP = Operator(hash=Operator.Hash()), Operator(keep=Operator.Keep())


def replace(new_value: str) -> Operator:
    return Operator(replace=Operator.Replace(new_value=new_value))


def mask(masking_char: str = "", chars_to_mask: int | None = None, *, from_end: bool = False) -> Operator:
    return Operator(mask=Operator.Mask(masking_char=masking_char, chars_to_mask=chars_to_mask, from_end=from_end))


@pytest.fixture
async def pool(house: House) -> AsyncIterator[PresidioPool]:
    started = PresidioPool(PoolSettings(workers=1, load_seconds=110))
    await started.start()
    texts = TextScanner(started)
    house.scanner.detect, house.scanner.anonymize = texts.detect, texts.anonymize
    yield started
    await started.stop()


async def redact(house: House, who: Principal, texts: Sequence[str], **by_type: Operator) -> RedactResponse:
    return await Caller(house, who)("Redact", RedactRequest(texts=texts, operators=by_type))


async def test_each_type_has_its_operator(
    house: House, pool: PresidioPool, alice: Principal, mallory: Principal
) -> None:
    ways = {
        "US_SSN": mask(chars_to_mask=7),
        "MEDICAL_RECORD_NUMBER": HASH,
        "EMAIL_ADDRESS": REDACT,
        "LOCATION": KEEP,
        "PERSON": PLACEHOLDER,
    }
    done = await redact(house, alice, [NOTE, '{"mrn": 4827193, "by": "Maria Lopez"}'], **ways)
    said = re.fullmatch(
        r"Patient \[PERSON_1\], SSN \*{7}8812, MRN ([0-9a-f]{64}), e-mail , seen in Denver\.", done.texts[0]
    )
    assert said
    assert json.loads(done.texts[1]) == {"mrn": said[1], "by": "[PERSON_1]"}
    assert dict(done.placeholders) == {"[PERSON_1]": "Maria Lopez"}
    assert [(span.entity_type, span.operator, span.placeholder) for span in done.results[0].spans] == [
        ("PERSON", "placeholder", "[PERSON_1]"),
        ("US_SSN", "mask", ""),
        ("MEDICAL_RECORD_NUMBER", "hash", ""),
        ("EMAIL_ADDRESS", "redact", ""),
        ("LOCATION", "keep", ""),
    ]
    assert [NOTE[span.start : span.end] for span in done.results[0].spans][-1] == "Denver"
    assert not done.restorable
    restored = await Caller(house, alice)(
        "Restore", RestoreRequest(texts=done.texts, placeholders=dict(done.placeholders))
    )
    assert restored.restored_count == 2
    assert "4827193" not in "".join(restored.texts)

    # A hash is the organization's: the same for its other key, at another time, and after its data key was changed.
    await house.ground.sealer.rotate(alice.org_id)
    for who, same in ((person(org_id=alice.org_id), True), (mallory, False)):
        again = await redact(house, who, ["MRN 4827193"], MEDICAL_RECORD_NUMBER=HASH)
        assert (again.texts[0] == f"MRN {said[1]}") is same
    assert said[1] != hashlib.sha256(b"4827193").hexdigest()


async def test_the_default_and_what_is_left_out(house: House, pool: PresidioPool, alice: Principal) -> None:
    plain = await redact(house, alice, [NOTE])
    assert plain.restorable
    assert plain == await redact(house, alice, [NOTE], DEFAULT=PLACEHOLDER)
    done = await redact(house, alice, [NOTE], DEFAULT=replace(""), PERSON=replace("[PERSON_1]"), LOCATION=PLACEHOLDER)
    # What the caller writes may look like a placeholder: ours then look otherwise, and Restore leaves the caller's.
    assert done.texts[0] == (
        "Patient [PERSON_1], SSN <US_SSN>, MRN <MEDICAL_RECORD_NUMBER>, e-mail <EMAIL_ADDRESS>, seen in [LOCATION_A1]."
    )
    restored = await Caller(house, alice)(
        "Restore", RestoreRequest(texts=done.texts, placeholders=dict(done.placeholders))
    )
    assert restored.texts[0].startswith("Patient [PERSON_1], ")
    assert restored.texts[0].endswith("seen in Denver.")
    kept = await redact(house, alice, [NOTE], DEFAULT=KEEP)
    assert (kept.texts[0], kept.restorable, len(kept.placeholders)) == (NOTE, True, 0)
    assert {span.operator for span in kept.results[0].spans} == {"keep"}
    masked = await redact(house, alice, [NOTE], DEFAULT=mask("#", 4, from_end=True), EMAIL_ADDRESS=mask())
    assert masked.texts[0] == f"Patient Maria L####, SSN 536-22-####, MRN 482####, e-mail {'*' * 23}, seen in De####."


async def test_what_is_masked_inside_of_something_kept_is_masked(
    house: House, pool: PresidioPool, alice: Principal
) -> None:
    texts = ["Patient: Maria Lopez.", "She was seen at the Maria Lopez Clinic in Denver.", '{"Denver": "Denver"}']
    done = await redact(house, alice, texts, DEFAULT=KEEP, PERSON=REDACT)
    assert "Maria" not in "".join(done.texts)
    assert "Clinic in Denver." in done.texts[1]
    assert done.texts[2] == texts[2]


@pytest.mark.parametrize(
    ("ways", "param"),
    [
        ({"NOBODY": REDACT}, "operators"),
        ({"person": REDACT}, "operators"),
        ({"John Smith": REDACT}, "operators"),
        ({"PERSON": Operator()}, "operators[PERSON].kind"),
        ({"PERSON": replace("x" * 257)}, "operators[PERSON].replace.new_value"),
        ({"PERSON": mask("**")}, "operators[PERSON].mask.masking_char"),
        ({"DEFAULT": mask("*", 0)}, "operators[DEFAULT].mask.chars_to_mask"),
        ({f"T{number}": REDACT for number in range(65)}, "operators"),
    ],
)
async def test_wrong_operators_are_refused_by_name(
    house: House, alice: Principal, ways: dict[str, Operator], param: str
) -> None:
    failure = await refusal(redact(house, alice, [NOTE], **ways))
    assert (failure.reason, failure.http_status, failure.param) == ("VALIDATION_FAILED", 400, param)
    assert "John" not in f"{failure}"


async def test_what_is_put_in_is_bounded(house: House, alice: Principal) -> None:
    async def anonymize(values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float) -> list[str]:
        return [worker_answer(values, operators, salt)[0] for _ in values]

    house.scanner.anonymize = anonymize
    texts = ["536-22-8812 " * 20_000]
    failure = await refusal(redact(house, alice, texts, US_SSN=replace("x" * 256)))
    assert (failure.reason, failure.param) == ("REQUEST_TOO_LARGE", "operators")
    assert len((await redact(house, alice, texts, US_SSN=replace("x" * 50))).texts[0]) == 51 * 20_000


async def test_whatever_goes_wrong_at_an_operator_gives_no_answer(
    house: House, pool: PresidioPool, alice: Principal, caplog: pytest.LogCaptureFixture
) -> None:
    await redact(house, alice, [NOTE], DEFAULT=HASH)  # scanned: only the operators are asked from now on

    async def broken(values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float) -> list[str]:
        raise KeyError(values[0])

    async def short(values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float) -> list[str]:
        return ["x"] * (len(values) - 1)

    failures: list[Failure] = []
    for anonymize in (broken, short):
        house.scanner.anonymize = anonymize
        failures.append(await refusal(redact(house, alice, [NOTE], DEFAULT=HASH)))
    await pool.stop()
    house.scanner.anonymize = pool.anonymize
    failures.append(await refusal(redact(house, alice, [NOTE], DEFAULT=HASH)))
    for failure in failures:
        assert (failure.reason, failure.http_status) == ("PHI_GUARD_UNAVAILABLE", 503)
        assert "Maria" not in f"{failure}"
    assert "Lopez" not in caplog.text


def test_an_unknown_type_is_not_repeated():
    with pytest.raises(UnknownEntityType) as caught:
        Operators({"John Smith": Redact()})
    assert "John" not in f"{caught.value!r}"


def worker_answer(values: Sequence[Value], operators: Operators, salt: bytes, size: int = 6_000) -> list[str]:
    """What a worker says, in this process."""
    jobs = anonymizing.jobs(values, operators, salt, size)
    return [text for job in jobs for text in json.loads(worker.answer(ENGINE, job))]


ENGINE = AnonymizerEngine()
_VALUES = st.lists(st.tuples(st.sampled_from(["PERSON", "URL", "US_SSN"]), st.text(min_size=1)), min_size=1)


@settings(deadline=None)
@given(_VALUES, st.integers(1, 40), st.booleans(), st.integers(1, 9))
def test_every_value_has_its_answer_whatever_stands_beside_it(
    values: list[Value], size: int, from_end: bool, count: int
) -> None:
    by_type: dict[str, Any] = {"PERSON": Mask("#", count, from_end), "URL": Redact(), "US_SSN": Hash()}
    expected: list[str] = []
    for kind, value in values:
        shown = value.encode("utf-8", "replace").decode()
        left = shown[:-count] if from_end else shown[count:]
        hidden = "#" * min(count, len(shown))
        hashed = hashlib.sha256(shown.encode() + KEY.hex().encode()).hexdigest()
        expected.append({"PERSON": left + hidden if from_end else hidden + left, "URL": "", "US_SSN": hashed}[kind])
    assert worker_answer(values, Operators(by_type), KEY, size) == expected


class InProcess:
    """The workers without their processes."""

    def __init__(self) -> None:
        self._analyzer = presidio.build()

    async def detect(self, blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        return [presidio.detect(self._analyzer, block) for block in blocks]

    async def anonymize(
        self, values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float
    ) -> list[str]:
        return worker_answer(values, operators, salt)


@pytest.fixture(scope="module")
def guard() -> TextGuard:
    workers = InProcess()
    return TextGuard(workers, workers)


_SAID = st.one_of(
    st.from_regex(r"[1-8][0-9]{2}-[1-9][0-9]-[1-9][0-9]{3}", fullmatch=True).map("SSN {}".format),
    st.from_regex(r"[1-9][0-9]{6,8}", fullmatch=True).map("MRN {}".format),
    st.sampled_from(["Maria Lopez", "Abdul Okonkwo", "Jane Smith"]).map("Patient: {}".format),
    st.from_regex(r"[a-z]{3,9}\.[a-z]{3,9}@example\.org", fullmatch=True),
    st.sampled_from(
        ["seen on 03/14/2024", "born May 3, 1961", "phone (415) 555-0123", "https://ehr.example/p/77", "1.2.3.4"]
    ),
    st.sampled_from(["The wound is clean.", "Plan: metformin 500 mg.", "\n", "é 😀"]),
)
_OPERATOR = st.sampled_from([Placeholder(), Replace("GONE"), Replace(), Redact(), Hash()])
_TYPES = [
    "PERSON",
    "US_SSN",
    "MEDICAL_RECORD_NUMBER",
    "EMAIL_ADDRESS",
    "DATE_TIME",
    "PHONE_NUMBER",
    "URL",
    "IP_ADDRESS",
    "DEFAULT",
]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(_SAID, min_size=1, max_size=5).map("; ".join), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(_TYPES), _OPERATOR),
    st.booleans(),
)
def test_no_detected_value_survives(guard: TextGuard, texts: list[str], by_type: dict[str, Any], as_json: bool) -> None:
    sent = [json.dumps({"note": text}) for text in texts] if as_json else texts
    deadline = time.monotonic() + 60
    done = asyncio.run(guard.redact(sent, Operators(by_type), org_key=KEY, salt=KEY, deadline=deadline, most=1 << 20))
    for text, masked, redactions in zip(sent, done.texts, done.redactions, strict=True):
        for each in redactions:
            assert each.place is not None
            value = text[slice(*each.place)]
            assert value not in masked, each
            assert each.operator == Operators(by_type).of(each.entity_type).name
            assert bool(each.placeholder) == (each.operator == "placeholder")
        assert not as_json or json.loads(masked).keys() == {"note"}
    assert done.restorable == all(each.placeholder for found in done.redactions for each in found)
    assert set(done.map.by_placeholder()) == {
        each.placeholder for f in done.redactions for each in f if each.placeholder
    }


def test_keep_and_placeholder_are_not_presidios_to_do():
    for operator in (Keep(), Placeholder()):
        with pytest.raises(ValueError, match="not Presidio's"):
            worker_answer([("PERSON", "x")], Operators({"PERSON": operator}), KEY)


def test_presidio_stays_in_the_workers():
    """Two seconds of CPU to import it, once a replica and not twice."""
    program = "import sys, services.inference.__main__; print([name for name in sys.modules if 'presidio_' in name])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
