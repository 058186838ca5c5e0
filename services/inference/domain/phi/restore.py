"""Values back into what the model wrote. Only placeholders of the given map are touched."""

import json
import re
from collections.abc import Callable
from typing import Any

from services.inference.domain.phi.placeholders import PlaceholderMap

# Never read by a person, or signed by the provider: a rewritten one would be refused on the next turn.
_OPAQUE_BLOCKS = frozenset({"thinking", "redacted_thinking"})
_OPAQUE_KEYS = frozenset(
    {
        "type",
        "id",
        "tool_use_id",
        "file_id",
        "role",
        "model",
        "signature",
        "encrypted_content",
        "encrypted_index",
        "data",
        "media_type",
    }
)


class Restorer:
    """The map's placeholders as one pattern. `in_json` is for JSON source text: values are put in escaped."""

    def __init__(self, placeholders: PlaceholderMap, *, in_json: bool = False) -> None:
        self.restored_count = 0
        self._map = placeholders
        self._in_json = in_json
        self._pattern = _pattern(placeholders, in_json=in_json)

    @property
    def idle(self) -> bool:
        """Nothing can ever be restored: the map is empty."""
        return self._pattern is None

    def text(self, text: str) -> str:
        if self._pattern is None or not text:
            return text
        return self._pattern.sub(self._value, text)

    def text_between(self, text: str, start: int, end: int) -> str:
        """`text[start:end]` restored; what stands around it decides whether a placeholder without brackets is whole.

        No placeholder may reach over `end`.
        """
        if self._pattern is None:
            return text[start:end]
        pieces: list[str] = []
        position = start
        for match in self._pattern.finditer(text, start):
            if match.end() > end:
                break
            pieces += text[position : match.start()], self._value(match)
            position = match.end()
        pieces.append(text[position:end])
        return "".join(pieces)

    def tree(self, value: Any) -> Any:
        """A copy of parsed JSON with every string and every key restored, but for ids and signed parts."""
        return _rewrite(value, self.text)

    def citation(self, citation: Any) -> Any:
        """A restored citation in the caller's numbers; None when it must be dropped."""
        return self._map.citations.back(citation) if self._map.citations else citation

    def _value(self, match: re.Match[str]) -> str:
        label, number = match["label"] or match["bare"], match["number"] or match["bare_number"]
        value = self._map.value(label.upper(), int(number))
        if value is None:
            return match.group()
        self.restored_count += 1
        # Half a surrogate pair, which an escape in JSON can carry to us, fits no answer.
        value = value if value.isascii() else value.encode("utf-8", "replace").decode()
        return json.dumps(value, ensure_ascii=False)[1:-1] if self._in_json else value


def restore_text(text: str, placeholders: PlaceholderMap) -> tuple[str, int]:
    """The text with its values back, and how many placeholders were restored."""
    restorer = Restorer(placeholders)
    return restorer.text(text), restorer.restored_count


def restore_message(message: dict[str, Any], placeholders: PlaceholderMap) -> tuple[dict[str, Any], int]:
    """A whole (not streamed) answer of the Messages API with its values back; not in ids, usage and thinking."""
    if not placeholders:
        return message, 0
    restorer = Restorer(placeholders)
    restored = dict(message)
    if "content" in message:
        restored["content"] = [restore_block(block, restorer) for block in message["content"]]
    if isinstance(message.get("stop_sequence"), str):
        restored["stop_sequence"] = restorer.text(message["stop_sequence"])
    return restored, restorer.restored_count


def restore_block(block: dict[str, Any], restorer: Restorer) -> dict[str, Any]:
    if block.get("type") in _OPAQUE_BLOCKS:
        return block
    if "input" not in block:
        return _with_citations(restorer.tree(block), restorer)
    # `type`, `id` and `data` are ordinary names inside a tool's input.
    rest = {key: value for key, value in block.items() if key != "input"}
    masked_input = {"input": _rewrite(block["input"], restorer.text, opaque=frozenset())}
    restored = restorer.tree(rest) | masked_input
    return {key: restored[key] for key in block}


def _with_citations(block: dict[str, Any], restorer: Restorer) -> dict[str, Any]:
    if not isinstance(block.get("citations"), list):
        return block
    placed = [restorer.citation(citation) for citation in block["citations"]]
    return block | {"citations": [citation for citation in placed if citation is not None]}


def _rewrite(value: Any, text: Callable[[str], str], opaque: frozenset[str] = _OPAQUE_KEYS) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_rewrite(item, text, opaque) for item in value]
    if isinstance(value, dict):
        if opaque and value.get("type") in _OPAQUE_BLOCKS:
            return value
        return {text(key): item if key in opaque else _rewrite(item, text, opaque) for key, item in value.items()}
    return value


def _pattern(placeholders: PlaceholderMap, *, in_json: bool) -> re.Pattern[str] | None:
    """Matches `[PERSON_1]` in either letter case, with Markdown's backslashes or a space, and a bare `PERSON_1`.

    Both brackets are escaped or none: a backslash in front of a plain placeholder is the caller's. The bare form counts
    only in capitals and as a whole word: `person_1` is a variable in somebody's code.
    """
    labels = sorted(placeholders.last_numbers(), key=len, reverse=True)
    if not labels:
        return None
    names = "|".join(labels)
    backslash = r"\\\\" if in_json else r"\\"
    space = re.escape(placeholders.namespace)
    # In JSON source the letter of a preceding `\n` is not part of a word.
    edge = r"(?:(?<!\w)|(?<=\\[nrt]))" if in_json else r"(?<!\w)"
    return re.compile(
        rf"(?i:(?P<escaped>{backslash})?\[(?P<label>{names})(?:(?:{backslash})?_| ){space}(?P<number>[1-9][0-9]{{0,8}})"
        rf"(?(escaped){backslash})\])"
        rf"|{edge}(?P<bare>{names})(?:{backslash})?_{space}(?P<bare_number>[1-9][0-9]{{0,8}})(?!\w)"
    )
