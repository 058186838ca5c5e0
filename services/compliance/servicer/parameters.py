"""Times and cursors as callers write them."""

from datetime import datetime

from services.chassis.access import caller
from services.chassis.errors import ValidationFailed
from services.chassis.paging import decode_cursor, encode_cursor
from services.chassis.timestamps import parse_iso
from services.chassis.ulids import is_ulid


def moment(text: str, param: str) -> datetime | None:
    """None for the empty text. Raises ValidationFailed."""
    if not text:
        return None
    try:
        return parse_iso(text)
    except (ValueError, OverflowError):
        raise ValidationFailed(
            "A time is ISO 8601 with an offset, as 2026-05-11T12:00:00+00:00.", param=param
        ) from None


def cursor_of(listed: str, position: str) -> str:
    """It names its list and the caller's organization: a place in another list means nothing in this one."""
    return encode_cursor(f"{listed}:{caller().org_id}:{position}")


def position_of(listed: str, cursor: str) -> str | None:
    """Where the list goes on; None for the empty cursor. Raises ValidationFailed for what this list did not give."""
    told = decode_cursor(cursor)
    if told is None:
        return None
    position = told.removeprefix(f"{listed}:{caller().org_id}:")
    if position == told:
        raise not_of_this_list()
    return position


def before_id(listed: str, cursor: str) -> str | None:
    """As position_of, in a list by id."""
    position = position_of(listed, cursor)
    if position is not None and not is_ulid(position):
        raise not_of_this_list()
    return position


def not_of_this_list() -> ValidationFailed:
    return ValidationFailed("The cursor is not one that this list gave.", param="cursor")
