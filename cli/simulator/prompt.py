"""The request as the provider reads it: strict, so that a malformed one sent on by a gateway is noticed.

Messages of refusals have the provider's form, `messages.0.content: Field required`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cli.simulator.refusals import ProviderError

Block = dict[str, Any]

_KNOWN_BLOCKS = frozenset(
    {
        "text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result",
        "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
        "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
        "container_upload", "tool_reference", "mid_conv_system",
    }
)  # fmt: skip
_NOT_READ = frozenset({"type", "id", "tool_use_id", "media_type", "cache_control", "citations", "is_error", "caller"})
_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_SIGNING_KEY = b"simulated thinking"


def sign_thinking(text: str) -> str:
    """The signature of a thinking block: any change of the text is noticed when the block is sent back."""
    return base64.b64encode(hmac.digest(_SIGNING_KEY, text.encode(), hashlib.sha256) * 3).decode()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Turn(_Strict):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        return [{"type": "text", "text": self.content}] if isinstance(self.content, str) else self.content


class Thinking(BaseModel):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None

    @model_validator(mode="after")
    def _budget(self) -> Self:
        if self.type == "enabled" and (self.budget_tokens or 0) < 1024:
            raise ValueError("budget_tokens: Input should be greater than or equal to 1024")
        return self


class ToolChoice(_Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class Metadata(_Strict):
    user_id: str | None = None


class Prompt(_Strict):
    """What counting and creating have in common."""

    model: str = Field(min_length=1)
    messages: list[Turn] = Field(min_length=1)
    system: str | list[Block] | None = None
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    cache_control: dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    output_config: dict[str, Any] | None = None
    speed: str | None = None

    @property
    def system_blocks(self) -> list[Block]:
        if isinstance(self.system, str):
            return [{"type": "text", "text": self.system}]
        return self.system or []

    @property
    def newest_user_turn(self) -> Turn:
        return next((turn for turn in reversed(self.messages) if turn.role == "user"), self.messages[-1])


class CreateMessage(Prompt):
    max_tokens: int = Field(ge=1)
    stream: bool = False
    stop_sequences: list[str] = Field(default_factory=list)
    temperature: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    top_k: int | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: str | dict[str, Any] | None = None
    inference_geo: str | None = None
    diagnostics: dict[str, Any] | None = None


P = TypeVar("P", bound=Prompt)


def read(kind: type[P], body: bytes) -> P:
    """The checked request; a `ProviderError` with the provider's status and wording otherwise."""
    try:
        prompt = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise ProviderError(400, "The request body is not valid JSON: " + first["msg"]) from None
        message = first["msg"].removeprefix("Value error, ")
        raise ProviderError(400, ".".join(str(part) for part in first["loc"]) + ": " + message) from None
    if not prompt.model.startswith("claude-"):
        raise ProviderError(404, f"model: {prompt.model}")
    _check_turns(prompt)
    _check_tools(prompt)
    if isinstance(prompt, CreateMessage):
        _check_thinking(prompt)
    return prompt


def _check_turns(prompt: Prompt) -> None:
    for index, block in enumerate(prompt.system_blocks):
        _check_block(block, f"system.{index}")
    if prompt.messages[0].role == "assistant":
        raise ProviderError(400, 'messages: first message must use the "user" role')
    called: list[str] = []
    last = len(prompt.messages) - 1
    for number, turn in enumerate(prompt.messages):
        where = f"messages.{number}"
        if not turn.blocks and number != last:
            raise ProviderError(400, f"{where}: all messages must have non-empty content")
        for index, block in enumerate(turn.blocks):
            _check_block(block, f"{where}.content.{index}")
        answered = [str(block.get("tool_use_id")) for block in turn.blocks if block["type"] == "tool_result"]
        for tool_use_id in answered:
            if tool_use_id not in called:
                raise ProviderError(
                    400,
                    f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {tool_use_id}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                )
        if missing := [tool_use_id for tool_use_id in called if tool_use_id not in answered]:
            raise ProviderError(
                400,
                f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                + ", ".join(missing),
            )
        called = [str(block.get("id")) for block in turn.blocks if block["type"] == "tool_use"]


def _check_block(block: Block, where: str) -> None:
    kind = block.get("type")
    if kind is None:
        raise ProviderError(400, f"{where}.type: Field required")
    if kind not in _KNOWN_BLOCKS:
        raise ProviderError(
            400, f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        )
    if kind == "text":
        text = block.get("text")
        if not isinstance(text, str):
            raise ProviderError(400, f"{where}.text.text: Input should be a valid string")
        if not text.strip():
            raise ProviderError(400, "messages: text content blocks must contain non-whitespace text")
    elif kind == "thinking" and block.get("signature") != sign_thinking(str(block.get("thinking", ""))):
        raise ProviderError(400, f"{where}: Invalid `signature` in `thinking` block")
    elif kind in ("image", "document"):
        _check_source(block, where)
    elif kind == "tool_use" and not isinstance(block.get("input"), dict):
        raise ProviderError(400, f"{where}.tool_use.input: Input should be a valid dictionary")
    elif kind == "tool_result" and isinstance(block.get("content"), list):
        for index, inner in enumerate(block["content"]):
            _check_block(inner, f"{where}.tool_result.content.{index}")


def _check_source(block: Block, where: str) -> None:
    source = block.get("source")
    if not isinstance(source, dict):
        raise ProviderError(400, f"{where}.{block['type']}.source: Field required")
    if source.get("type") == "base64":
        try:
            base64.b64decode(str(source.get("data", "")), validate=True)
        except binascii.Error:
            raise ProviderError(400, f"{where}.{block['type']}.source.base64.data: Invalid base64 data") from None


def _check_tools(prompt: Prompt) -> None:
    names = [str(tool.get("name")) for tool in prompt.tools]
    for index, tool in enumerate(prompt.tools):
        if tool.get("type", "custom") != "custom":
            continue
        if not _TOOL_NAME.fullmatch(str(tool.get("name", ""))):
            raise ProviderError(400, f"tools.{index}.custom.name: String should match pattern '{_TOOL_NAME.pattern}'")
        schema = tool.get("input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise ProviderError(400, f"tools.{index}.custom.input_schema.type: Input should be 'object'")
    if len(set(names)) != len(names):
        raise ProviderError(400, "tools: Tool names must be unique.")
    choice = prompt.tool_choice
    if choice is None:
        return
    if not prompt.tools:
        raise ProviderError(400, "tool_choice: may only be specified while providing `tools`.")
    if choice.type == "tool" and choice.name not in names:
        raise ProviderError(400, f"Tool '{choice.name}' not found in provided tools")


def _check_thinking(prompt: CreateMessage) -> None:
    if prompt.thinking is None or prompt.thinking.type == "disabled":
        return
    if prompt.thinking.type == "enabled" and prompt.max_tokens <= (prompt.thinking.budget_tokens or 0):
        raise ProviderError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    if prompt.tool_choice is not None and prompt.tool_choice.type in ("any", "tool"):
        raise ProviderError(400, "Thinking may not be enabled when tool_choice forces tool use.")


def texts(value: object) -> Iterator[str]:
    """Every text a model would read in a block, in order; encoded files are named by type and size."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        kind = value.get("type")
        if kind == "base64":
            yield f"({value.get('media_type')}, {len(str(value.get('data', '')))} characters of base64)"
        elif kind == "text":
            yield str(value.get("text") or value.get("data") or "")
        elif kind in ("thinking", "redacted_thinking"):
            return
        else:
            for key, item in value.items():
                if key not in _NOT_READ:
                    yield from texts(item)
