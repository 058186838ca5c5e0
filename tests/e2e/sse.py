"""Server-sent events as they come off the wire."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    name: str
    id: str | None
    data: Any
    at: float
    """Seconds of the monotonic clock when its last byte was read."""


def read(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Events as soon as they are whole. Comments (`: ping`) are passed over; anything else unknown is an error."""
    kept = b""
    for chunk in chunks:
        kept += chunk
        while b"\n\n" in kept:
            frame, kept = kept.split(b"\n\n", 1)
            fields: dict[str, str] = {}
            for line in frame.decode().split("\n"):
                if line.startswith(":"):
                    continue
                name, colon, value = line.partition(": ")
                assert colon, f"not a field: {line!r}"
                assert name in ("event", "id", "data"), line
                assert name not in fields, f"{name} twice in one event"
                fields[name] = value
            if fields:
                yield Event(fields["event"], fields.get("id"), json.loads(fields["data"]), time.monotonic())
    assert kept == b"", f"the stream ends in the middle of an event: {kept!r}"
