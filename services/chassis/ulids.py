"""ULIDs: 48 bits of milliseconds and 80 random bits, 26 characters of Crockford's base 32."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from services.chassis.clock import Clock, from_unix_ms, unix_ms

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHAPE = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def _encode(number: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_ulid(clock: Clock) -> str:
    return _encode(unix_ms(clock.now()) << 80 | secrets.randbits(80))


def is_ulid(text: str) -> bool:
    """Whether `text` is a ULID in its canonical, upper-case form."""
    return _SHAPE.fullmatch(text) is not None


def ulid_time(ulid: str) -> datetime:
    """The moment a ULID was made, to the millisecond."""
    milliseconds = 0
    for character in ulid[:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(character)
    return from_unix_ms(milliseconds)


def lowest_ulid(at: datetime) -> str:
    """The smallest ULID that can be made at `at`: a bound for ranges. Before 1970 none can be: the smallest of all."""
    return _encode(max(0, unix_ms(at)) << 80)
