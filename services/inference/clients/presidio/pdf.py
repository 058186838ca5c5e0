"""The text of a PDF, in bounded time and memory."""

import io
import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MOST_PAGES = 500
_MOST_CHARACTERS = 4_000_000
_MOST_MEMORY = 512 << 20  # beyond what the worker has when it begins
_AGAIN_SECONDS = 0.25

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it quotes the document


class _TookTooLong(BaseException):
    """Not an Exception: no handler of the reader may swallow it."""


def text_of(data: bytes, seconds: float) -> str | None:
    """All pages' text and form fields; None when it is encrypted, broken, too long, too much work, or a page has no text."""
    if seconds <= 0:
        return None
    try:
        with _at_most(seconds):
            return _read(data)
    except (_TookTooLong, MemoryError, RecursionError):
        return None


def _read(data: bytes) -> str | None:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted or not 0 < len(reader.pages) <= _MOST_PAGES:
            return None
        pages: list[str] = []
        length = 0
        for page in reader.pages:
            text = page.extract_text()
            length += len(text)
            if not text.strip() or length > _MOST_CHARACTERS:
                return None
            pages.append(text)
        fields = reader.get_form_text_fields() or {}
    except (
        PyPdfError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OSError,
        ArithmeticError,
        AssertionError,
        NotImplementedError,
    ):
        return None
    pages += [f"{name}: {value}" for name, value in fields.items() if value]
    return "\n\n".join(pages)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raises _TookTooLong when the time is over, and MemoryError beyond the memory. For the main thread of a worker."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = _address_space() + _MOST_MEMORY

    reading = [True]

    def over(_signal: int, _frame: Any) -> None:
        if reading:
            raise _TookTooLong

    handler = signal.signal(signal.SIGALRM, over)
    try:
        if before[0] == resource.RLIM_INFINITY or limit < before[0]:
            resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
        # Again and again: one that falls into a destructor or a callback of the collector is lost.
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
        try:
            yield
        finally:
            reading.clear()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _address_space() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - pathlib makes garbage where memory may be short
        return int(file.read().split()[0]) * resource.getpagesize()
