"""What a pattern cannot say: check digits, and words that only look like what was meant.

Each check gets the whole text and the span of the value, and answers whether the detection stands, or with the part of it
that does.
"""

import re

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules.check_digits import CHECK_DIGITS
from services.inference.clients.presidio.analyzer.rules.date_checks import DATE_CHECKS
from services.inference.clients.presidio.analyzer.rules.name_checks import NAME_CHECKS, Check
from services.inference.clients.presidio.analyzer.rules.place_checks import MEASURE_AFTER, PLACE_CHECKS
from services.inference.clients.presidio.analyzer.rules.public_numbers import (
    is_catalogued,
    is_drug,
    is_numbered_thing,
    is_public,
)
from services.inference.clients.presidio.analyzer.rules.roster_checks import ROSTER_CHECKS

# "120/80", "10-12", a year or a span of years, a time of day: no identifier unless a colon or # says so.
_RATHER_A_FIGURE = re.compile(
    r"\d{1,3}(?:[./]\d{1,3})?|\d{1,2}-\d{1,2}|(?:19|20)\d\d[\-/](?:19|20)?\d\d|\d{1,2}:\d\d(?::\d\d)?|\d+\.\d+-\d+\.\d+"
)
_SETTINGS = re.compile(r"[A-Z]{2,4} \d{1,3}(?:/\d{1,3}){2,3}")  # of a ventilator: "AC 16/450/5"
_YEAR = re.compile(r"(?:19|20)\d\d")
_NUMBER_WORD = re.compile(r"(?:#|\b(?:mrn|ssn|pin|no|number|nr|id)\b)\W{0,4}\Z", re.IGNORECASE)
_IN_UNITS = re.compile(r"\d(?:IU|MC?G|ML|KG|CFU|UNITS?|[CM]M|K?HZ|C?GY|[MG]BQ|PPM|[UKMGLHSXC])\Z")
_LITTLE_WORD = re.compile(r"(?:in|on|at|of|to|by|for|the|no|is|was|and|or|from|with)[ ]", re.IGNORECASE)
_MARKER = re.compile(r"CA[ \-]?(?:19-9|125|15-3|27[.\-]29|72-4|242|50)(?!\d)")
_PARITY = re.compile(r"G\d{1,2} ?P\d{1,5}")  # pregnancies and births: "G3P1011"
# Code systems and schemas, without a record in the path.
_STANDARD = re.compile(
    r"https?://(?:[a-z]{1,12}\.)?(?:hl7\.org|loinc\.org|snomed\.info|unitsofmeasure\.org|w3\.org|json-schema\.org|ihe\.net|fhir\.org|"
    r"nema\.org|nlm\.nih\.gov|xmlsoap\.org|openxmlformats\.org)(?:/(?!Patient)[A-Za-z.\-#]{0,40}(?:\d{1,4}(?!\d))?){0,8}"
)
_CREDENTIALS = frozenset({"MD", "PA", "DO", "RN", "NP", "OD", "ID"})


def not_a_measure(text: str, start: int, end: int) -> bool:
    """ "ins 500 mg", "visit 3 days": a quantity. A value in front of a unit never is an identifier."""
    value = _LITTLE_WORD.sub("", text[start:end])
    if is_public(text, start, end) or is_catalogued(text, start):
        return False
    if _SETTINGS.match(value) or _PARITY.fullmatch(value) or text.startswith("%", end):
        return False
    if value.isdigit() and len(value) < 12 and MEASURE_AFTER.match(text, end):
        return False
    if _YEAR.fullmatch(value):
        return _NUMBER_WORD.search(text, max(0, start - 12), start) is not None
    return not _RATHER_A_FIGURE.fullmatch(value) or bool(re.search(r"[#:]\W{0,3}$", text[max(0, start - 5) : start]))


def own_number(text: str, start: int, end: int) -> bool:
    """Behind "number" or "#" alone: somebody's, unless what is numbered is a product or a page."""
    return not is_numbered_thing(text, start) and not_a_measure(text, start, end)


def own_code(text: str, start: int, end: int) -> bool:
    """By its shape alone: no drug under development, no trial, no gene, no quantity in capitals."""
    return not (
        is_public(text, start, end)
        or is_drug(text, start, end)
        or is_numbered_thing(text, start)
        or _IN_UNITS.search(text, start, end)
    )


def not_a_temperature(text: str, start: int, end: int) -> bool:
    """ "Temp > 101 F"."""
    return not re.search(
        r"(?:temp|fever|febrile|tmax|[<>=°])\W{0,12}\Z", text[max(0, start - 24) : start], re.IGNORECASE
    )


def not_credentials(text: str, start: int, end: int) -> bool:
    """ "Otto Underhill, MD" is a doctor, not a town in Maryland; "TNF, CA 19-9" are markers."""
    if _MARKER.match(text, end - 2):
        return False
    return text[start:end].rpartition(", ")[2] not in _CREDENTIALS or words.is_city(text[start:end].rpartition(",")[0])


def uncommon(text: str, start: int, end: int) -> bool:
    found = words.words_in(text[start:end])
    return not any(words.is_common(word) or words.is_heading(word) or words.is_eponym(word) for word in found)


def own_url(text: str, start: int, end: int) -> bool:
    """Of no code system: FHIR has them as addresses."""
    return not _STANDARD.fullmatch(text, start, end)


def phone_like(text: str, start: int, end: int) -> bool:
    return 9 <= sum(map(str.isdigit, text[start:end])) <= 13 and not is_public(text, start, end)


def international(text: str, start: int, end: int) -> bool:
    """At most what ITU-T E.164 allows, and more than a time zone: "+0200"."""
    return 7 <= sum(map(str.isdigit, text[start:end])) <= 18 and not is_public(text, start, end)


CHECKS: dict[str, Check] = CHECK_DIGITS | {
    check.__name__: check
    for check in (
        *PLACE_CHECKS,
        *NAME_CHECKS,
        *ROSTER_CHECKS,
        not_a_measure,
        own_number,
        own_code,
        not_credentials,
        not_a_temperature,
        uncommon,
        own_url,
        phone_like,
        international,
        *DATE_CHECKS,
    )
}
