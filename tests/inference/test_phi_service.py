"""PhiService over a real gRPC server: its answers with Presidio's processes behind it, and its refusals."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
import pytest
from hasp.inference.v1 import phi_service_pb2
from hasp.inference.v1.phi_service_pb2 import (
    PhiSpan,
    RedactRequest,
    RestoreRequest,
    ScanRequest,
    ScanStreamRequest,
)
from hasp.inference.v1.phi_service_pb2_grpc import PhiServiceStub

from services.chassis.access import Principal
from services.inference.clients.presidio import PoolSettings, PresidioPool, TextScanner
from services.inference.domain.phi import PhiGuardSaturated, Span
from services.inference.servicer import phi as servicer
from tests.inference.conftest import Failure, House, Refused, person

NOTE = "Patient Maria Lopez, SSN 536-22-8812, MRN 4827193, e-mail maria.lopez@example.org."
VALUES = ("Maria Lopez", "536-22-8812", "4827193", "maria.lopez@example.org")


class Caller:
    """PhiService as one principal."""

    def __init__(self, house: House, principal: Principal) -> None:
        self.stub = PhiServiceStub(house.channel)
        self.metadata = house.metadata(principal)

    async def __call__(self, name: str, request: Any, timeout: float = 20) -> Any:
        try:
            return await getattr(self.stub, name)(request, metadata=self.metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise Refused(Failure.of(error)) from None

    def stream(self, texts: AsyncIterator[ScanStreamRequest] | None = None, timeout: float = 20) -> Any:
        return self.stub.ScanStream(texts, metadata=self.metadata, timeout=timeout)


async def refusal(call: Any) -> Failure:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.failure


def said(text: str, spans: Sequence[PhiSpan]) -> list[tuple[str, str, str]]:
    return [(span.entity_type, span.category, text[span.start : span.end]) for span in spans]


@pytest.fixture
async def pool(house: House) -> AsyncIterator[PresidioPool]:
    started = PresidioPool(PoolSettings(workers=1, waiting_scans=4, load_seconds=110))
    await started.start()
    texts = TextScanner(started)
    house.scanner.detect, house.scanner.anonymize = texts.detect, texts.anonymize
    yield started
    await started.stop()


async def test_texts_are_scanned_redacted_and_restored(house: House, pool: PresidioPool, alice: Principal) -> None:
    phi = Caller(house, alice)
    data = '{"patient": {"name": "Maria Lopez", "mrn": 4827193}}'
    texts = [NOTE, "The wound is clean and dry.", data, "Maria Lopez came back. MRN [MRN_1] is not hers."]
    scanned = await phi("Scan", ScanRequest(texts=texts))
    assert said(NOTE, scanned.results[0].spans) == [
        ("PERSON", "A", "Maria Lopez"),
        ("US_SSN", "G", "536-22-8812"),
        ("MEDICAL_RECORD_NUMBER", "H", "4827193"),
        ("EMAIL_ADDRESS", "F", "maria.lopez@example.org"),
    ]
    assert all(span.recognizer and 0 < span.score <= 1 for each in scanned.results for span in each.spans)
    assert len(scanned.results[1].spans) == 0
    assert said(data, scanned.results[2].spans) == [
        ("PERSON", "A", "Maria Lopez"),
        ("MEDICAL_RECORD_NUMBER", "H", "4827193"),
    ]

    redacted = await phi("Redact", RedactRequest(texts=texts))
    assert list(redacted.texts) == [
        "Patient [PERSON_A1], SSN [SSN_A1], MRN [MRN_A1], e-mail [EMAIL_A1].",
        "The wound is clean and dry.",
        '{"patient": {"name": "[PERSON_A1]", "mrn": "[MRN_A1]"}}',
        "[PERSON_A1] came back. MRN [MRN_1] is not hers.",
    ]
    assert sorted(redacted.placeholders.values()) == sorted(VALUES)
    for text, masked, result in zip(texts, redacted.texts, redacted.results, strict=True):
        assert [redacted.placeholders[span.placeholder] for span in result.spans] == [
            value for _, _, value in said(text, result.spans)
        ]
        assert not any(value in masked for value in VALUES)

    answer = [*redacted.texts[:2], "So [person_a1] has **[EMAIL\\_A1]** and [PERSON_A2]."]
    restored = await phi("Restore", RestoreRequest(texts=answer, placeholders=redacted.placeholders))
    assert list(restored.texts) == [
        NOTE,
        texts[1],
        "So Maria Lopez has **maria.lopez@example.org** and [PERSON_A2].",
    ]
    assert restored.restored_count == 6


async def test_the_example_in_the_docstring_runs(house: House, pool: PresidioPool, alice: Principal) -> None:
    example = "\n".join(line for line in (servicer.__doc__ or "").splitlines() if line.startswith("    "))
    known: dict[str, Any] = vars(phi_service_pb2) | {"PhiServiceStub": PhiServiceStub}
    exec(f"async def example(channel, key):\n{example}", known)
    await known["example"](house.channel, house.token_of(alice))
    assert example.count("assert") == 4


async def test_a_stream_answers_in_order(house: House, pool: PresidioPool, alice: Principal) -> None:
    texts = [
        f"{'The wound is clean. ' * (40 * (index % 3))}Patient Maria Lopez, MRN 48271{index:02}." for index in range(12)
    ]

    async def requests() -> AsyncIterator[ScanStreamRequest]:
        for text in texts:
            yield ScanStreamRequest(text=text)

    answers = [said(text, a.spans) async for text, a in _zipped(texts, Caller(house, alice).stream(requests()))]
    assert [each[-1][2] for each in answers] == [f"48271{index:02}" for index in range(12)]
    assert all(each[0] == ("PERSON", "A", "Maria Lopez") for each in answers)


async def test_one_memory_serves_both_and_no_other_organization(
    house: House, pool: PresidioPool, alice: Principal, mallory: Principal
) -> None:
    """What a request to the model had scanned is known here; a hung scanner shows who would have to ask it."""
    await Caller(house, alice)("Scan", ScanRequest(texts=[NOTE]))
    os.kill(pool.process_ids[0], signal.SIGSTOP)
    body = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": [{"role": "user", "content": NOTE}]}
    await house.create(alice, body)
    twin = person(org_id=alice.org_id)
    redacted = await Caller(house, twin)("Redact", RedactRequest(texts=[NOTE]))
    assert redacted.texts[0] == "Patient [PERSON_1], SSN [SSN_1], MRN [MRN_1], e-mail [EMAIL_1]."
    failure = await refusal(Caller(house, mallory)("Redact", RedactRequest(texts=[NOTE])))
    assert failure.reason == "PHI_GUARD_UNAVAILABLE"


async def test_a_full_house_and_dead_workers_refuse_everything(
    house: House, pool: PresidioPool, alice: Principal
) -> None:
    phi = Caller(house, alice)
    os.kill(pool.process_ids[0], signal.SIGSTOP)
    scans = [asyncio.create_task(refusal(phi("Scan", ScanRequest(texts=[f"{NOTE} {n}"])))) for n in range(8)]
    for failure in await asyncio.gather(*scans):
        assert (failure.reason, failure.http_status) == ("PHI_GUARD_UNAVAILABLE", 503)
        assert not any(value in f"{failure}" for value in VALUES)
    async with asyncio.timeout(30):
        while not pool.ready:  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.05)
    assert (await phi("Scan", ScanRequest(texts=[NOTE]))).results[0].spans
    await pool.stop()
    for name, request in (
        ("Scan", ScanRequest(texts=["x", NOTE + "!"])),
        ("Redact", RedactRequest(texts=[NOTE + "!"])),
    ):
        assert (await refusal(phi(name, request))).reason == "PHI_GUARD_UNAVAILABLE"
    stream = phi.stream()
    await stream.write(ScanStreamRequest(text=NOTE))  # known already
    await stream.write(ScanStreamRequest(text=NOTE + "!"))
    assert len((await stream.read()).spans) == 4
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert Failure.of(caught.value).reason == "PHI_GUARD_UNAVAILABLE"


async def test_the_callers_deadline_is_the_scans(house: House, alice: Principal) -> None:
    given: list[float] = []

    async def detect(blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        given.append(deadline - time.monotonic())
        return [[] for _ in blocks]

    house.scanner.detect = detect
    phi = Caller(house, alice)
    await phi("Scan", ScanRequest(texts=["x"]), timeout=1)
    await phi("Scan", ScanRequest(texts=["x"]), timeout=60)
    assert given[0] < 1 < given[1] <= 2


async def test_whatever_goes_wrong_in_the_guard_gives_no_answer(house: House, alice: Principal) -> None:
    phi = Caller(house, alice)

    async def broken(blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        raise KeyError(blocks[0])

    async def saturated(blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        raise PhiGuardSaturated("full")

    async def short(blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        return []

    for detect in (broken, saturated, short):
        house.scanner.detect = detect
        for name, request in (("Scan", ScanRequest(texts=[NOTE])), ("Redact", RedactRequest(texts=[NOTE]))):
            failure = await refusal(phi(name, request))
            assert (failure.reason, failure.http_status) == ("PHI_GUARD_UNAVAILABLE", 503)
            assert "Maria" not in f"{failure}"


async def test_who_may_call(house: House, alice: Principal) -> None:
    request = ScanRequest(texts=["x"])
    house.agreements.signed = False  # no model is asked: no agreement is needed
    assert len((await Caller(house, alice)("Scan", request)).results) == 1
    agent = person("agent", agent_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert (await refusal(Caller(house, agent)("Scan", request))).reason == "AGENT_NOT_PERMITTED"
    reader = person(scopes=frozenset({"control:read"}))
    for name, each in (
        ("Scan", request),
        ("Redact", RedactRequest(texts=["x"])),
        ("Restore", RestoreRequest(texts=["x"])),
    ):
        assert (await refusal(Caller(house, reader)(name, each))).reason == "MISSING_SCOPE"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await Caller(house, reader).stream().read()
    assert Failure.of(caught.value).reason == "MISSING_SCOPE"
    nobody = PhiServiceStub(house.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await nobody.Scan(request, timeout=5)
    assert Failure.of(caught.value).reason == "INVALID_API_KEY"


@pytest.mark.parametrize("name", ["Scan", "Redact", "Restore"])
async def test_limits(house: House, alice: Principal, name: str) -> None:
    phi = Caller(house, alice)
    request = {"Scan": ScanRequest, "Redact": RedactRequest, "Restore": RestoreRequest}[name]
    most = (4 if name == "Restore" else 1) << 20
    for texts in ([], ["x"] * 1_001):
        failure = await refusal(phi(name, request(texts=texts)))
        assert (failure.reason, failure.http_status, failure.param) == ("VALIDATION_FAILED", 400, "texts")
    (_, answers), *_ = (await phi(name, request(texts=["x" * (most // 512)] * 512))).ListFields()
    assert len(answers) == 512
    for texts in (["x" * (most + 1)], ["é" * (most // 1_024)] * 513):
        failure = await refusal(phi(name, request(texts=texts)))
        assert (failure.reason, failure.http_status) == ("REQUEST_TOO_LARGE", 413)
        assert failure.details == {"limit_bytes": most}


async def test_nested_too_deeply_names_the_text(house: House, alice: Principal) -> None:
    text = '["John Smith"]'
    for _ in range(10):
        text = f"[{json.dumps(text)}]"
    failure = await refusal(Caller(house, alice)("Redact", RedactRequest(texts=["x", text])))
    assert (failure.reason, failure.param) == ("VALIDATION_FAILED", "texts[1]")


async def test_a_map_is_checked_before_it_is_used(house: House, alice: Principal) -> None:
    phi = Caller(house, alice)
    for wrong in ({"John Smith": "x"}, {"[PERSON_1]": ""}, {"[PERSON_1]": "x", "[SSN_A1]": "y"}):
        failure = await refusal(phi("Restore", RestoreRequest(texts=["x"], placeholders=wrong)))
        assert (failure.reason, failure.param) == ("VALIDATION_FAILED", "placeholders")
        assert "John" not in f"{failure}"
    many = {f"[PERSON_{number}]": "x" for number in range(1, 100_002)}
    failure = await refusal(phi("Restore", RestoreRequest(texts=["x"], placeholders=many)))
    assert (failure.reason, failure.param) == ("VALIDATION_FAILED", "placeholders")
    huge = RestoreRequest(texts=["[URL_1]" * 100_000], placeholders={"[URL_1]": "https://" + "x" * 1_000})
    assert (await refusal(phi("Restore", huge))).reason == "REQUEST_TOO_LARGE"
    large = RestoreRequest(texts=["x"], placeholders={"[URL_1]": "x" * (4 << 20)})
    assert (await refusal(phi("Restore", large))).reason == "REQUEST_TOO_LARGE"


class Slow:
    """A detector that never answers, and counts who waits for it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.begun = 0

    async def detect(self, blocks: Sequence[str], deadline: float, org_key: bytes) -> list[list[Span]]:
        self.waiting += 1
        self.begun += 1
        try:
            await asyncio.sleep(60)
        finally:
            self.waiting -= 1
        return []


async def test_a_stream_holds_few_scans_and_leaves_none_behind(house: House, alice: Principal) -> None:
    slow = Slow()
    house.scanner.detect = slow.detect
    stream = Caller(house, alice).stream()
    for number in range(20):
        await stream.write(ScanStreamRequest(text=f"x {number}"))
    await house.eventually(lambda: slow.waiting == 4)
    await asyncio.sleep(0.1)
    assert slow.begun == 4
    stream.cancel()
    await house.eventually(lambda: slow.waiting == 0)
    assert not house.inference.phi._streams


async def test_a_text_too_large_ends_a_stream_after_the_answers_before_it(house: House, alice: Principal) -> None:
    stream = Caller(house, alice).stream()
    for text in ("John Smith", "x" * ((1 << 20) + 1), "John Smith"):
        await stream.write(ScanStreamRequest(text=text))
    assert len((await stream.read()).spans) == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert Failure.of(caught.value).reason == "REQUEST_TOO_LARGE"


async def test_a_revoked_credential_ends_its_streams(house: House, alice: Principal) -> None:
    stream = Caller(house, alice).stream()
    await stream.write(ScanStreamRequest(text="John Smith"))
    assert len((await stream.read()).spans) == 1
    async with house.db.transaction(alice.org_id) as tx:
        await house.ground.changes.publish(tx, org_id=alice.org_id, subject_id=alice.id, cancel=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(stream.read(), 5)
    assert Failure.of(caught.value).reason == "INVALID_API_KEY"


async def test_a_stop_is_not_held_up_by_an_idle_stream(house: House, alice: Principal) -> None:
    stream = Caller(house, alice).stream()
    await stream.write(ScanStreamRequest(text="John Smith"))
    assert len((await stream.read()).spans) == 1
    house.inference.phi.end_streams()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(stream.read(), 5)
    assert Failure.of(caught.value).reason == "SERVICE_UNAVAILABLE"


async def _zipped(texts: Sequence[str], stream: Any) -> AsyncIterator[tuple[str, Any]]:
    index = 0
    async for answer in stream:
        yield texts[index], answer
        index += 1
    assert index == len(texts)
