"""The limits that the contract declares (protovalidate), held against a request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import protovalidate
from google.protobuf.message import Message

from services.chassis.errors import ValidationFailed


class Limits:
    """Compiled once a process; a check costs microseconds."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def check(self, request: Message, body_field: str) -> None:
        """Raises ValidationFailed naming the first field that breaks its limit, as the JSON body calls it.

        `body_field` is the request field the body is bound to, empty when it is the request itself.
        """
        violations = self._validator.collect_violations(request, fail_fast=True)
        if violations:
            violation = violations[0].proto
            path = _field_path(violation.field.elements if violation.field else (), body_field)
            raise ValidationFailed(f"{path or 'The request'}: {violation.message}.", param=path or None)


def _field_path(elements: Iterable[Any], body_field: str) -> str:
    """`scopes[0].name`, without the request field that the body is bound to."""
    path = ""
    for element in elements:
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{subscript.value}]"
    return path.removeprefix(f"{body_field}.") if body_field else path
