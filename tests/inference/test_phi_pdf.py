"""PDFs that cannot be read are told as such, in bounded time and memory; what is read is all of the text."""

import base64
import io
import json
import resource
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pypdf import PdfWriter

from services.inference.clients.presidio import PoolSettings, PresidioPool
from services.inference.clients.presidio.pdf import text_of
from services.inference.domain.phi import Guard, PhiBlocked, Policy
from tests.inference.phi_fakes import PatternDetector


def pdf(streams: list[bytes], *, extra: bytes = b"", more: tuple[bytes, ...] = ()) -> bytes:
    """A PDF of one page for each content stream; `extra` goes into each stream's dictionary."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(streams)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(streams)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for index, stream in enumerate(streams):
        page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
        objects += [page % (5 + 2 * index), b"<</Length %d%s>>stream\n%s\nendstream" % (len(stream), extra, stream)]
    objects += more
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        size,
        table,
        size,
        len(out),
    )


def saying(text: str) -> bytes:
    return f"BT /F1 12 Tf 10 50 Td ({text}) Tj ET".encode()


def encrypted(password: str) -> bytes:
    writer, out = PdfWriter(io.BytesIO(pdf([saying("John Smith")]))), io.BytesIO()
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    writer.write(out)
    return out.getvalue()


def bomb() -> bytes:
    """A few hundred bytes that are 256 MB when they are unpacked twice."""
    packer = zlib.compressobj(6)
    once = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    return pdf([zlib.compress(once, 9)], extra=b"/Filter[/FlateDecode/FlateDecode]")


def slow() -> bytes:
    """Valid, and minutes of work."""
    return pdf([zlib.compress(saying("x") * 400_000)] * 400, extra=b"/Filter/FlateDecode")


UNREADABLE = {
    "encrypted": encrypted("secret"),
    "encrypted for nobody": encrypted(""),
    "a picture of a page": pdf([b"q 300 0 0 100 0 0 cm /Im1 Do Q"]),
    "one page of pictures": pdf([saying("John Smith"), b"q 300 0 0 100 0 0 cm /Im1 Do Q"]),
    "1,000 pages": pdf([saying("page")] * 1000),
    "no pages": pdf([]),
    "cut off": pdf([saying("John Smith")] * 3)[:-500],
    "not a PDF": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "empty": b"",
    "only a head": b"%PDF-1.7\n",
    "pages that go round": pdf([saying("x")]).replace(b"/Kids[4 0 R]", b"/Kids[2 0 R]"),
    "a broken stream": pdf([b"\x01\x02\x03"], extra=b"/Filter/FlateDecode"),
    "an unknown filter": pdf([saying("x")], extra=b"/Filter/NeverHeardOf"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_none(kind: str):
    started = time.process_time()
    assert text_of(UNREADABLE[kind], 5.0) is None
    assert time.process_time() - started < 3


def test_all_pages_and_fields_are_read():
    assert (
        text_of(pdf([saying("Patient: John Smith"), saying("MRN 4827193")]), 5.0)
        == "Patient: John Smith\n\nMRN 4827193"
    )
    assert (text_of(pdf([saying("page")] * 300), 30.0) or "").count("page") == 300


def test_a_bomb_takes_neither_the_time_nor_the_memory():
    small = bomb()
    assert len(small) < 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    assert text_of(small, 5.0) is None
    assert time.monotonic() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000  # KiB
    assert resource.getrlimit(resource.RLIMIT_AS)[0] in (
        resource.RLIM_INFINITY,
        resource.getrlimit(resource.RLIMIT_AS)[1],
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_time_that_is_over_inside_a_destructor_is_over_soon_after(monkeypatch: pytest.MonkeyPatch):
    class Sleeper:
        def __del__(self) -> None:
            time.sleep(0.6)

    def reading(_: bytes) -> str:
        del_me = Sleeper()
        del del_me
        time.sleep(10)
        return "never"

    monkeypatch.setattr("services.inference.clients.presidio.pdf._read", reading)
    started = time.monotonic()
    assert text_of(b"", 0.2) is None
    assert time.monotonic() - started < 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_too_much_work_ends_when_the_time_is_over():
    work = slow()
    started = time.monotonic()
    assert text_of(work, 0.5) is None
    assert time.monotonic() - started < 5
    assert text_of(pdf([saying("still here")]), 5.0) == "still here"
    assert text_of(pdf([saying("no time")]), -1.0) is None


@pytest.fixture
async def pool() -> AsyncIterator[PresidioPool]:
    started = PresidioPool(PoolSettings(workers=1))
    await started.start()
    yield started
    await started.stop()


def asking(data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}
    return {"messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]}


async def test_what_cannot_be_read_is_replaced_or_refused_and_costs_no_worker(pool: PresidioPool):
    guard = Guard(PatternDetector(), pool)
    workers = pool.process_ids
    for kind, data in {**UNREADABLE, "bomb": bomb(), "slow": slow()}.items():
        deadline = time.monotonic() + (4 if kind == "slow" else 20)
        done = await guard.scan_messages(asking(data), policy=Policy(), org_key=b"k" * 32, deadline=deadline)
        sent = done.request["messages"][0]["content"]
        assert sent == [{"type": "text", "text": "[DOCUMENT_REMOVED]"}], kind
        assert "John" not in json.dumps(done.request)
    with pytest.raises(PhiBlocked) as refused:
        await guard.scan_messages(
            asking(UNREADABLE["encrypted"]),
            policy=Policy(mode="block"),
            org_key=b"k" * 32,
            deadline=time.monotonic() + 20,
        )
    assert refused.value.reason == "unscannable"
    assert pool.process_ids == workers
    done = await guard.scan_messages(
        asking(pdf([saying("Patient: John Smith")])), policy=Policy(), org_key=b"k" * 32, deadline=time.monotonic() + 20
    )
    assert done.request["messages"][0]["content"][0]["source"]["data"] == "Patient: [PERSON_1]"
