"""A tool call's input, made from the tool's schema and from the placeholders that the prompt holds.

A model that was shown `[PERSON_1]` hands `[PERSON_1]` to its tools: so does this one, and the caller must see the name.
"""

import re
from typing import Any

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*_[A-Z]*\d+\]")

_WORDS = {
    "name": ("PERSON", "NAME", "PATIENT"),
    "patient": ("PERSON", "NAME", "PATIENT", "MRN"),
    "mrn": ("MRN", "MEDICAL"),
    "record": ("MRN", "MEDICAL"),
    "ssn": ("SSN", "US_SSN"),
    "phone": ("PHONE",),
    "fax": ("FAX",),
    "email": ("EMAIL",),
    "mail": ("EMAIL",),
    "date": ("DATE",),
    "dob": ("DATE",),
    "birth": ("DATE",),
    "address": ("ADDRESS", "LOCATION", "GEO", "STREET"),
}
"""Part of a property's name → what a fitting placeholder's label begins with."""


class ToolInput:
    """Fills one schema after another; placeholders are handed out in the order of the prompt."""

    def __init__(self, prompt_text: str) -> None:
        self._seen = list(dict.fromkeys(PLACEHOLDER.findall(prompt_text)))
        self._unused = list(self._seen)
        self._fallback = " ".join(prompt_text.split())[:200]

    def fill(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A value for each property of an object schema."""
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        return {name: self._value(name, each) for name, each in properties.items() if isinstance(each, dict)}

    def _value(self, name: str, schema: dict[str, Any]) -> Any:
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = schema.get("type", "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object":
            return self.fill(schema)
        if kind == "array":
            items = schema.get("items")
            return [self._value(name, items)] if isinstance(items, dict) else []
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        return self._text(name)

    def _text(self, name: str) -> str:
        labels = tuple(label for word, found in _WORDS.items() if word in name.lower() for label in found)
        fitting = next((each for each in self._seen if labels and each[1:].startswith(labels)), None)
        chosen = fitting or next(iter(self._unused), None)
        if chosen in self._unused:
            self._unused.remove(chosen)
        return chosen or self._fallback
