"""Text that a person or a program typed, held against its limits."""

from __future__ import annotations

import unicodedata
from typing import Any

from services.chassis.errors import ValidationFailed

_LAYOUT = frozenset("\t\n\r")


def line(value: Any, param: str, *, at_least: int, at_most: int) -> str:
    """One line with something to see in it, that many characters long. Raises ValidationFailed that names `param`."""
    text = _text(value, param, at_least=at_least, at_most=at_most)
    check_printable(text, param)
    if text and all(unicodedata.category(character)[0] in "CZ" for character in text):
        raise ValidationFailed(f"{param} must not consist of blanks.", param=param)
    return text


def paragraphs(value: Any, param: str, *, at_most: int) -> str:
    """Text that may be empty and may have line breaks and tabs. Raises ValidationFailed that names `param`."""
    text = _text(value, param, at_least=0, at_most=at_most)
    check_printable("".join(character for character in text if character not in _LAYOUT), param)
    return text


def check_printable(text: str, param: str) -> None:
    """Raises ValidationFailed for control characters: none means anything here, and PostgreSQL cannot store U+0000."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValidationFailed(f"{param} must not contain control characters.", param=param)


def shown(name: str) -> str:
    """A field name that somebody made up, fit to be named in an error."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name[:100])


def _text(value: Any, param: str, *, at_least: int, at_most: int) -> str:
    if not isinstance(value, str):
        raise ValidationFailed(f"{param} must be a string.", param=param)
    if not at_least <= len(value) <= at_most:
        limits = f"{at_least} to {at_most}" if at_least else f"at most {at_most}"
        raise ValidationFailed(f"{param} must have {limits} characters.", param=param)
    return value
