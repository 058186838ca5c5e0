"""Opaque cursors: what the last item of a page was sorted by."""

from __future__ import annotations

import base64
import binascii

from google.protobuf.struct_pb2 import NULL_VALUE, Value

from services.chassis.errors import ValidationFailed


def encode_cursor(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str | None:
    """The position, None for the empty cursor. Raises ValidationFailed."""
    if not cursor:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ValidationFailed("The cursor is not one that this list gave.", param="cursor") from None


def nullable(value: str | float | bool | None) -> Value:
    """A JSON value that prints `null` for None; unset fields would be left out."""
    if value is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, bool):
        return Value(bool_value=value)
    return Value(number_value=value)
