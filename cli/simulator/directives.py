"""Stage directions written into a message: `[[sim:status=529]]`, `[[sim:delay_ms=200]]`, `[[sim:say=Hello]]`.

They let a test steer the upstream through an unmodified client. Only the newest user turn is read, so that a
conversation sent again does not play its old directions again.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

# A value may itself end in a bracket (`say=Hello [PERSON_1]`): the direction ends at the last bracket of a run.
_DIRECTIVE = re.compile(r"\[\[sim:([a-z_]+)(?:=(.*?))?\]\](?!\])", re.DOTALL)

LONGEST_WAIT = 600.0
"""Seconds after which a hung answer gives up by itself."""


def spoken(text: str) -> str:
    """The text without its stage directions."""
    return _DIRECTIVE.sub("", text).strip()


@dataclass(frozen=True, slots=True)
class Directives:
    """What one answer was told to do. Events are counted from 1, `message_start` being the first."""

    status: int | None = None
    """Answer with this error status."""
    retry_after: int | None = None
    """Seconds, sent as a header beside `status`."""
    should_retry: str | None = None
    """Value of `x-should-retry`, sent beside `status`."""
    hang: bool = False
    """Take the request and never answer."""
    hang_after: int | None = None
    """Stop sending after so many events, keeping the connection open."""
    cut: bool = False
    """Close the connection before the first byte of the answer."""
    cut_after: int | None = None
    """Close the connection after so many events; a plain answer is cut in the middle of its body."""
    garbage: bool = False
    """Answer 200 with something that is no message."""
    garbage_after: int | None = None
    """Send a line that is no event after so many events."""
    midstream_error: int | None = None
    """Send the stream's `error` event after so many events (3 when no number is given)."""
    error_type: str = "overloaded_error"
    """The type that `midstream_error` carries."""
    delay_ms: int = 0
    """Wait before the first byte."""
    interval_ms: int = 0
    """Wait before every delta but the first."""
    chunk: int = 12
    """Characters in one delta."""
    say: str | None = None
    """The text to answer with."""
    repeat: int = 1
    """How often the text is said, for long streams."""
    echo: str = "last"
    """What is repeated when nothing is to be said: `last`, `system` or `all`."""
    tools: tuple[str, ...] = ()
    """Tools to call."""
    tool_input: str | None = None
    """The called tools' input as JSON, in place of one made from the schema."""
    redacted_thinking: bool = False
    """Start with a redacted thinking block."""
    stop: str | None = None
    """The stop reason to report."""
    output_tokens: int | None = None
    """The output tokens to report."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Those written in `text`; one that nobody knows is a `ValueError` naming it."""
        return cls.of(_DIRECTIVE.findall(text))

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """From names and written values; `tool` may come several times, of the others the last counts."""
        chosen: dict[str, Any] = {}
        for name, written in pairs:
            if name == "tool":
                chosen["tools"] = (*chosen.get("tools", ()), written)
            elif name in _NUMBERS:
                chosen[name] = int(written or _NUMBERS[name])
            elif name in _SWITCHES:
                chosen[name] = written.lower() not in ("false", "0")
            elif name in _TEXTS:
                chosen[name] = written
            else:
                raise ValueError(f"unknown directive: {name}")
        return cls(**chosen)


_NUMBERS = {
    "status": 500,
    "retry_after": 1,
    "hang_after": 1,
    "cut_after": 1,
    "garbage_after": 1,
    "midstream_error": 3,
    "delay_ms": 0,
    "interval_ms": 0,
    "chunk": 1,
    "repeat": 1,
    "output_tokens": 0,
}
_SWITCHES = frozenset({"hang", "cut", "garbage", "redacted_thinking"})
_TEXTS = frozenset({"say", "echo", "tool_input", "stop", "error_type", "should_retry"})
