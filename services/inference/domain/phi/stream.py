"""Values back into an answer that arrives in pieces. Only what may become a placeholder is held."""

import re
from typing import Any

import orjson

from services.inference.domain.phi.placeholders import PlaceholderMap
from services.inference.domain.phi.restore import Restorer, restore_block

_CONTEXT = 3  # characters already sent that a bare placeholder's left edge looks back on
_FRAME_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_TOUCHED = (b"content_block_", b"stop_sequence", b"message_stop")
_DELTA_TEXT = {"text_delta": "text", "input_json_delta": "partial_json"}


class TextStreamRestorer:
    """One text in pieces. `in_json`: the pieces are JSON source, as in `input_json_delta`."""

    def __init__(self, placeholders: PlaceholderMap, *, in_json: bool = False) -> None:
        self._restorer = Restorer(placeholders, in_json=in_json)
        self._tail = _Tail(placeholders, in_json=in_json)
        self._context = ""
        self._held = ""

    @property
    def restored_count(self) -> int:
        return self._restorer.restored_count

    @property
    def holding(self) -> bool:
        return bool(self._held)

    def push(self, piece: str) -> str:
        """What may be sent now."""
        if self._restorer.idle:
            return piece
        text = self._context + self._held + piece
        hold = self._tail.start(text, len(self._context))
        return self._send(text, hold)

    def finish(self) -> str:
        """The rest, when the text or the stream has ended."""
        text = self._context + self._held
        return self._send(text, len(text)) if self._held else ""

    def _send(self, text: str, end: int) -> str:
        sent = self._restorer.text_between(text, len(self._context), end)
        self._held = text[end:]
        self._context = text[max(0, end - _CONTEXT) : end]
        return sent


class _Tail:
    """Where the suffix begins that can still grow into a placeholder of the map."""

    def __init__(self, placeholders: PlaceholderMap, *, in_json: bool) -> None:
        self._last = placeholders.last_numbers()
        space = placeholders.namespace
        slash = "\\\\" if in_json else "\\"
        brackets = {
            f"{opening}{label}{separator}{space}".lower()
            for label in self._last
            for opening in ("[", slash + "[")
            for separator in ("_", slash + "_", " ")
        }
        words = {f"{label}{separator}{space}" for label in self._last for separator in ("_", slash + "_")}
        self._bracket_heads = {head[:length] for head in brackets for length in range(1, len(head) + 1)}
        self._word_heads = {head[:length] for head in words for length in range(1, len(head) + 1)}
        names = "|".join(sorted(self._last, key=len, reverse=True)) or r"(?!)"
        escape = re.escape(slash)
        self._bracketed = re.compile(
            rf"(?:{escape})?\[({names})(?:(?:{escape})?_| ){space}([1-9][0-9]*)(?:\\{{0,{len(slash)}}})", re.IGNORECASE
        )
        self._word = re.compile(rf"({names})(?:{escape})?_{space}([1-9][0-9]*)")
        longest = max((len(f"{label}{space}{last}") for label, last in self._last.items()), default=0)
        self.bound = longest + 1 + 4 * len(slash) + 2
        self._starts = re.compile(rf"[\[\\{''.join(sorted({label[0] for label in self._last}))}]")
        self._edge = re.compile(r"\w")
        self._json_escape = re.compile(r"\\[nrt]\Z") if in_json else None

    def start(self, text: str, since: int) -> int:
        """The smallest index ≥ `since` from which `text` may still become a placeholder; its length when none may."""
        for match in self._starts.finditer(text, max(since, len(text) - self.bound)):
            if self._viable(text, match.start()):
                return match.start()
        return len(text)

    def _viable(self, text: str, start: int) -> bool:
        tail = text[start:]
        if tail.lower() in self._bracket_heads:
            return True
        bracketed = self._bracketed.fullmatch(tail)
        if self._known(bracketed) and (tail[0] == "\\" or tail[-1] != "\\"):
            return True
        if tail in self._word_heads or self._known(self._word.fullmatch(tail)):
            before = text[max(0, start - 2) : start]
            in_word = bool(before) and bool(self._edge.match(before[-1]))
            return not in_word or bool(self._json_escape and self._json_escape.search(before))
        return False

    def _known(self, match: re.Match[str] | None) -> bool:
        return match is not None and int(match[2]) <= self._last[match[1].upper()]


def split_frames(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Whole SSE frames, their blank line included, and the unfinished rest."""
    frames: list[bytes] = []
    start = 0
    for end in _FRAME_END.finditer(buffer):
        frames.append(buffer[start : end.end()])
        start = end.end()
    return frames, buffer[start:]


class StreamRestorer:
    """Anthropic's event stream with the values back, per content block.

    Use either `push`/`finish` (raw SSE frames) or `push_event`/`finish_events` (parsed), never both on one stream.
    """

    def __init__(self, placeholders: PlaceholderMap) -> None:
        self._map = placeholders
        self._whole = Restorer(placeholders)
        self._texts: dict[tuple[int, str], TextStreamRestorer] = {}
        self._finished_count = 0

    @property
    def restored_count(self) -> int:
        return self._whole.restored_count + self._finished_count + sum(t.restored_count for t in self._texts.values())

    def push(self, frame: bytes) -> list[bytes]:
        """The frames to send for one whole frame; the very same bytes when nothing in it changed."""
        if not self._map or not any(name in frame for name in _TOUCHED):
            return [frame]
        event = _data(frame)
        if event is None:
            return [frame]
        return [frame if sent is event else _frame(sent) for sent in self.push_event(event)]

    def finish(self) -> list[bytes]:
        """What is still held, when the stream has ended or died."""
        return [_frame(event) for event in self.finish_events()]

    def push_event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The events to send for one event; the very same object when nothing in it changed."""
        if not self._map:
            return [event]
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_start":
            return self._replaced(event, "content_block", restore_block(event["content_block"], self._whole))
        if kind == "content_block_stop":
            return [*self._flush(event["index"]), event]
        if kind == "message_delta":
            delta = event["delta"]
            if not isinstance(delta.get("stop_sequence"), str):
                return [event]
            return self._replaced(event, "delta", delta | {"stop_sequence": self._whole.text(delta["stop_sequence"])})
        if kind == "message_stop":
            return [*self.finish_events(), event]
        return [event]

    def finish_events(self) -> list[dict[str, Any]]:
        return [event for index in sorted({index for index, _ in self._texts}) for event in self._flush(index)]

    def _delta(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        delta, index = event["delta"], event["index"]
        field = _DELTA_TEXT.get(delta["type"])
        if field is None:
            if delta["type"] == "citations_delta":
                restored = self._whole.tree(delta)
                citation = self._whole.citation(restored.get("citation"))
                return [] if citation is None else self._replaced(event, "delta", restored | {"citation": citation})
            return [event]
        stream = self._texts.get((index, delta["type"]))
        if stream is None:
            stream = TextStreamRestorer(self._map, in_json=delta["type"] == "input_json_delta")
            self._texts[index, delta["type"]] = stream
        piece = delta[field]
        sent = stream.push(piece)
        if sent == piece:
            return [event]
        return [event | {"delta": delta | {field: sent}}] if sent else []

    def _flush(self, index: int) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for key in [key for key in self._texts if key[0] == index]:
            stream = self._texts.pop(key)
            rest = stream.finish()
            self._finished_count += stream.restored_count
            if rest:
                delta = {"type": key[1], _DELTA_TEXT[key[1]]: rest}
                events.append({"type": "content_block_delta", "index": index, "delta": delta})
        return events

    @staticmethod
    def _replaced(event: dict[str, Any], key: str, value: Any) -> list[dict[str, Any]]:
        return [event] if value == event[key] else [event | {key: value}]


def _data(frame: bytes) -> dict[str, Any] | None:
    lines = [line[5:].lstrip(b" ") for line in frame.splitlines() if line.startswith(b"data:")]
    if not lines:
        return None
    event = orjson.loads(b"\n".join(lines))
    return event if isinstance(event, dict) else None


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
