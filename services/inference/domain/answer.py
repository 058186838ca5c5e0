"""What the provider answered, gathered event by event: content as the caller got it, usage, how it ended."""

from typing import Any

import orjson

from services.inference.domain.usage import Basis, Usage, counted_tokens

_FIELDS = {"text_delta": "text", "input_json_delta": "partial_json", "thinking_delta": "thinking"}


class GarbledAnswer(Exception):
    """The provider sent something that is no message."""


class Answer:
    """`heard` takes the provider's events as they came, `sent` the caller's, in which values stand for placeholders.

    `max_tokens`: what the request asked for at most.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self.usage = Usage()
        self.provider_message_id: str | None = None
        self.stop_reason: str | None = None
        self.started = False
        self.complete = False
        self._characters = 0
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}

    def heard(self, event: dict[str, Any]) -> None:
        """Raises GarbledAnswer."""
        kind = event.get("type")
        try:
            if kind == "message_start":
                self._start(event["message"])
            elif kind == "content_block_delta":
                delta = event["delta"]
                field = _FIELDS.get(delta["type"])
                if field is not None:
                    self._characters += len(delta[field])
            elif kind == "message_delta":
                if isinstance(usage := event.get("usage"), dict):
                    self.usage.take(usage)
                    self.usage.basis = Basis.REPORTED
                stop_reason = event["delta"].get("stop_reason")
                self.stop_reason = stop_reason if isinstance(stop_reason, str) else self.stop_reason
            elif kind == "message_stop":
                self.complete = True
        except (KeyError, TypeError, AttributeError):
            raise GarbledAnswer(f"a malformed {kind} event") from None

    def sent(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._add(event["index"], event["delta"])
        elif kind == "content_block_start":
            self._blocks[event["index"]] = dict(event["content_block"])
        elif kind == "content_block_stop":
            self._close(event["index"])

    def whole(self, message: dict[str, Any]) -> None:
        """A message that came in one piece. Raises GarbledAnswer."""
        if message.get("type") != "message" or not isinstance(message.get("content"), list):
            raise GarbledAnswer("not a message")
        self._start(message)
        self.usage.basis = Basis.REPORTED
        stop_reason = message.get("stop_reason")
        self.stop_reason = stop_reason if isinstance(stop_reason, str) else None
        self.complete = True

    def settle_count(self) -> None:
        """When it ended before the provider's last word on usage: what came out is counted."""
        if self.started and self.usage.basis is not Basis.REPORTED:
            # Words of more than four characters a token would count beyond what the provider may say, and what was reserved.
            counted = min(counted_tokens(self._characters), self._max_tokens)
            self.usage.output_tokens = max(self.usage.output_tokens, counted)
            self.usage.basis = Basis.COUNTED

    @property
    def content(self) -> list[dict[str, Any]]:
        """The blocks so far; one that is not finished holds what was sent of it."""
        for index in list(self._pieces):
            self._close(index)
        return [self._blocks[index] for index in sorted(self._blocks)]

    def partial(self) -> bytes:
        """What is kept of an answer: its blocks as far as they came."""
        return orjson.dumps({"content": self.content})

    @property
    def text(self) -> str:
        """All text blocks, one after the other."""
        return "".join(block.get("text", "") for block in self.content if block.get("type") == "text")

    def _start(self, message: dict[str, Any]) -> None:
        try:
            self.usage.take(message["usage"])
            self.provider_message_id = str(message["id"])[:200]
        except (KeyError, TypeError, AttributeError):
            raise GarbledAnswer("a message without id or usage") from None
        self.started = True

    def _add(self, index: int, delta: dict[str, Any]) -> None:
        kind = delta["type"]
        field = _FIELDS.get(kind)
        if field is not None:
            self._pieces.setdefault(index, []).append(delta[field])
            return
        block = self._blocks.get(index)
        if block is None:
            return
        if kind == "signature_delta":
            block["signature"] = delta.get("signature")
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]

    def _close(self, index: int) -> None:
        pieces, block = self._pieces.pop(index, None), self._blocks.get(index)
        if pieces is None or block is None:
            return
        text = "".join(pieces)
        kind = block.get("type")
        if kind == "text":
            block["text"] = block.get("text", "") + text
        elif kind == "thinking":
            block["thinking"] = block.get("thinking", "") + text
        else:
            # A tool's input stays JSON source until it is whole.
            block["input"] = _parsed(block.pop("input_json", "") + text, block)


def _parsed(source: str, block: dict[str, Any]) -> Any:
    try:
        return orjson.loads(source)
    except orjson.JSONDecodeError:
        block["input_json"] = source
        return {}
