"""What a pattern cannot say: check digits, and words that only look like what was meant.

Each check gets the whole text and the span of the value, and answers whether the detection stands, or with the part of it
that does.
"""

import re

from services.inference.clients.presidio import words
from services.inference.clients.presidio.date_checks import DATE_CHECKS
from services.inference.clients.presidio.name_checks import NAME_CHECKS, Check
from services.inference.clients.presidio.place_checks import MEASURE_AFTER, PLACE_CHECKS

_LITTLE_WORD = re.compile(r"(?:in|on|at|of|to|by|for|the|no|is|was|and|or|from|with)[ ]", re.IGNORECASE)
# Numbers of publications, trials, codes and standards.
_PUBLIC = re.compile(
    r"(?:PMID|PMC|NCT|DOI|ISBN|ISSN|ICD|CPT|LOINC|SNOMED|CAS|NDC|OMIM|RXCUI|HCPCS|DRG|ISO|RFC|CFR|USC)[ \-:]?\d",
    re.IGNORECASE,
)
_CREDENTIALS = frozenset({"MD", "PA", "DO", "RN", "NP", "OD", "ID"})


def luhn(text: str, start: int, end: int) -> bool:
    digits = [int(c) for c in text[start:end] if c.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return len(digits) >= 12 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def npi(text: str, start: int, end: int) -> bool:
    """Luhn over the digits behind the prefix 80840 (45 CFR 162.406)."""
    value = "80840" + text[start:end]
    return luhn(value, 0, len(value))


def dea(text: str, start: int, end: int) -> bool:
    digits = [int(c) for c in text[start + 2 : end]]
    return (digits[0] + digits[2] + digits[4] + 2 * (digits[1] + digits[3] + digits[5])) % 10 == digits[6]


def vin(text: str, start: int, end: int) -> bool:
    """ISO 3779 with the North American check digit, or a number that mixes letters and digits as a VIN does."""
    value = text[start:end].upper()
    letters = sum(c.isalpha() for c in value)
    if not 2 <= letters <= 14:
        return False
    numbers = dict(
        zip(
            "ABCDEFGHJKLMNPRSTUVWXYZ",
            (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9),
            strict=True,
        )
    )
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    total = sum(weight * (int(c) if c.isdigit() else numbers[c]) for weight, c in zip(weights, value, strict=True))
    return "0123456789X"[total % 11] == value[8] or value[-5:].isdigit()


def iban(text: str, start: int, end: int) -> bool:
    """ISO 13616, or at least the length and the digits of one: a mistyped IBAN still is somebody's."""
    value = text[start:end].replace(" ", "")
    return 15 <= len(value) <= 34 and sum(c.isdigit() for c in value) >= 8


def not_a_measure(text: str, start: int, end: int) -> bool:
    """ "ins 500 mg", "visit 3 days": a quantity. A value in front of a unit never is an identifier."""
    value = _LITTLE_WORD.sub("", text[start:end])
    if _PUBLIC.match(value):
        return False
    if value.isdigit() and len(value) < 7 and MEASURE_AFTER.match(text, end):
        return False
    return not re.fullmatch(r"\d{1,3}(?:[./]\d{1,3})?|(?:19|20)\d\d(?:[\-/](?:19|20)?\d\d)?", value) or bool(
        re.search(r"[#:]\W{0,3}$", text[max(0, start - 5) : start])
    )


def not_a_temperature(text: str, start: int, end: int) -> bool:
    """ "Temp > 101 F"."""
    return not re.search(
        r"(?:temp|fever|febrile|tmax|[<>=°])\W{0,12}\Z", text[max(0, start - 24) : start], re.IGNORECASE
    )


def not_credentials(text: str, start: int, end: int) -> bool:
    """ "Otto Underhill, MD" is a doctor, not a town in Maryland."""
    return text[start:end].rpartition(", ")[2] not in _CREDENTIALS or words.is_city(text[start:end].rpartition(",")[0])


def uncommon(text: str, start: int, end: int) -> bool:
    found = words.words_in(text[start:end])
    return not any(words.is_common(word) or words.is_heading(word) or words.is_eponym(word) for word in found)


def phone_like(text: str, start: int, end: int) -> bool:
    return 9 <= sum(map(str.isdigit, text[start:end])) <= 13


def international(text: str, start: int, end: int) -> bool:
    """At most what ITU-T E.164 allows, and more than a time zone: "+0200"."""
    return 7 <= sum(map(str.isdigit, text[start:end])) <= 18


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        *PLACE_CHECKS,
        *NAME_CHECKS,
        luhn,
        npi,
        dea,
        vin,
        iban,
        not_a_measure,
        not_credentials,
        not_a_temperature,
        uncommon,
        phone_like,
        international,
        *DATE_CHECKS,
    )
}
