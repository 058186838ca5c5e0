"""The provider's server-sent events for one answer, in its order and its spelling."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from cli.simulator.answer import Answer


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    data: bytes
    usage: dict[str, Any] | None = None
    """What it reports, beside its data."""

    @property
    def is_delta(self) -> bool:
        return self.name == "content_block_delta"

    def frame(self) -> bytes:
        return b"event: " + self.name.encode() + b"\ndata: " + self.data + b"\n\n"


PING = Event("ping", b'{"type": "ping"}')


def _event(name: str, *, reports: dict[str, Any] | None = None, **fields: Any) -> Event:
    return Event(name, orjson.dumps({"type": name, **fields}), reports)


def stream(answer: Answer, chunk: int) -> Iterator[Event]:
    """`chunk` is the length of a delta in characters."""
    opening = answer.opening()
    yield _event("message_start", reports=opening["usage"], message=opening)
    for index, block in enumerate(answer.blocks):
        yield _event("content_block_start", index=index, content_block=block.opening())
        if index == 0:
            yield PING
        for delta in block.deltas(chunk):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ending = {"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence}
    usage = answer.closing_usage()
    yield _event("message_delta", reports=usage, delta=ending, usage=usage)
    yield _event("message_stop")
