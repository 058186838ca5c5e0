"""The texts of a tool's definition. A detection here refuses the request: a placeholder would break the schema."""

import re
from typing import Any

from services.inference.domain.phi.json_text import words
from services.inference.domain.phi.refusals import PhiTooComplex
from services.inference.domain.phi.spans import Span

_DEEPEST = 40
_MACHINERY = frozenset(
    {"type", "$schema", "$id", "$ref", "format", "pattern", "cache_control", "contentEncoding", "contentMediaType"}
)
_PROSE = frozenset({"description", "title"})
_VALUES = frozenset({"enum", "default", "const", "example", "examples", "input_examples"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_EXAMPLE = re.compile(
    r"\b(?:e\.?g\.?|i\.?e\.?|for example|for instance|such as|like|examples?|formats?|formatted as|defaults? to)\b",
    re.IGNORECASE,
)
# "The city and state, e.g. San Francisco, CA" names nobody.
_HARMLESS_EXAMPLES = frozenset({"LOCATION", "US_ZIP_CODE", "FACILITY", "DATE_TIME"})
_HARMLESS_URL = re.compile(r"[^?@=]*\Z")


class ToolText:
    """One tool as a text for the scanner: lines, a value behind the name of its property."""

    def __init__(self, tool: dict[str, Any], path: str) -> None:
        self._path = path
        self._lines: list[str] = []
        self._prose: list[tuple[int, int]] = []
        self._length = 0
        self._walk(tool, "", 0)
        self.text = "".join(self._lines)

    def hits(self, spans: list[Span]) -> list[str]:
        """The entity types that refuse the tool, sorted."""
        return sorted({span.entity_type for span in spans if not self._harmless(span)})

    def _harmless(self, span: Span) -> bool:
        """A public address, or a place or date that prose gives as an example of the format."""
        if span.entity_type == "URL":
            return bool(_HARMLESS_URL.match(self.text[span.start : span.end]))
        line = next((start for start, end in self._prose if start <= span.start < end), None)
        if line is None or span.entity_type not in _HARMLESS_EXAMPLES:
            return False
        return bool(_EXAMPLE.search(self.text, max(line, span.start - 60), span.start))

    def _walk(self, node: Any, label: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise PhiTooComplex(self._path)
        if isinstance(node, dict):
            for key, value in node.items():
                if key in _MACHINERY:
                    continue
                if key in _NAMED and isinstance(value, dict):
                    for name, schema in value.items():
                        self._line(words(name))
                        self._walk(schema, words(name), depth + 1)
                elif key in _PROSE and isinstance(value, str):
                    self._line(value, prose=True)
                else:
                    self._walk(value, label if key in _VALUES else words(key), depth + 1)
        elif isinstance(node, list):
            for item in node:
                self._walk(item, label, depth + 1)
        elif isinstance(node, str | int | float) and not isinstance(node, bool):
            text = words(node) if label == "name" and isinstance(node, str) else str(node)
            self._line(f"{label}: {text}" if label and label != "name" else text)

    def _line(self, text: str, *, prose: bool = False) -> None:
        if prose:
            self._prose.append((self._length, self._length + len(text)))
        self._lines.append(text + "\n")
        self._length += len(text) + 1
