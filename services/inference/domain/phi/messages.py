"""Every text of a request in the Messages API's wire format, with its path.

What is not scanned is on the short lists here; any other string, of blocks that nobody has heard of too, is a leaf.
"""

import json
import re
from typing import Any

from services.inference.domain.phi.addresses import addresses_in, said_in
from services.inference.domain.phi.leaves import Leaf, Leaves
from services.inference.domain.phi.protocol import CACHE_CONTROL
from services.inference.domain.phi.refusals import PhiBlocked
from services.inference.domain.phi.shapes import is_random

# What the contract's own validation limits to known values and numbers.
_TOP_CONSTANTS = frozenset({"model", "max_tokens", "stream", "temperature", "top_k", "top_p", "tools"})
_SETTINGS = (
    "thinking",
    "service_tier",
    "cache_control",
    "mcp_servers",
    "container",
    "output_config",
    "context_management",
    "tool_choice",
)
_CHOICES = ("auto", "any", "tool", "none")
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TEXTS = ("text/plain", "application/pdf")
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]*+={0,2}\s{0,4}\Z")
_BLOCK_TYPE = re.compile(r"[a-z]+(?:_[a-z]+){0,6}\Z")
# Blocks that the provider writes, parts of them sealed.
_SEALING = re.compile(r"(?:redacted_)?thinking\Z|text\Z|compaction\Z|(?:[a-z_]+_)?tool_use\Z|[a-z_]+_tool_result\Z")
_OPTIONAL = frozenset({"is_error", "citations", "cache_control", "title", "context", "content", "caller", "page_age"})
_ROLES = ("user", "assistant", "system")
_ID_KEYS = ("id", "tool_use_id")
_MINTED_ID = re.compile(
    r"(?:(?:toolu|srvtoolu|mcptoolu|call|msg|user|container|file|req)_)?([A-Za-z0-9]{20,40})\Z"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"
)
# A signed thought is the provider's own text, written from masked input: a town that it thinks of is nobody's.
_THOUGHT_OF = frozenset({"LOCATION", "URL"})
# The hosts an organization connects to are its configuration, not a patient's web address.
_ADDRESSES = frozenset({"URL", "IP_ADDRESS"})
_FILES = _ADDRESSES | {"PHOTO"}


class RequestWalk:
    """Collects the leaves of one request. `body` is written to when the leaves are masked."""

    def __init__(self, body: dict[str, Any], *, pass_images: bool) -> None:
        self.leaves = Leaves()
        self._pass_images = pass_images
        tools = body.get("tools")
        declared = [tool.get("name") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
        self._tool_names = {name for name in declared if isinstance(name, str)}
        if "system" in body:
            self._content("system", body, "system")
        messages = body["messages"] if isinstance(body.get("messages"), list) else []
        joined: set[int] = set()
        previous: Any = None
        for index, message in enumerate(messages):
            path = f"messages[{index}]"
            if isinstance(message, dict):
                if message.get("role") == previous:  # the provider reads them as one turn
                    joined.add(len(self.leaves.running))
                previous = message.get("role")
            if not isinstance(message, dict):
                self._value(path, messages, index, message)
                continue
            self._content(f"{path}.content", message, "content")
            self._rest(path, message, {"content", "role"} if message.get("role") in _ROLES else {"content"})
        self.leaves.across(joined)
        if tools:
            self.leaves.aside.append(json.dumps(tools, ensure_ascii=False))
        self._top_level(body)

    def _top_level(self, body: dict[str, Any]) -> None:
        rest = {key: value for key, value in body.items() if key not in _TOP_CONSTANTS and value is not None}
        rest.pop("system", None)
        if isinstance(rest.get("messages"), list):
            del rest["messages"]
        if isinstance(choice := rest.get("tool_choice"), dict):
            self._fixed("tool_choice.name", choice.get("name"))
            known = {"name", "type"} if choice.get("type") in _CHOICES else {"name"}
            rest |= {"tool_choice": {key: value for key, value in choice.items() if key not in known}}
        if isinstance(sequences := rest.get("stop_sequences"), list):
            del rest["stop_sequences"]
            for index, sequence in enumerate(sequences):
                self._value(f"stop_sequences[{index}]", sequences, index, sequence)
        if isinstance(metadata := rest.get("metadata"), dict):
            del rest["metadata"]
            user = metadata.get("user_id")
            if not (isinstance(user, str) and _is_minted(user)):  # an opaque id, as the provider asks for
                self._value("metadata.user_id", metadata, "user_id", user)
            self._rest("metadata", metadata, {"user_id"})
        for key, value in rest.items():
            if value:
                self._configuration(key if key in _SETTINGS else "body", {key: value})

    def _configuration(self, key: str, value: Any) -> None:
        """Settings of the request (servers, output schemas): a placeholder would break them, so a detection refuses."""
        first = len(self.leaves.all)
        self.leaves.json(key, json.dumps(value, ensure_ascii=False), None)
        for leaf in self.leaves.all[first:]:
            leaf.ignored = _ADDRESSES
            for address in addresses_in(leaf.text):
                self._address(key, address)

    def _address(self, path: str, address: str) -> None:
        """What an address says beside its host: the words of its path and its query, line by line."""
        if leaf := self.leaves.text(path, said_in(address), None):
            leaf.ignored = _FILES

    def _content(self, path: str, holder: dict[str, Any], key: str) -> None:
        content = holder.get(key)
        if isinstance(content, list):
            self._blocks(path, content)
        elif content is not None:
            self._value(path, holder, key, content)

    def _blocks(self, path: str, blocks: list[Any]) -> None:
        neighbours: list[Leaf] = []
        for index, block in enumerate(blocks):
            here = f"{path}[{index}]"
            if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
                leaf = self._text(f"{here}.text", block, "text", block["text"])
                self._rest(here, block, {"text"})
                if leaf:
                    neighbours.append(leaf)
                    continue
            elif isinstance(block, dict):
                self._block(here, block)
            else:
                self._value(here, blocks, index, block)
            self.leaves.seams(neighbours)
            neighbours = []
        self.leaves.seams(neighbours)

    def _block(self, path: str, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind == "image":
            self._image(path)
            self._picture(path, block)
        elif kind == "thinking":
            self._fixed(f"{path}.thinking", block.get("thinking"), signed=bool(block.get("signature")))
            self._rest(path, block, {"thinking"})
        elif kind == "redacted_thinking":
            self._rest(path, block, frozenset())
        elif isinstance(kind, str) and kind.endswith("tool_use"):
            self._fixed(f"{path}.name", block.get("name"))
            if "input" in block:
                self._value(f"{path}.input", block, "input", block["input"])
            self._rest(path, block, {"name", "input"})
        elif kind in ("tool_result", "mcp_tool_result"):
            self._content(f"{path}.content", block, "content")
            self._rest(path, block, {"content"})
        elif kind == "document":
            self._document(path, block)
        elif kind == "search_result":
            for key in ("source", "title"):
                self._value(f"{path}.{key}", block, key, block.get(key))
            self._content(f"{path}.content", block, "content")
            self._rest(path, block, {"source", "title", "content"})
        else:
            self._refuse_pictures(path, block)
            self._rest(path, block, frozenset())

    def _document(self, path: str, block: dict[str, Any]) -> None:
        for key in ("title", "context"):
            self._value(f"{path}.{key}", block, key, block.get(key))
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "content":
            self._content(f"{path}.source.content", source, "content")
        elif isinstance(source, dict):
            self._value(f"{path}.source.data", source, "data", source.get("data"))
        if isinstance(source, dict):
            known = {"content" if source.get("type") == "content" else "data"}
            self._rest(
                f"{path}.source", source, known | ({"media_type"} if source.get("media_type") in _TEXTS else set())
            )
        self._rest(path, block, {"title", "context", "source"})

    def _image(self, path: str) -> None:
        if not self._pass_images:
            raise PhiBlocked([], "unscannable", path)

    def _picture(self, path: str, block: dict[str, Any]) -> None:
        """The picture itself passes by policy; an address only when nothing but the address is in it."""
        source = block.get("source")
        if _is_picture(source):
            self._rest(path, block, {"source"})
        elif isinstance(source, dict) and source.keys() == {"type", "url"}:
            first = len(self.leaves.all)
            self._fixed(f"{path}.source.url", source["url"])
            for leaf in self.leaves.all[first:]:
                leaf.ignored = _ADDRESSES
                self._address(f"{path}.source.url", leaf.text)
            self._rest(f"{path}.source", source, {"url"})
            self._rest(path, block, {"source"})
        else:
            self._rest(path, block, frozenset())

    def _refuse_pictures(self, path: str, value: Any) -> None:
        """Pictures, and anything else sent as base64, inside blocks that the guard does not know."""
        pending = [value]
        while pending:
            item = pending.pop()
            if isinstance(item, dict):
                if item.get("type") == "image":
                    self._image(path)
                elif item.get("type") == "base64":
                    raise PhiBlocked([], "unscannable", path)
                pending.extend(item.values())
            elif isinstance(item, list):
                pending.extend(item)

    def _rest(self, path: str, block: dict[str, Any], known: set[str] | frozenset[str]) -> None:
        """The other keys of a block or message."""
        rest: dict[str, Any] = {}
        for key, value in block.items():
            if key in known or _is_constant(key, value):
                continue
            if key in _ID_KEYS and isinstance(value, str):
                self._fixed(f"{path}.{key}", value)
            else:
                rest[key] = value
        if not rest:
            return

        def write(source: str) -> None:
            for key in rest:
                del block[key]
            block.update(json.loads(source))

        self.leaves.json(
            path, json.dumps(rest, ensure_ascii=False), write, sealed=bool(_SEALING.match(str(block.get("type"))))
        )

    def _fixed(self, path: str, value: Any, *, signed: bool = False) -> None:
        """What cannot carry a placeholder: an id, a tool's name, a signed thought."""
        if isinstance(value, str):
            if value in self._tool_names or _is_minted(value):
                return
            leaf = self.leaves.text(path, value, None)
            if leaf and signed:
                leaf.signed = True
                leaf.ignored = _THOUGHT_OF
        elif value is not None:
            self.leaves.json(path, json.dumps(value, ensure_ascii=False), None)

    def _value(self, path: str, holder: Any, key: Any, value: Any) -> None:
        if isinstance(value, str):
            self._text(path, holder, key, value)
        elif isinstance(value, dict | list):
            self.leaves.json(
                path, json.dumps(value, ensure_ascii=False), lambda source: holder.__setitem__(key, json.loads(source))
            )
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._text(path, holder, key, str(value))

    def _text(self, path: str, holder: Any, key: Any, text: Any) -> Leaf | None:
        return self.leaves.text(path, str(text), lambda masked: holder.__setitem__(key, masked))


def _is_minted(text: str) -> bool:
    """An id that a machine drew, not one put together from somebody's name and number."""
    match = _MINTED_ID.match(text)
    return bool(match) and (match[1] is None or is_random(match[1]))


def _is_constant(key: str, value: Any) -> bool:
    """Words of the protocol itself, in the one form that they have."""
    if key == "type":
        return isinstance(value, str) and bool(_BLOCK_TYPE.match(value)) and len(value) <= 48
    if value is None or isinstance(value, bool):
        return key in _OPTIONAL
    return key == "cache_control" and value in CACHE_CONTROL


def _is_picture(source: Any) -> bool:
    return (
        isinstance(source, dict)
        and source.keys() == {"type", "media_type", "data"}
        and source["type"] == "base64"
        and source["media_type"] in _PICTURES
        and isinstance(source["data"], str)
        and bool(_BASE64.match(source["data"]))
    )
