"""What tells an age over 89 from a reading, a score or the age of a group."""

import re

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules.contexts import CONTEXTS, REACH, words_before

_READINGS, _GROUPS, _PERSONAL = CONTEXTS["readings"], CONTEXTS["groups"], CONTEXTS["personal"]
_UNIT = re.compile(
    r"[ \-]?(?:%|percent|mm|mg|m?l\b|bpm|kg|lb|cm|/|degrees|[°º]|min|units?\b|k\b)|\.\d|-\d", re.IGNORECASE
)
_LISTED = re.compile(r"([^\W\d_][\w'’\-]*), \Z")


def old_age(text: str, start: int, end: int) -> bool:
    """Not "sats now 91", "losartan, 100," or "adults over 90"."""
    if _UNIT.match(text, end):
        return False
    if (listed := _LISTED.search(text, max(0, start - 24), start)) and not _is_someone(listed[1]):
        return False
    sentence = max(text.rfind(mark, max(0, start - REACH), start) for mark in (". ", ".\n", "? "))
    before = words_before(text[sentence + 1 : start], start - sentence - 1, 7)
    return not _READINGS.intersection(before) and not _GROUPS.intersection(before[-3:])


def _is_someone(word: str) -> bool:
    """ "Penhaligon, 103," and "his great-aunt, 91,"."""
    return word.lower().rpartition("-")[2] in _PERSONAL or (word[0].isupper() and not words.is_medical(word))
