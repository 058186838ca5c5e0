"""Every text of a request in the Messages API's wire format, with its path.

What is not scanned is on the short lists here; any other string, of blocks that nobody has heard of too, is a leaf.
"""

import json
import re
from typing import Any

from services.inference.domain.phi.leaves import Leaf, Leaves
from services.inference.domain.phi.refusals import PhiBlocked

# Numbers, switches and names that the contract's own validation limits to known values.
_TOP_CONSTANTS = frozenset(
    {
        "model",
        "max_tokens",
        "stream",
        "temperature",
        "top_k",
        "top_p",
        "thinking",
        "service_tier",
        "cache_control",
        "tools",
        "speed",
    }
)
_BLOCK_CONSTANTS = frozenset({"type", "cache_control", "is_error"})
_ID_KEYS = ("id", "tool_use_id")
_MINTED_ID = re.compile(
    r"(?:[A-Za-z]{2,16}_)?[A-Za-z0-9]{20,40}\Z|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"
)
# The hosts an organization connects to are its configuration, not a patient's web address.
_ADDRESSES = frozenset({"URL", "IP_ADDRESS"})


class RequestWalk:
    """Collects the leaves of one request. `body` is written to when the leaves are masked."""

    def __init__(self, body: dict[str, Any], *, pass_images: bool) -> None:
        self.leaves = Leaves()
        self._pass_images = pass_images
        self._tool_names = {tool.get("name") for tool in body.get("tools") or [] if isinstance(tool, dict)}
        if "system" in body:
            self._content("system", body, "system")
        for index, message in enumerate(body.get("messages") or []):
            path = f"messages[{index}]"
            self._content(f"{path}.content", message, "content")
            self._rest(path, message, {"role", "content"})
        self._top_level(body)

    def _top_level(self, body: dict[str, Any]) -> None:
        if isinstance(choice := body.get("tool_choice"), dict):
            self._fixed("tool_choice.name", choice.get("name"))
        for index, sequence in enumerate(body.get("stop_sequences") or []):
            self._text(f"stop_sequences[{index}]", body["stop_sequences"], index, sequence)
        if isinstance(metadata := body.get("metadata"), dict):
            for key, value in metadata.items():
                self._value(f"metadata.{key}" if key == "user_id" else "metadata", metadata, key, value)
        for key in body.keys() - _TOP_CONSTANTS - {"system", "messages", "tool_choice", "stop_sequences", "metadata"}:
            if isinstance(body[key], str | dict | list):
                self._configuration(key, body[key])

    def _configuration(self, key: str, value: Any) -> None:
        """Settings of the request (servers, output schemas): a placeholder would break them, so a detection refuses."""
        first = len(self.leaves.all)
        self.leaves.json(key, json.dumps(value, ensure_ascii=False), None)
        for leaf in self.leaves.all[first:]:
            leaf.ignored = _ADDRESSES

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
                self._rest(here, block, _BLOCK_CONSTANTS | {"text"})
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
            self._rest(path, block, _BLOCK_CONSTANTS | {"source"})
        elif kind == "thinking":
            self._fixed(f"{path}.thinking", block.get("thinking"))
            self._rest(path, block, _BLOCK_CONSTANTS | {"thinking"})
        elif kind == "redacted_thinking":
            self._rest(path, block, _BLOCK_CONSTANTS)
        elif isinstance(kind, str) and kind.endswith("tool_use"):
            self._fixed(f"{path}.name", block.get("name"))
            if "input" in block:
                self._value(f"{path}.input", block, "input", block["input"])
            self._rest(path, block, _BLOCK_CONSTANTS | {"name", "input"})
        elif kind in {"tool_result", "mcp_tool_result"}:
            self._content(f"{path}.content", block, "content")
            self._rest(path, block, _BLOCK_CONSTANTS | {"content"})
        elif kind == "document":
            self._document(path, block)
        elif kind == "search_result":
            for key in ("source", "title"):
                self._value(f"{path}.{key}", block, key, block.get(key))
            self._content(f"{path}.content", block, "content")
            self._rest(path, block, _BLOCK_CONSTANTS | {"source", "title", "content"})
        else:
            self._refuse_pictures(path, block)
            self._rest(path, block, _BLOCK_CONSTANTS)

    def _document(self, path: str, block: dict[str, Any]) -> None:
        for key in ("title", "context"):
            self._value(f"{path}.{key}", block, key, block.get(key))
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "content":
            self._content(f"{path}.source.content", source, "content")
        elif isinstance(source, dict):
            self._value(f"{path}.source.data", source, "data", source.get("data"))
        self._rest(path, block, _BLOCK_CONSTANTS | {"title", "context", "source"})

    def _image(self, path: str) -> None:
        if not self._pass_images:
            raise PhiBlocked([], "unscannable", path)

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
            if key in known:
                continue
            if key in _ID_KEYS:
                self._fixed(f"{path}.{key}", value)
            elif isinstance(value, str | dict | list):
                rest[key] = value
        if not rest:
            return

        def write(source: str) -> None:
            for key in rest:
                del block[key]
            block.update(json.loads(source))

        self.leaves.json(path, json.dumps(rest, ensure_ascii=False), write, sealed=True)

    def _fixed(self, path: str, value: Any) -> None:
        """A text that cannot carry a placeholder: an id, a tool's name, a signed thought."""
        if not isinstance(value, str) or value in self._tool_names or _MINTED_ID.match(value):
            return
        leaf = self.leaves.text(path, value, None)
        if leaf and path.endswith("thinking"):
            leaf.signed = True

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
