"""Base64, over lines too, and hexadecimal that hide readable text."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator

_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{12,}(?:(?<=[A-Za-z0-9+/_\-]{16})\r?\n[A-Za-z0-9+/_\-]{2,100}){0,200}={0,2}(?![A-Za-z0-9+/_\-=])"
)
_HEX = re.compile(
    r"(?<![0-9A-Fa-f])(?<![^A-Za-z][0-9A-Fa-f]{2}[ :])(?:0x)?[0-9A-Fa-f]{2}(?:[ :]?[0-9A-Fa-f]{2}){7,4000}+(?![0-9A-Fa-f])"
)
_PLAIN_ALPHABET = str.maketrans("-_", "+/", "\r\n")
_SEPARATORS = str.maketrans("", "", " :")
_LONGEST = 100_000


def encoded_runs(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, what it says) of each run that decodes to printable text."""
    for match in _BASE64.finditer(text):
        run = match.group()
        # Words are no base64: it mixes cases, or has digits.
        if len(run) <= _LONGEST and not run.isdigit() and (run.lower() != run and run.upper() != run):
            plain = run.translate(_PLAIN_ALPHABET).rstrip("=")
            yield from _readable(match, plain, _from_base64)
    for match in _HEX.finditer(text):
        run = match.group().removeprefix("0x").translate(_SEPARATORS)
        if (len(run) <= _LONGEST and not run.isdigit()) or len(run) >= 32:
            yield from _readable(match, run, bytes.fromhex)


def _from_base64(run: str) -> bytes:
    return base64.b64decode(run + "=" * (-len(run) % 4), validate=True)


def _readable(match: re.Match[str], run: str, decode: Callable[[str], bytes]) -> Iterator[tuple[int, int, str]]:
    try:
        plain = decode(run).decode()
    except (binascii.Error, ValueError):
        return
    if len(plain) >= 6 and all(character.isprintable() or character in "\n\t\r" for character in plain):
        yield match.start(), match.end(), plain
