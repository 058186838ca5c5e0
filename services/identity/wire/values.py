"""Values that JSON may print as null, and objects of any shape."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from google.protobuf.struct_pb2 import Struct, Value

from services.chassis.paging import nullable
from services.chassis.timestamps import iso


def second(at: datetime) -> str:
    """ISO 8601 to the second, as the founding documents print it. Rounded down: no expiry reads later than it is."""
    return iso(at.replace(microsecond=0))


def moment(at: datetime | None) -> Value:
    """As `second`, or null."""
    return nullable(None if at is None else second(at))


def struct(values: Mapping[str, object]) -> Struct:
    """A JSON object."""
    made = Struct()
    made.update(cast("Any", values))
    return made


def plain(values: Struct) -> dict[str, Any]:
    """A JSON object as Python sees it: numbers are floats, whole ones too.

    Not by json_format, which raises ValueError for NaN and the infinities that a gRPC caller can send. Here they arrive as they are, and
    whoever reads the field refuses them by its name.
    """
    return {key: plain_value(value) for key, value in values.fields.items()}


def plain_value(value: Value) -> Any:
    """A JSON value as Python sees it; None for null and for a value that was not given."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [plain_value(element) for element in value.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)
