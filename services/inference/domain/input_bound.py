"""An upper bound of a request's input tokens, without a tokenizer.

The provider's tokenizer works on bytes: no text has more tokens than bytes of UTF-8. Pictures are not text and have a bound of
their own. What the provider adds by itself (roles, the prompt that explains tools) is covered by allowances.
"""

from typing import Any

import orjson

_REQUEST = 64
_TURN = 16
_TOOLS = 1_024
_TOOL = 64
_IMAGE = 5_000
"""The provider scales pictures down; the largest it reads costs less."""


def input_bound(body: dict[str, Any]) -> int:
    """`body` is a Messages API request, or the part of one."""
    bound = _REQUEST
    tools = body.get("tools")
    if tools:
        bound += _TOOLS + _TOOL * len(tools) + len(orjson.dumps(tools))
    bound += _weigh(body.get("system"))
    for message in body.get("messages") or ():
        bound += _TURN + _weigh(message)
    for key in ("output_config", "mcp_servers", "context_management", "thinking"):
        if key in body:
            bound += _weigh(body[key])
    return bound


def _weigh(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return sum(map(_weigh, value))
    if isinstance(value, dict):
        if value.get("type") == "image":
            return _IMAGE
        return sum(len(key) + _weigh(item) + 4 for key, item in value.items())
    return 0 if value is None else 24


def has_documents(body: dict[str, Any]) -> bool:
    """Whether the bound holds only for the masked request: a document's text may be longer than its file."""
    pending: list[Any] = list(body.get("messages") or ())
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if item.get("type") == "document":
                return True
            pending.extend(v for v in item.values() if isinstance(v, list | dict))
        elif isinstance(item, list):
            pending.extend(v for v in item if isinstance(v, list | dict))
    return False
