"""What a pattern cannot say: check digits, and words that only look like what was meant.

Each check gets the whole text and the span of the value, and answers whether the detection stands, or with the part of it
that does.
"""

import re
from collections.abc import Callable

from services.inference.clients.presidio import words
from services.inference.clients.presidio.place_checks import MEASURE_AFTER, PLACE_CHECKS

Check = Callable[[str, int, int], bool | tuple[int, int]]

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


def numeric_date(text: str, start: int, end: int) -> bool:
    """Not a version or a section number: dots need a year of four digits."""
    value = text[start:end]
    return "." not in value or re.search(r"\.(?:19|20)\d\d(?!\d)", value) is not None


def day_month(text: str, start: int, end: int) -> bool:
    """ "5 mar" is a date, "30 may" in "of the 30 may recover" is not."""
    value = text[start:end].lower()
    if not re.search(r"\bmay\b|\bmar\b", value):
        return True
    return re.search(r"\d{4}|(?:st|nd|rd|th)\b", value) is not None or re.search("May|Mar", text[start:end]) is not None


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


def person(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Without the words of the form around it: "John Smith MRN" is John Smith."""
    return words.name_within(text, start, end) or False


def strong_person(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Behind a label or in front of a verb, two capitalised words that are no words of a form are a name."""
    name = words.name_within(text, start, end)
    if name:
        return name
    found = words.words_in(text[start:end])
    return len(found) > 1 and not any(words.is_heading(word) or words.is_medical(word) for word in found)


def called(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Right behind "daughter" or "my name is", any capitalised word is a name that is no word of a form."""
    name = words.name_within(text, start, end)
    if name:
        return name
    found = words.words_in(text[start:end])
    return bool(found) and not any(words.is_heading(word) or words.is_medical(word) for word in found)


def uncommon(text: str, start: int, end: int) -> bool:
    found = words.words_in(text[start:end])
    return not any(words.is_common(word) or words.is_heading(word) or words.is_eponym(word) for word in found)


def known_pair(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """A first name in front of a word that is no ordinary one, or in front of a surname when it is none itself."""
    name = words.name_within(text, start, end)
    if not name:
        return False
    found = words.words_in(text[name[0] : name[1]])
    if (
        len(found) < 2
        or words.EPONYM_TAIL.match(text, name[1])
        or any(word.isupper() for word in found if len(word) > 1)
    ):
        return False
    if not words.is_first_name(found[0]):
        foreign = not any(words.is_english(word) or words.is_eponym(word) or words.is_city(word) for word in found)
        return foreign and name
    ordinary = words.is_common(found[-1]) and not words.is_surname(found[-1])
    either = words.is_common(found[0]) and words.is_common(found[-1]) and not words.is_frequent_name(found[0])
    return not ordinary and not either and name


def first_name(text: str, start: int, end: int) -> bool:
    """ "Lisa T." but not "Hepatitis B."."""
    first = text[start:end].split(maxsplit=1)[0]
    return words.is_first_name(first) or (words.may_be_person(first) and not words.is_common(first))


def lower_name(text: str, start: int, end: int) -> bool:
    found = words.words_in(text[start:end])
    return any(words.is_name(word) or not words.is_english(word) for word in found)


def lower_only_name(text: str, start: int, end: int) -> bool:
    """ "jayden is a 4 yo boy": a name that is no word."""
    found = [word for word in words.words_in(text[start:end]) if len(word) > 1]
    return any(map(words.is_name, found)) and not any(words.is_common(word) or words.is_heading(word) for word in found)


def only_first_name(text: str, start: int, end: int) -> bool:
    """A first name that is neither an English word, nor a town, nor what a disease or a sign is called by."""
    word = text[start:end]
    if not words.is_first_name(word) or words.is_common(word) or words.is_heading(word) or words.is_eponym(word):
        return False
    return not words.is_city(word) and not words.EPONYM_TAIL.match(text, end)


def surname_first(text: str, start: int, end: int) -> bool:
    """ "Smith, John": the word behind the comma is a first name, the one before it no ordinary word at a sentence's end."""
    surname, _, first = (part.strip() for part in text[start:end].partition(","))
    first = first.split()[0]
    if surname.islower() and (words.is_common(surname) or not words.is_frequent_name(first)):
        return False
    if words.is_eponym(surname) and words.is_eponym(first):  # "Graves, Wilson" in a list of diseases
        return False
    return words.is_first_name(first) and words.is_surname(surname) and not words.is_first_name(surname)


def phone_like(text: str, start: int, end: int) -> bool:
    return 9 <= sum(map(str.isdigit, text[start:end])) <= 13


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        *PLACE_CHECKS,
        luhn,
        npi,
        dea,
        vin,
        iban,
        numeric_date,
        day_month,
        not_a_measure,
        not_credentials,
        not_a_temperature,
        person,
        known_pair,
        uncommon,
        called,
        strong_person,
        first_name,
        lower_name,
        lower_only_name,
        only_first_name,
        surname_first,
        phone_like,
    )
}
