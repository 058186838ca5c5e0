"""What tells a date from a score, a dose, a version or a season: the words around it."""

import re

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules.age_checks import old_age
from services.inference.clients.presidio.analyzer.rules.contexts import (
    CONTEXTS,
    REACH,
    next_word,
    sentence_words,
    words_before,
)
from services.inference.clients.presidio.analyzer.rules.name_checks import Check

_EVENTS, _SPANS, _FOREIGN = CONTEXTS["events"], CONTEXTS["prepositions"], CONTEXTS["foreign"]
_SCORES, _AFTER_SCORE, _WEEKDAYS = CONTEXTS["scores"], CONTEXTS["after_score"], CONTEXTS["weekdays"]
_LABELS, _NOUNS, _COMPARED = CONTEXTS["labels"], CONTEXTS["nouns"], CONTEXTS["compared"]
_LOOSE = CONTEXTS["loose"]
_SURE, _LATER, _PORTIONS = CONTEXTS["sure"], CONTEXTS["later"], CONTEXTS["portions"]
_TAILS, _PERSONAL, _PUBLIC = CONTEXTS["tails"], CONTEXTS["personal"], CONTEXTS["public"]
_HOURS_OPEN, _OF_CLINICS = CONTEXTS["hours_open"], CONTEXTS["of_clinics"]
_SETTINGS = CONTEXTS["settings"]
_VERSIONS, _DAYS_NAMED = CONTEXTS["versions"], CONTEXTS["named_days"]

_PREVIOUS_DAY = re.compile(r"(?<![\d/])(\d{1,2}/\d{1,2})(?: ?[,;&+] ?| and | or | to | ?- ?|, and )\Z")
_HOURS = re.compile(r" ?[ap]\.?m\b", re.IGNORECASE)  # "at 9/10/11 am"
_HOURS_IN_A_ROW = [[hour, hour + 1, hour + 2] for hour in range(1, 11)]
_OPENING = re.compile(r"[a-z] ?(?:to|-|–|through|thru) ?\Z")  # "Monday to Friday 8-5"
_PART_OF_MONTH = re.compile(
    r"\b(?:(?:the )?(?:very )?(?:end|beginning|start|middle"
    r"|(?:first|second|third|fourth|last|1st|2nd|3rd|4th) (?:week|weekend|half|part|days?|few days)"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|week|month|weekend) (?:of|in)"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?(?: ?[\-–/]| to| and| through)) ?\Z",
    re.IGNORECASE,
)
_DAY_NAME = re.compile(
    r"(?<![^\W_])([^\W\d_]{3,12})(?: night| morning| evening| afternoon)?[.,]? (?:den |le |el |d\. )?\Z"
)
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
_CLOCK = re.compile(
    r",? (?:at |@ ?)?\d{1,2}(?::\d\d| ?[ap]\.?m\b|\.\d\d\b|h\b)| (?:[01]\d|2[0-3])[0-5]\d(?![\w.\-/])| at noon",
    re.IGNORECASE,
)
_TITLE = re.compile(r" (?:Dr|Mrs?|Ms|Miss|Prof)\b")
_DURATION = re.compile(r"/(?:7|52|12)\Z")
# Procedures; and denominators that no common score has.
_PROCEDURE = ("ectomy", "otomy", "oscopy", "plasty", "gram", "graphy", "stomy", "centesis", "version", "gery", "sion")
_ODD = frozenset({13, 14, 16, 17, 18, 19, 22, 23, 26, 29, 31})
_SLASHED = re.compile(r"(?<![\w/.])(\d{1,2})/(\d{1,2})(?![\w/%]|\.\d)")
_CHANGE = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2}) (?:to|and) (\d{1,2})/(\d{1,2})(?![\d/])")
_SHORT_WEEKDAYS = frozenset({"mo", "di", "mi", "do", "fr", "sa", "so"})
_WEEKS = frozenset({"week", "wk", "weekend"})
_HEADS = re.compile(r":| ?[\-–] ?[A-Za-z]")
_ACRONYM = re.compile(r"\b[A-Z]{2,5} \Z")
_SECONDS = re.compile(r" (?:ago|hx|history|later)\b", re.IGNORECASE)
_SIGNED = re.compile(r"[,;)] \Z")
_CLOSED = re.compile(r"\.?[ \t]{0,4}(?:\n|\Z)")
_LINE_START = re.compile(r"(?:\A|\n)[ \t>*\-•]{0,4}\Z")


def numeric_date(text: str, start: int, end: int) -> bool:
    """Not a version or a section number: dots need a year of four digits, or two digits everywhere."""
    value = text[start:end]
    if _HOURS.match(text, end) and [*map(int, re.findall(r"\d+", value)[:3])] in _HOURS_IN_A_ROW:
        return False
    if "." not in value or re.search(r"\.(?:1[3489]|2[05])\d\d(?!\d)", value):
        return True
    full = re.match(r"(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d\d(?![\d.])", value)
    return full is not None and not _VERSIONS.intersection(words_before(text, start, 2))


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
    before = words_before(text, start)
    last = before[-1]
    if (begins := _with_weekday(text, start)) < start:
        return (begins, end) if "/" in value or not _OPENING.search(text, max(0, begins - 12), begins) else False
    if last in _SETTINGS and first > second:
        return False
    if _SCORES.intersection(before[-2:] if last in _SURE else before) or (
        _DURATION.search(value) and last in _PORTIONS
    ):
        return False
    if _CLOCK.match(text, end):
        return True
    if "/" not in value:
        return last in _LABELS or (last in _EVENTS and (value.startswith("0") or "-0" in value))
    return _follows_a_date(text, start) or _is_announced(text, start, end, before)


def _is_counted(text: str, end: int) -> bool:
    following = next_word(text, end)
    if text[end : end + 1] in ("%", "°") or following in _AFTER_SCORE or _SECONDS.match(text, end):
        return True
    several = following.endswith("s") and len(following) > 3  # "9/11 stations"
    return several and not following.endswith("ss") and following not in _NOUNS | _EVENTS | _TAILS


def _follows_a_date(text: str, start: int) -> bool:
    """ "3/22, 4/22"."""
    previous = _PREVIOUS_DAY.search(text, max(0, start - 12), start)
    return previous is not None and bool(short_date(text, previous.start(1), previous.end(1)))


def _is_announced(text: str, start: int, end: int, before: list[str]) -> bool:
    last, following = before[-1], next_word(text, end)
    first, second = (int(number) for number in text[start:end].split("/"))
    if _LINE_START.search(text, max(0, start - 6), start):
        return _HEADS.match(text, end) is not None or following in _EVENTS
    if last == "left" and max(first, second) <= 12:  # a side, rather than a leaving
        return False
    if last in _SPANS and (both := _CHANGE.search(text, max(0, start - 12), end + 12)) and both[2] == both[4]:
        return max(int(both[1]), int(both[3])) > int(both[2])  # "from 3/5 to 4/5"
    if last in _LOOSE and first <= second <= 10:  # "about 3/4"
        return False
    if text[start] == "0" or "/0" in text[start:end]:
        return True
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
    if before[-1] == "of" and _EVENTS.intersection(before[-2:-1]):  # "note of 5/17"
        return True
    if _is_in_a_row(text, start, end):
        return True
    closes = _LINE_END.match(text, end) is not None and before[-1] and not words.is_medical(before[-1])
    if closes and (odd or first > second):
        return True
    if (odd or text[end : end + 1] == ":") and _ACRONYM.search(text, max(0, start - 8), start):
        return True
    if {"last", "next"}.intersection(before) or (before[-1] == "of" and _WEEKS.intersection(before[-2:])):
        return True
    if not (odd or first > second) or not before[-1]:
        return False
    return bool(_EVENTS.intersection(before)) or (first > second and not text[max(0, start - REACH) : end].isascii())


def _is_in_a_row(text: str, start: int, end: int) -> bool:
    """ "1/6, 1/13, 1/20": three shares of three different wholes are none."""
    near = _SLASHED.findall(text, max(0, start - REACH), end + REACH)
    return len({whole for _, whole in near}) > 2 and all(int(whole) < 32 for _, whole in near)


def dotted_day(text: str, start: int, end: int) -> bool:
    """ "am 12.3.", "geb. 3.4.61", but not the end of "Hb 12.3."."""
    value = text[start:end]
    before = words_before(text, start, 2)
    last = before[-1]
    if _VERSIONS.intersection(before):
        return False
    if last in ("since", "until", "dated", "by"):
        return True
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
    before = words_before(text, start)
    named = before[-1] == "the"
    before = (before[:-1] or [""]) if named else before
    last = before[-1]
    if last in _WEEKDAYS or _OF_MONTH.match(text, end):
        return _with_weekday(text, start - 4 if named else start) if last in _WEEKDAYS else start, end
    if not _ends_a_time(text, end):
        return False
    front = text[max(0, start - REACH) : start]
    if _PART_OF_DAY.search(front) or _MOVED.search(front):
        return True
    if not last and _LINE_START.search(text, max(0, start - 6), start):
        return text[start : start + 1] in "123" and text[start + 1 : start + 2].isdigit() and text[end : end + 1] == ":"
    day = int(number[0]) if (number := re.search(r"\d+", text[start:end])) else 11
    if last in ("after", "before") and day < 5:  # "after the 2nd, he woke": shocks, doses, attempts
        return False
    if last == "for":
        return named and bool(_EVENTS.intersection(before[:-1]))
    if last in ("is", "was"):
        return named and bool(_EVENTS.intersection(before))
    if named and day > 12 and _LINE_END.match(text, end):
        return True
    return last in _SPANS or (last in _EVENTS and (named or last not in _SCORES))


def _ends_a_time(text: str, end: int) -> bool:
    """Nothing follows that is counted: "the 5th toe"."""
    if more := _ORDINALS.match(text, end):
        end = more.end()
    return (
        _LINE_END.match(text, end) is not None
        or next_word(text, end) in _TAILS
        or _CLOCK.match(text, end) is not None
        or _TITLE.match(text, end) is not None
    )


def weekday_day(text: str, start: int, end: int) -> bool:
    """ "Tue 14" is a day, "Monday 15 patients" and "Friday 14:30" are none."""
    return _LINE_END.match(text, end) is not None or next_word(text, end) in _TAILS


def somebodys_month(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """A month of somebody's life, and which part of it: not one of a season, of a guideline, or of a question about months."""
    sentence = sentence_words(text, start, end)
    part = _PART_OF_MONTH.search(text, max(0, start - REACH), start)
    unsure = text[start:end] in ("March", "May") and not part
    if not _PERSONAL.intersection(sentence) and (unsure or _PUBLIC.intersection(sentence)):
        return False
    return (part.start() if part else start), end


def holiday(text: str, start: int, end: int) -> bool:
    """ "on Waitangi Day", not "on Hospital Day"."""
    return not _DAYS_NAMED.intersection(text[start:end].lower().split())


def somebodys_holiday(text: str, start: int, end: int) -> bool:
    """Not one of a list of days on which a clinic is closed."""
    sentence = sentence_words(text, start, end)
    return not _HOURS_OPEN.intersection(sentence) or bool((_PERSONAL - _OF_CLINICS).intersection(sentence))


def no_gene(text: str, start: int, end: int) -> bool:
    """MARCH5, SEPT9, OCT4 and DEC1 are genes."""
    value = text[start:end]
    return re.fullmatch(r"(?:(?i:oct)-?4|(?:SEPT?|MARCH|MARC|DEC|OCT)-?\d{1,2})", value) is None


def no_version(text: str, start: int, end: int) -> bool:
    return not _VERSIONS.intersection(words_before(text, start, 2)) and next_word(text, end) not in _VERSIONS


DATE_CHECKS: tuple[Check, ...] = (
    numeric_date,
    day_month,
    short_date,
    dotted_day,
    ordinal_day,
    weekday_day,
    somebodys_month,
    holiday,
    somebodys_holiday,
    no_gene,
    no_version,
    old_age,
)
