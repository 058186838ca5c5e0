"""What the simulated model answers: a pure function of the prompt, its directives and a number for the ids."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from cli.simulator.directives import Directives, spoken
from cli.simulator.prompt import Block, CreateMessage, sign_thinking, texts
from cli.simulator.tool_input import ToolInput
from cli.simulator.usage import InputUsage, tokens

_CITED = 60
"""Characters of a document that a citation quotes."""


class AnswerBlock(Protocol):
    """One content block, whole or as the stream sends it."""

    def wire(self) -> dict[str, Any]: ...
    def opening(self) -> dict[str, Any]: ...
    def deltas(self, chunk: int) -> list[dict[str, Any]]: ...
    def weight(self) -> int: ...


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), max(1, size))]


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    citations: tuple[dict[str, Any], ...] = ()

    def wire(self) -> dict[str, Any]:
        cited: dict[str, Any] = {"citations": list(self.citations)} if self.citations else {}
        return {"type": "text", "text": self.text, **cited}

    def opening(self) -> dict[str, Any]:
        cited: dict[str, Any] = {"citations": []} if self.citations else {}
        return {"type": "text", "text": "", **cited}

    def deltas(self, chunk: int) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = [{"type": "text_delta", "text": piece} for piece in _pieces(self.text, chunk)]
        return said + [{"type": "citations_delta", "citation": citation} for citation in self.citations]

    def weight(self) -> int:
        return tokens(self.text)


@dataclass(frozen=True, slots=True)
class Thought:
    thinking: str

    def wire(self) -> dict[str, Any]:
        return {"type": "thinking", "thinking": self.thinking, "signature": sign_thinking(self.thinking)}

    def opening(self) -> dict[str, Any]:
        return {"type": "thinking", "thinking": "", "signature": ""}

    def deltas(self, chunk: int) -> list[dict[str, Any]]:
        said = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(self.thinking, chunk)]
        return [*said, {"type": "signature_delta", "signature": sign_thinking(self.thinking)}]

    def weight(self) -> int:
        return tokens(self.thinking)


@dataclass(frozen=True, slots=True)
class RedactedThought:
    data: str

    def wire(self) -> dict[str, Any]:
        return {"type": "redacted_thinking", "data": self.data}

    def opening(self) -> dict[str, Any]:
        return self.wire()

    def deltas(self, chunk: int) -> list[dict[str, Any]]:  # the provider sends it whole
        return []

    def weight(self) -> int:
        return tokens(self.data)


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    input: dict[str, Any]

    def wire(self) -> dict[str, Any]:
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": self.input}

    def opening(self) -> dict[str, Any]:
        return {**self.wire(), "input": {}}

    def deltas(self, chunk: int) -> list[dict[str, Any]]:
        written = orjson.dumps(self.input).decode()
        return [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_pieces(written, chunk)]]

    def weight(self) -> int:
        return tokens(orjson.dumps(self.input).decode())


@dataclass(frozen=True, slots=True)
class Answer:
    id: str
    model: str
    blocks: tuple[AnswerBlock, ...]
    stop_reason: str
    stop_sequence: str | None
    input: InputUsage
    output_tokens: int
    thinking_tokens: int

    def wire(self) -> dict[str, Any]:
        """The body of a plain answer."""
        return {
            **self._head(),
            "content": [block.wire() for block in self.blocks],
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "usage": {
                **self.input.wire_with_lifetimes(),
                "output_tokens": self.output_tokens,
                "output_tokens_details": {"thinking_tokens": self.thinking_tokens},
                "service_tier": "standard",
                "inference_geo": "not_available",
            },
        }

    def opening(self) -> dict[str, Any]:
        """The message as `message_start` carries it: no content, no ending, the input counted."""
        return {
            **self._head(),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                **self.input.wire_with_lifetimes(),
                "output_tokens": min(1, self.output_tokens),
                "service_tier": "standard",
                "inference_geo": "not_available",
            },
        }

    def closing_usage(self) -> dict[str, Any]:
        """The cumulative usage of `message_delta`."""
        return {
            **self.input.wire(),
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"thinking_tokens": self.thinking_tokens},
        }

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.model}


def compose(prompt: CreateMessage, directives: Directives, usage: InputUsage, number: int) -> Answer:
    """The same prompt gets the same words; `number` only makes the ids differ from one request to the next."""
    token = hashlib.sha256(f"{number}:".encode() + prompt.model_dump_json().encode()).hexdigest()
    thoughts = _thoughts(prompt, directives)
    calls = _tool_calls(prompt, directives, token)
    words = _words(prompt, directives, calls)
    stop_reason, stop_sequence = ("tool_use" if calls else "end_turn"), None
    for sequence in prompt.stop_sequences:
        if sequence and sequence in words:
            words, stop_reason, stop_sequence, calls = words.split(sequence)[0], "stop_sequence", sequence, ()
    left = prompt.max_tokens - sum(block.weight() for block in thoughts)
    if tokens(words) > left:
        words, stop_reason, stop_sequence, calls = words[: max(0, left) * 4], "max_tokens", None, ()
    said = (Text(words),) if words else ()
    blocks: tuple[AnswerBlock, ...] = (*thoughts, *said, *_citations(prompt), *calls)
    return Answer(
        id=f"msg_01{token[:22]}",
        model=prompt.model,
        blocks=blocks,
        stop_reason=directives.stop or stop_reason,
        stop_sequence=stop_sequence,
        input=usage,
        output_tokens=directives.output_tokens
        if directives.output_tokens is not None
        else min(prompt.max_tokens, max(1, sum(block.weight() for block in blocks))),
        thinking_tokens=sum(block.weight() for block in thoughts),
    )


def _thoughts(prompt: CreateMessage, directives: Directives) -> tuple[AnswerBlock, ...]:
    if prompt.thinking is None or prompt.thinking.type == "disabled":
        return ()
    if directives.redacted_thinking:
        return (RedactedThought(base64.b64encode(b"simulated " * 8).decode()),)
    if prompt.thinking.display == "omitted":
        return (Thought(""),)
    return (Thought(f"The user wrote: {_heard(prompt.newest_user_turn.blocks)}"),)


def _heard(blocks: list[Block]) -> str:
    return spoken(" ".join(text for block in blocks for text in texts(block)))


def _words(prompt: CreateMessage, directives: Directives, calls: tuple[ToolCall, ...]) -> str:
    if directives.say is not None:
        return directives.say * directives.repeat
    if calls:
        return "I will look that up."
    turn = prompt.newest_user_turn.blocks
    match directives.echo:
        case "system":
            words = f"My instructions are: {_heard(prompt.system_blocks)}"
        case "all":
            everything = [*prompt.system_blocks, *(block for each in prompt.messages for block in each.blocks)]
            words = f"I read all of this: {_heard(everything)}"
        case _:
            results = [block for block in turn if block["type"] == "tool_result"]
            words = f"The tool returned: {_heard(results)}" if results else f"You wrote: {_heard(turn)}"
    return words * directives.repeat


def _tool_calls(prompt: CreateMessage, directives: Directives, token: str) -> tuple[ToolCall, ...]:
    schemas = {str(tool["name"]): tool.get("input_schema", {}) for tool in prompt.tools if "name" in tool}
    tool_input = ToolInput(_heard(prompt.newest_user_turn.blocks))
    return tuple(
        ToolCall(
            id=f"toolu_01{token[: 20 - len(str(index))]}{index}",
            name=name,
            input=orjson.loads(directives.tool_input)
            if directives.tool_input is not None
            else tool_input.fill(schemas.get(name, {})),
        )
        for index, name in enumerate(_called(prompt, directives, list(schemas)))
    )


def _called(prompt: CreateMessage, directives: Directives, offered: list[str]) -> list[str]:
    """Which tools to call: those directed, the one forced, or the first that the newest user text names."""
    choice = prompt.tool_choice
    if not offered or (choice is not None and choice.type == "none"):
        return []
    if directives.tools:
        return list(directives.tools)
    if choice is not None and choice.type == "tool":
        return [choice.name or offered[0]]
    if choice is not None and choice.type == "any":
        return offered[:1]
    turn = prompt.newest_user_turn.blocks
    if any(block["type"] == "tool_result" for block in turn):
        return []
    heard = _heard(turn).lower()
    named = [name for name in offered if name.lower() in heard]
    asked = "use the tool" in heard or "call the tool" in heard
    return named[:1] or (offered[:1] if asked else [])


def _citations(prompt: CreateMessage) -> tuple[Text, ...]:
    """A quotation from each plain text document whose citations are switched on."""
    documents = [block for turn in prompt.messages for block in turn.blocks if block["type"] == "document"]
    quoted = []
    for index, document in enumerate(documents):
        source = document.get("source", {})
        if not (document.get("citations") or {}).get("enabled") or source.get("type") != "text":
            continue
        cited = str(source.get("data", ""))[:_CITED]
        location = {
            "type": "char_location",
            "cited_text": cited,
            "document_index": index,
            "document_title": document.get("title"),
            "file_id": None,
            "start_char_index": 0,
            "end_char_index": len(cited),
        }
        quoted.append(Text(f"The document says: {cited}", (location,)))
    return tuple(quoted)
