"""What a text is by the look of its characters: drawn by a machine, or torn off in the middle of a word."""

import base64
import contextlib
import re

_WORDY = re.compile(r"[a-z]{3,}|[A-Z]{4,}|[0-9]{4,}")
_DIGEST = re.compile(r"(?!.*[0-9]{14})[0-9a-f]{32,}\Z")
_URL_SAFE = str.maketrans("-_", "+/")
_JOINT = frozenset("-/_@(+:#")


def is_random(text: str) -> bool:
    """Whether capitals, small letters and digits change as they do in what a machine drew, and never in names and numbers."""
    wordy = sum(match.end() - match.start() for match in _WORDY.finditer(text))
    return 5 * wordy < 3 * len(text) or bool(_DIGEST.match(text))


def says_something(text: str) -> bool:
    """Base64 of a text."""
    with contextlib.suppress(ValueError):
        bare = text.rstrip("=").translate(_URL_SAFE)
        return base64.b64decode(bare[: len(bare) // 4 * 4]).decode().isprintable()
    return False


def parted(left: str, right: str) -> bool:
    """Whether a blank stands between the two."""
    return left[-1].isspace() or right[0].isspace()


def goes_on(left: str, right: str) -> bool:
    """Whether a word or number that ends `left` may go on in `right`. A new sentence after the end of one does not."""
    last, first = left[-1], right[0]
    if last.isspace() or first.isspace():
        last, first = left.rstrip()[-1], right.lstrip()[0]
        return (last.isdigit() or last == "-") and (first.isdigit() or first == "-")
    if last in ".,":
        return first.isdigit()
    if first in _JOINT or first == ".":
        return last.isalnum() or last in _JOINT
    if last in _JOINT:
        return first.isalnum()
    if last.isdigit() or first.isdigit():
        return last.isalnum() and first.isalnum() and not (last.islower() or first.islower())
    return last.isalpha() and first.isalpha() and not (last.islower() and first.isupper())
