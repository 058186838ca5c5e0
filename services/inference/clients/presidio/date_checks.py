"""What tells a date from a score, a dose or a version, and an age over 89 from a reading: the words around it.

The words are in `recognizers/dates.toml` under `[contexts]`.
"""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from services.inference.clients.presidio import words

Check = Callable[[str, int, int], bool | tuple[int, int]]

_CONTEXTS = {
    name: frozenset(listed.split())
    for name, listed in tomllib.loads(
        Path(__file__).with_name("recognizers").joinpath("dates.toml").read_text(encoding="utf-8")
    )["contexts"].items()
}
_EVENTS, _SPANS, _FOREIGN = _CONTEXTS["events"], _CONTEXTS["prepositions"], _CONTEXTS["foreign"]
_SCORES, _AFTER_SCORE, _WEEKDAYS = _CONTEXTS["scores"], _CONTEXTS["after_score"], _CONTEXTS["weekdays"]
_TAILS, _READINGS, _PLURALS = _CONTEXTS["tails"], _CONTEXTS["readings"], _CONTEXTS["groups"]
_LABELS, _NOUNS, _COMPARED = _CONTEXTS["labels"], _CONTEXTS["nouns"], _CONTEXTS["compared"]
_PERSONAL, _PUBLIC, _VERSIONS = _CONTEXTS["personal"], _CONTEXTS["public"], _CONTEXTS["versions"]

_REACH = 48  # characters of context
_WORD = re.compile(r"(?<![^\W_])[^\W\d_](?:[/.'’\-]?[^\W\d_]){0,20}\.?")
_ADJOINING = re.compile(r"[^\W\d_][^\w\n]{1,5}\Z")
_PREVIOUS_DAY = re.compile(r"(?<![\d/])(\d{1,2}/\d{1,2})(?: ?[,;&+] ?| and | or | to | ?- ?|, and )\Z")
_PART_OF_MONTH = re.compile(
    r"\b(?:(?:the )?(?:very )?(?:end|beginning|start|middle"
    r"|(?:first|second|third|fourth|last|1st|2nd|3rd|4th) (?:week|weekend|half|part|days?|few days)"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|week|month|weekend) (?:of|in)"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?(?: ?[\-–/]| to| and| through)) ?\Z",
    re.IGNORECASE,
)
_DAY_NAME = re.compile(r"(?<![^\W_])([^\W\d_]{3,12})[.,]? (?:den |le |el |d\. )?\Z")
_ORDINALS = re.compile(
    r"(?:(?: ?[,/&\-] ?| (?:and|or|to|until|through) )(?:the )?\d{1,2}(?:st|nd|rd|th)(?!\w)){1,4}", re.IGNORECASE
)
_PART_OF_DAY = re.compile(
    r"\b(?:night|morning|evening|afternoon|day|week|weekend|as|hours|eve) of (?:the )?\Z", re.IGNORECASE
)
_MOVED = re.compile(
    r"\b(?:moved|pushed|postponed|rescheduled|brought|deferred|changed|delayed|extended|\d(?:st|nd|rd|th))"
    r"(?: \w{1,9}){0,2} to (?:the )?\Z",
    re.IGNORECASE,
)
_OF_MONTH = re.compile(r" of (?:the|that|each|every|following) month", re.IGNORECASE)
_LINE_END = re.compile(r"[ \t]{0,3}(?:[.,;:!?)\]\n\-]|\Z)")
_CLOCK = re.compile(r" (?:at )?\d{1,2}(?::\d\d| ?[ap]\.?m\b|\.\d\d\b|h\b)", re.IGNORECASE)
_TITLE = re.compile(r" (?:Dr|Mrs?|Ms|Miss|Prof)\b")
_FRACTION_TIME = frozenset(
    {"for", "in", "x", "after", "every", "over", "last", "past", "next", "within", "about", "of"}
)
_DURATION = re.compile(r"/(?:7|52|12)\Z")
_SURE = frozenset({"on", "since", "until", "till", "before", "dated", "seen", "admitted", "discharged"})
# Procedures; and denominators that no common score has.
_PROCEDURE = ("ectomy", "otomy", "oscopy", "plasty", "gram", "graphy", "stomy", "centesis", "version", "gery", "sion")
_ODD = frozenset({13, 14, 16, 17, 18, 19, 22, 23, 26, 29, 31})
_CHANGE = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2}) (?:to|and) (\d{1,2})/(\d{1,2})(?![\d/])")
_LATER = frozenset({"follow-up", "followup", "f/u", "review", "post-op"})
_SHORT_WEEKDAYS = frozenset({"mo", "di", "mi", "do", "fr", "sa", "so"})
_ACRONYM = re.compile(r"\b[A-Z]{2,5} \Z")
_SECONDS = re.compile(r" (?:ago|hx|history|later)\b", re.IGNORECASE)
_SIGNED = re.compile(r"[,;)] \Z")
_CLOSED = re.compile(r"\.?[ \t]{0,4}(?:\n|\Z)")
_NO_HOLIDAY = re.compile(
    r"(?:Hospital|Post|Postop|Postoperative|Operative|Admission|Treatment|Study|Cycle|Sick|Rest|Same|Next|Every|Each|First|Last|Final|Chemo|Dialysis|Training|Match|World|Awareness)\b"
)
_LISTED = re.compile(r"([^\W\d_][\w'’\-]*), \Z")
_LINE_START = re.compile(r"(?:\A|\n)[ \t>*\-•]{0,4}\Z")


def _words_before(text: str, start: int, count: int = 4) -> list[str]:
    """The last words of the line in front of `start`, in lower case; "" stands for a number right before it."""
    front = text[max(0, start - _REACH) : start].rpartition("\n")[2]
    found = [word.lower().rstrip(".") for word in _WORD.findall(front)][-count:]
    return found if found and _ADJOINING.search(front[-8:]) else [*found, ""]


def _next_word(text: str, end: int) -> str:
    after = text[end : end + 24].lstrip(" ")
    found = _WORD.match(after)
    return found.group().lower().rstrip(".") if found else after[:1]


def _sentence(text: str, start: int, end: int) -> frozenset[str]:
    left = max(text.rfind(". ", 0, start), text.rfind("\n", 0, start), text.rfind("? ", 0, start))
    rights = [found for mark in (". ", "\n", "?") if (found := text.find(mark, end)) >= 0]
    sentence = text[max(left, start - 300) + 1 : min([end + 300, *rights])]
    return frozenset(word.lower().rstrip(".") for word in _WORD.findall(sentence))


def numeric_date(text: str, start: int, end: int) -> bool:
    """Not a version or a section number: dots need a year of four digits, or two digits everywhere."""
    value = text[start:end]
    if "." not in value or re.search(r"\.(?:1[3489]|2[05])\d\d(?!\d)", value):
        return True
    full = re.match(r"(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d\d(?![\d.])", value)
    return full is not None and not _VERSIONS.intersection(_words_before(text, start, 2))


def day_month(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """With its weekday in any language. "5 mar" is a date, "30 may" in "of the 30 may recover" is not."""
    value = text[start:end]
    if re.search(r"\bmay\b|\bmar\b", value) and not re.search(r"\d{4}|(?:st|nd|rd|th)\b", value, re.IGNORECASE):
        return False
    return _with_weekday(text, start), end


def _with_weekday(text: str, start: int) -> int:
    day = _DAY_NAME.search(text, max(0, start - 24), start)
    return day.start() if day and day[1].lower() in _WEEKDAYS else start


def short_date(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """A day and a month without a year: "arrived 19/8", "Sat 9/11", but not "pain 7/10", "5/325" or "for 5/7"."""
    value = text[start:end]
    first, second = (int(number) for number in re.findall(r"\d+", value)[:2])
    if not (min(first, second) <= 12 and max(first, second) <= 31) or _is_counted(text, end):
        return False
    before = _words_before(text, start)
    last = before[-1]
    if last in _WEEKDAYS:
        return _with_weekday(text, start), end
    if _SCORES.intersection(before[-2:] if last in _SURE else before) or (
        _DURATION.search(value) and last in _FRACTION_TIME
    ):
        return False
    if "/" not in value:
        return last in _LABELS or (last in _EVENTS and (value.startswith("0") or "-0" in value))
    return _follows_a_date(text, start) or _is_announced(text, start, end, before)


def _is_counted(text: str, end: int) -> bool:
    following = _next_word(text, end)
    return text[end : end + 1] in ("%", "°") or following in _AFTER_SCORE or _SECONDS.match(text, end) is not None


def _follows_a_date(text: str, start: int) -> bool:
    """ "3/22, 4/22"."""
    previous = _PREVIOUS_DAY.search(text, max(0, start - 12), start)
    return previous is not None and bool(short_date(text, previous.start(1), previous.end(1)))


def _is_announced(text: str, start: int, end: int, before: list[str]) -> bool:
    last, following = before[-1], _next_word(text, end)
    first, second = (int(number) for number in text[start:end].split("/"))
    if _LINE_START.search(text, max(0, start - 6), start):
        return text[end : end + 1] == ":" or following in _EVENTS
    if last == "left" and max(first, second) <= 12:  # a side, rather than a leaving
        return False
    if last in _SPANS and (both := _CHANGE.search(text, max(0, start - 12), end + 12)) and both[2] == both[4]:
        return max(int(both[1]), int(both[3])) > int(both[2])  # "from 3/5 to 4/5"
    if following in _NOUNS:
        return not (second in (7, 12, 52) and following in _LATER)
    if last in _EVENTS or last in _FOREIGN or last in _SPANS or last.endswith(_PROCEDURE):
        return True
    if last.endswith("ed"):
        return last not in _COMPARED
    return _is_no_share(text, start, end, before, first, second)


def _is_no_share(text: str, start: int, end: int, before: list[str], first: int, second: int) -> bool:
    """More than the whole, or of a whole that no score has: a date where an event or another language is near."""
    odd = first > 12 or second in _ODD
    if odd and _ACRONYM.search(text, max(0, start - 8), start):
        return True
    if not (odd or first > second) or not before[-1]:
        return False
    return bool(_EVENTS.intersection(before)) or (first > second and not text[max(0, start - _REACH) : end].isascii())


def dotted_day(text: str, start: int, end: int) -> bool:
    """ "am 12.3.", "geb. 3.4.61", but not the end of "Hb 12.3."."""
    value = text[start:end]
    before = _words_before(text, start, 2)
    last = before[-1]
    if _VERSIONS.intersection(before):
        return False
    padded = re.fullmatch(r"[0-3]\d\.[01]\d\.", value) is not None
    if value.endswith("."):
        return (
            last in _FOREIGN
            or last in _WEEKDAYS
            or last in _SHORT_WEEKDAYS
            or (padded and (last in _EVENTS or _LINE_START.search(text, max(0, start - 6), start) is not None))
        )
    if last in _EVENTS or last in _SPANS or last in _FOREIGN or last in _WEEKDAYS:
        return True
    return _SIGNED.search(text, max(0, start - 4), start) is not None and _CLOSED.match(text, end) is not None


def ordinal_day(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """ "on the 19th" and "Tues 12th", but not "on the 4th and 5th ribs" or "before the 2nd dose"."""
    if text[start].isdigit() and " " in text[start:end]:  # "of next month" is in it
        return True
    before = _words_before(text, start)
    named = before[-1] == "the"
    before = (before[:-1] or [""]) if named else before
    last = before[-1]
    if last in _WEEKDAYS or _OF_MONTH.match(text, end):
        return _with_weekday(text, start - 4 if named else start) if last in _WEEKDAYS else start, end
    if not _ends_a_time(text, end):
        return False
    front = text[max(0, start - _REACH) : start]
    if _PART_OF_DAY.search(front) or _MOVED.search(front):
        return True
    if not last and _LINE_START.search(text, max(0, start - 6), start):
        return text[start : start + 1] in "123" and text[start + 1 : start + 2].isdigit() and text[end : end + 1] == ":"
    day = int(number[0]) if (number := re.search(r"\d+", text[start:end])) else 11
    if last in ("after", "before") and day < 5:  # "after the 2nd, he woke": shocks, doses, attempts
        return False
    if last == "for":
        return named and bool(_EVENTS.intersection(before[:-1]))
    return last in _SPANS or (last in _EVENTS and (named or last not in _SCORES))


def _ends_a_time(text: str, end: int) -> bool:
    """Nothing follows that is counted: "the 5th toe"."""
    if more := _ORDINALS.match(text, end):
        end = more.end()
    return (
        _LINE_END.match(text, end) is not None
        or _next_word(text, end) in _TAILS
        or _CLOCK.match(text, end) is not None
        or _TITLE.match(text, end) is not None
    )


def weekday_day(text: str, start: int, end: int) -> bool:
    """ "Tue 14" is a day, "Monday 15 patients" and "Friday 14:30" are none."""
    return _LINE_END.match(text, end) is not None or _next_word(text, end) in _TAILS


def somebodys_month(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """A month of somebody's life, and which part of it: not one of a season, of a guideline, or of a question about months."""
    sentence = _sentence(text, start, end)
    part = _PART_OF_MONTH.search(text, max(0, start - _REACH), start)
    unsure = text[start:end] in ("March", "May") and not part
    if not _PERSONAL.intersection(sentence) and (unsure or _PUBLIC.intersection(sentence)):
        return False
    return (part.start() if part else start), end


def holiday(text: str, start: int, end: int) -> bool:
    """ "on Waitangi Day", not "on Hospital Day"."""
    return _NO_HOLIDAY.search(text, start, end) is None


def no_gene(text: str, start: int, end: int) -> bool:
    """MARCH5, SEPT9, OCT4 and DEC1 are genes."""
    value = text[start:end]
    return re.fullmatch(r"(?:(?i:oct)-?4|(?:SEPT?|MARCH|MARC|DEC|OCT)-?\d{1,2})", value) is None


def no_version(text: str, start: int, end: int) -> bool:
    return not _VERSIONS.intersection(_words_before(text, start, 2)) and _next_word(text, end) not in _VERSIONS


def old_age(text: str, start: int, end: int) -> bool:
    """Not a reading, a percentage, or the age of a group: "sats now 91", "adults over 90"."""
    if re.match(
        r"[ \-]?(?:%|percent|mm|mg|m?l\b|bpm|kg|lb|cm|/|degrees|[°º]|min|units?\b|k\b)|\.\d|-\d",
        text[end : end + 9],
        re.I,
    ):
        return False
    sentence = max(text.rfind(mark, max(0, start - _REACH), start) for mark in (". ", ".\n", "? "))
    before = _words_before(text[sentence + 1 : start], start - sentence - 1, 7)
    if (listed := _LISTED.search(text, max(0, start - 24), start)) and not _is_someone(listed[1]):
        return False
    return not _READINGS.intersection(before) and not _PLURALS.intersection(before[-3:])


def _is_someone(word: str) -> bool:
    """ "Penhaligon, 103," and "his widow, 91," rather than "losartan, 100,"."""
    return word.lower() in _PERSONAL or (word[0].isupper() and not words.is_medical(word))


DATE_CHECKS: tuple[Check, ...] = (
    numeric_date,
    day_month,
    short_date,
    dotted_day,
    ordinal_day,
    weekday_day,
    somebodys_month,
    holiday,
    no_gene,
    no_version,
    old_age,
)
