"""The texts of a tool's definition. A detection here refuses the request: a placeholder would break the schema."""

import re
from typing import Any

from services.inference.domain.phi.json_text import words
from services.inference.domain.phi.protocol import CACHE_CONTROL
from services.inference.domain.phi.refusals import PhiTooComplex
from services.inference.domain.phi.spans import Span

_DEEPEST = 40
# Keywords whose values are words of JSON Schema or of the protocol when they have this form, and the caller's own otherwise.
_MACHINERY = {
    "type": re.compile(r"[a-z]+(?:_[a-z]+){0,6}(?:_20\d{6})?\Z"),
    "$ref": re.compile(r"#(?:/[^/]*)*\Z"),
    "format": re.compile(r"[a-z]+(?:-[a-z]+){0,3}\Z"),
    "contentEncoding": re.compile(r"base(?:16|32|64)|quoted-printable|[78]bit|binary\Z"),
}
_KEYWORDS = frozenset(
    # JSON Schema's and the protocol's own keys; any other key is the caller's word
    (  # noqa: SIM905 - a list would fill a page
        "type name description title input_schema properties patternProperties $defs definitions dependentSchemas required items "
        "prefixItems additionalProperties unevaluatedProperties additionalItems unevaluatedItems contains anyOf oneOf allOf not if "
        "then else enum const default example examples input_examples format pattern minimum maximum exclusiveMinimum "
        "exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems minProperties maxProperties minContains "
        "maxContains dependentRequired dependencies propertyNames nullable deprecated readOnly writeOnly discriminator "
        "contentEncoding contentMediaType $schema $id $ref $anchor $comment cache_control ttl strict defer_loading allowed_callers "
        "eager_input_streaming max_uses max_content_tokens citations allowed_domains blocked_domains user_location city region "
        "country timezone display_width_px display_height_px display_number max_characters mcp_server_name configs "
        "default_config enabled"
    ).split()
)
_REGEX_SYNTAX = re.compile(
    r"\\[pPxu]\{[^}]{0,30}\}|\\u[0-9a-fA-F]{4}|\\[A-Za-z0-9]|\[[^\]]{0,200}\]|\{[\d,]{1,12}\}|\(\?[:=!<]{0,2}|[\^$*+?()|]"
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
                if key not in _KEYWORDS:
                    self._line(words(key))
                if _is_machinery(key, value):
                    continue
                if key == "pattern" and isinstance(value, str):
                    self._line(_REGEX_SYNTAX.sub(" ", value).replace("\\", ""))
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


def _is_machinery(key: str, value: Any) -> bool:
    if key == "cache_control":
        return value in CACHE_CONTROL
    form = _MACHINERY.get(key)
    values = value if isinstance(value, list) else [value]
    return form is not None and all(isinstance(item, str) and len(item) <= 80 and form.match(item) for item in values)
