"""Server-sent events: frames cut from bytes, their data, and frames written."""

import re
from typing import Any

import orjson

_FRAME_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class FrameReader:
    """Whole frames of a byte stream, each with the blank line that ends it."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> list[bytes]:
        """Frames that `data` completes."""
        buffer = self._rest + data if self._rest else data
        frames: list[bytes] = []
        start = 0
        for end in _FRAME_END.finditer(buffer):
            frames.append(buffer[start : end.end()])
            start = end.end()
        self._rest = buffer[start:]
        return frames

    @property
    def unfinished(self) -> bool:
        return bool(self._rest.strip())


def data_of(frame: bytes) -> dict[str, Any] | None:
    """The JSON object a frame carries, None for a comment. Raises ValueError for data that is no JSON object."""
    start = frame.find(b"data:")
    if start < 0:
        return None
    if start and frame[start - 1 : start] not in (b"\n", b"\r"):
        return None
    text = frame[start + 5 :]
    if b"\ndata:" in text or b"\nevent:" in text or b"\nid:" in text:
        text = b"\n".join(line[5:] for line in frame.splitlines() if line.startswith(b"data:"))
    event = orjson.loads(text)
    if not isinstance(event, dict):
        raise ValueError("an event that is no object")  # noqa: TRY004 - a malformed stream, whatever is malformed in it
    return event


def frame(event: dict[str, Any]) -> bytes:
    """An event of Anthropic's stream: its name is its type."""
    return b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
