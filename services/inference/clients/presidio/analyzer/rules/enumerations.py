"""Values that follow another one: "serials 2047X0L9K and 2047X0L9M" has one label for both."""

import re
from collections.abc import Iterator

_NEXT = re.compile(
    r"(?: ?[,;/&+] ?| and | or |, and | to |[ ]?[–-] ?)(?:(?:number|no\.?|the) )?(?P<v>[A-Za-z0-9][A-Za-z0-9\-./:]{2,30}(?<![\-./:]))(?![\w@%])"
)
_MOST = 12


def next_values(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The places of what is listed behind a value and looks like it: as many digits, give or take one, and letters or none."""
    value = text[start:end]
    for _ in range(_MOST):
        match = _NEXT.match(text, end)
        if match is None or not _alike(value, match["v"]):
            return
        end = match.end("v")
        yield match.span("v")


def _alike(one: str, other: str) -> bool:
    return (
        _digits(other) >= 3
        and abs(_digits(one) - _digits(other)) <= 1
        and any(map(str.isalpha, one)) == any(map(str.isalpha, other))
    )


def _digits(value: str) -> int:
    return sum(map(str.isdigit, value))
