"""Reading a JSON object that somebody made up, strictly: what is not known is refused, and every refusal names its place.

Numbers come out of google.protobuf.Struct as floats, so 8.0 is a whole number; a bool never is, though Python says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from services.chassis.errors import ValidationFailed
from services.identity.domain.texts import line, shown

LONGEST_TEXT = 255
MOST_NAMES = 100


class Fields:
    """The fields of one object. A field that is null counts as absent: every reader then answers None.

    `path` is where the object stands in the request, such as `granted_scopes[2]`. Raises ValidationFailed for any field that is not `known`.
    """

    def __init__(self, values: Mapping[str, Any], path: str, known: Collection[str]) -> None:
        self._values = values
        self._path = path
        # A Struct has no order of its own: the first by name, so that the same request is always refused for the same field.
        unknown = min(values.keys() - set(known), default=None)
        if unknown is not None:
            raise ValidationFailed("There is no such field.", param=self.param(shown(unknown)))

    def param(self, name: str) -> str:
        return f"{self._path}.{name}"

    def text(self, name: str) -> str | None:
        """1 to 255 characters on one line."""
        value = self._values.get(name)
        return None if value is None else text(value, self.param(name))

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise ValidationFailed(f"{name} is required.", param=self.param(name))
        return value

    def names(self, name: str) -> tuple[str, ...] | None:
        """1 to 100 texts, each once. An empty list is refused, since nobody can tell whether it means none or all."""
        items = self._values.get(name)
        if items is None:
            return None
        param = self.param(name)
        if not isinstance(items, list):
            raise ValidationFailed(f"{name} must be a list of strings.", param=param)
        if not 1 <= len(items) <= MOST_NAMES:
            raise ValidationFailed(f"{name} must have 1 to {MOST_NAMES} entries.", param=param)
        read: dict[str, None] = {}
        for place, item in enumerate(items):
            entry = text(item, f"{param}[{place}]")
            if entry in read:
                raise ValidationFailed(f"An entry of {name} stands there twice.", param=f"{param}[{place}]")
            read[entry] = None
        return tuple(read)

    def whole_number(self, name: str, *, at_most: int) -> int | None:
        """From 1."""
        value = self._values.get(name)
        if value is None:
            return None
        # NaN and the infinities fall out by the comparison.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= at_most or value % 1:
            raise ValidationFailed(f"{name} must be a whole number from 1 to {at_most}.", param=self.param(name))
        return int(value)

    def object(self, name: str) -> Mapping[str, Any] | None:
        """A JSON object of any shape, not looked into."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise ValidationFailed(f"{name} must be an object.", param=self.param(name))
        return value


def text(value: Any, param: str) -> str:
    """1 to 255 characters on one line, with something to see. Raises ValidationFailed that names `param`."""
    return line(value, param, at_least=1, at_most=LONGEST_TEXT)
