"""The body of a Messages API call: what is checked before anything is done with it.

Parameters are those of the API as the Anthropic SDK 2.12 sends them, beta ones included. Inside blocks only what the gateway itself
reads is checked: new block types pass, and what is wrong in them is the provider's to say. Refused although the API has them:
`fallbacks` and `fallback_credit_token` (models past the caller's own), `billing_policy`, `user_profile_id` and `workspace_id`
(the account behind the gateway).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from services.chassis.errors import ValidationFailed
from services.inference.domain.errors import MalformedJson, ToolNotInScope, UnsupportedParameter

_SHARED = frozenset(
    {
        "cache_control",
        "compaction",
        "context_management",
        "mcp_servers",
        "messages",
        "model",
        "output_config",
        "output_format",
        "speed",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)
COUNT_PARAMETERS = _SHARED
CREATE_PARAMETERS = _SHARED | {
    "container",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "metadata",
    "service_tier",
    "stop_sequences",
    "stream",
    "temperature",
    "thread",
    "top_k",
    "top_p",
}

_ROLES = ("user", "assistant", "system")
_LARGEST = 2**31 - 1
_DEEPEST = 100


def parse(raw: bytes) -> dict[str, Any]:
    """Raises MalformedJson for anything but one JSON object in UTF-8, ValidationFailed when it nests too deeply."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise MalformedJson("The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise MalformedJson("The body must be a JSON object.")
    _check_depth(raw, body)
    return body


def _check_depth(raw: bytes, body: dict[str, Any]) -> None:
    """Everything after this may recurse over the body."""
    if raw.count(b"[") + raw.count(b"{") <= _DEEPEST:
        return
    level: list[Any] = [body]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValidationFailed(f"The body nests more deeply than {_DEEPEST} levels.")


def check_create(body: Mapping[str, Any]) -> None:
    """Raises UnsupportedParameter or ValidationFailed; `param` names the field."""
    _known(body, CREATE_PARAMETERS)
    _shared(body)
    if "max_tokens" not in body:
        raise _missing("max_tokens")
    _integer(body, "max_tokens", least=1)
    if "stream" in body and not isinstance(body["stream"], bool):
        raise _wrong("stream", "must be true or false")
    _number(body, "temperature", most=1)
    _number(body, "top_p", most=1)
    _integer(body, "top_k", least=0)
    sequences = body.get("stop_sequences")
    if sequences is not None:
        if not isinstance(sequences, list):
            raise _wrong("stop_sequences", "must be an array of texts")
        for index, sequence in enumerate(sequences):
            if not isinstance(sequence, str):
                raise _wrong(f"stop_sequences[{index}]", "must be a text")
    metadata = _object(body, "metadata")
    if metadata and not isinstance(metadata.get("user_id"), str | None):
        raise _wrong("metadata.user_id", "must be a text")


def check_count(body: Mapping[str, Any]) -> None:
    """As check_create, for `count_tokens`."""
    _known(body, COUNT_PARAMETERS)
    _shared(body)


def check_grants(body: Mapping[str, Any], granted: frozenset[str]) -> None:
    """An agent offers only what it was granted: a tool's `name`, a server tool's `type`, a connected server's `name`."""
    for param, tool_id in _offered(body):
        if tool_id not in granted:
            raise ToolNotInScope(tool_id, param)


def _offered(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for index, tool in enumerate(body.get("tools") or ()):
        kind = tool.get("type")
        custom = kind is None or kind == "custom"
        yield f"tools[{index}]", tool["name"] if custom else kind
    for index, server in enumerate(body.get("mcp_servers") or ()):
        yield f"mcp_servers[{index}]", str(server.get("name"))


def _known(body: Mapping[str, Any], parameters: frozenset[str]) -> None:
    for name in body:
        if name not in parameters:
            raise UnsupportedParameter(f"{name}: this operation has no such parameter.", param=name)


def _shared(body: Mapping[str, Any]) -> None:
    model = body.get("model")
    if model is None:
        raise _missing("model")
    if not isinstance(model, str) or not 1 <= len(model) <= 100:
        raise _wrong("model", "must be a text of 1 to 100 characters")
    messages = body.get("messages")
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", "must be a non-empty array")
    for index, message in enumerate(messages):
        _message(f"messages[{index}]", message)
    system = body.get("system")
    if isinstance(system, list):
        for index, block in enumerate(system):
            _block(f"system[{index}]", block)
            if block["type"] != "text":
                raise _wrong(f"system[{index}].type", "must be `text`")
    elif "system" in body and not isinstance(system, str):
        raise _wrong("system", "must be a text or an array of text blocks")
    _tools(body)
    for name in ("thinking", "output_config", "context_management", "cache_control"):
        _object(body, name)
    servers = body.get("mcp_servers")
    if servers is not None and not (isinstance(servers, list) and all(isinstance(server, dict) for server in servers)):
        raise _wrong("mcp_servers", "must be an array of objects")


def _message(path: str, message: Any) -> None:
    if not isinstance(message, dict):
        raise _wrong(path, "must be an object")
    role = message.get("role")
    if role is None:
        raise _missing(f"{path}.role")
    if role not in _ROLES:
        raise _wrong(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
    content = message.get("content")
    if content is None:
        raise _missing(f"{path}.content")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _wrong(f"{path}.content", "must be a text or an array of blocks")
    for index, block in enumerate(content):
        _block(f"{path}.content[{index}]", block)


_FIELDS: Mapping[str, Mapping[str, type]] = {
    "text": {"text": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
}
_SAID = {str: "a text", dict: "an object"}


def _block(path: str, block: Any) -> None:
    if not isinstance(block, dict):
        raise _wrong(path, "must be an object")
    kind = block.get("type")
    if kind is None:
        raise _missing(f"{path}.type")
    if not isinstance(kind, str):
        raise _wrong(f"{path}.type", "must be a text")
    for field, expected in _FIELDS.get(kind, {}).items():
        if field not in block:
            raise _missing(f"{path}.{field}")
        if not isinstance(block[field], expected):
            raise _wrong(f"{path}.{field}", f"must be {_SAID[expected]}")
    if kind == "tool_result":
        content = block.get("content")
        if isinstance(content, list):
            for index, inner in enumerate(content):
                _block(f"{path}.content[{index}]", inner)
        elif content is not None and not isinstance(content, str):
            raise _wrong(f"{path}.content", "must be a text or an array of blocks")


def _tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if tools is not None:
        if not isinstance(tools, list):
            raise _wrong("tools", "must be an array")
        for index, tool in enumerate(tools):
            _tool(f"tools[{index}]", tool)
    choice = _object(body, "tool_choice")
    if choice is not None:
        kind = choice.get("type")
        if kind not in ("auto", "any", "tool", "none"):
            raise _wrong("tool_choice.type", "must be one of auto, any, tool, none")
        if kind == "tool" and not isinstance(choice.get("name"), str):
            raise _missing("tool_choice.name")


def _tool(path: str, tool: Any) -> None:
    if not isinstance(tool, dict):
        raise _wrong(path, "must be an object")
    kind = tool.get("type")
    if kind is not None and not isinstance(kind, str):
        raise _wrong(f"{path}.type", "must be a text")
    if kind is None or kind == "custom":
        if not isinstance(tool.get("name"), str) or not tool["name"]:
            raise _missing(f"{path}.name")
        if not isinstance(tool.get("input_schema"), dict):
            raise _missing(f"{path}.input_schema")


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise _wrong(name, "must be an object")
    return value


def _integer(body: Mapping[str, Any], name: str, *, least: int) -> None:
    value = body.get(name)
    if name in body and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST):
        raise _wrong(name, f"must be a whole number of at least {least}")


def _number(body: Mapping[str, Any], name: str, *, most: int) -> None:
    value = body.get(name)
    if name in body and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most):
        raise _wrong(name, f"must be a number from 0 to {most}")


def _missing(param: str) -> ValidationFailed:
    return ValidationFailed(f"{param}: Field required.", param=param)


def _wrong(param: str, said: str) -> ValidationFailed:
    return ValidationFailed(f"{param}: {said}.", param=param)
