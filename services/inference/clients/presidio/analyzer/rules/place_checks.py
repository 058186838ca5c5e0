"""What the patterns of places and facilities cannot say; `checks.py` tells how a check answers."""

import re

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.addresses import address_line, rural
from services.inference.clients.presidio.analyzer.towns import is_ordinary, is_town

MEASURE_AFTER = re.compile(
    r"\s?(?:mg|mcg|µg|g|kg|ml|mmhg|mm|cm|units?|iu|meq|%|bpm|beats|days?|weeks?|months?|years?|hours?|hrs?|minutes?|times|tablets?|tabs?|pills?|doses?|patients|people|participants|subjects|cases|lives|copies|cells)(?![a-z])",
    re.IGNORECASE,
)
_PLAIN_FACILITY = re.compile(
    r"(?:City|General|Community|Regional|Memorial|County|University|State|Health|Texas) (?:\w{3,14} )?(?:Hospital|Clinic|Medical Cent|Health C)"
)
_HOUSES = frozenset(
    {"General", "Memorial", "Regional", "Presbyterian", "Methodist", "Baptist", "Mercy", "Hospital", "Clinic"}
    | {
        "Pathology",
        "Radiology",
        "Imaging",
        "Dermatology",
        "Cardiology",
        "Diagnostics",
        "Pharmacy",
        "Surgery",
        "Orthopaedics",
    }
)
_NO_SAINT = re.compile(
    r"(?:St|Mount|Mt)\.? (?:Elevation|Depression|Segment|Changes)|(?i:(?:st\.?|saint) (?:johns?['’]?s? wort|jude valve|vitus|anthony['’]s fire))"
)
_WAYS = re.compile(r" (?:way|lane|minute|hour|mile|block|week|day|month|year|dirt|track|main|more|other|busy|the)s? ")
_PAIR = re.compile(r"-?\d{1,2}\.\d{3},\s?-?\d{1,3}\.\d{3,8}|-?\d{1,2}\.\d{3,8},\s?-?\d{1,3}\.\d{3}")
_MAP = re.compile(r"gps|geo|lat|coord|location|pin|map", re.IGNORECASE)
_KIND_OF_HOUSE = re.compile(
    r" (?:urgent care|family (?:medicine|practice|health)|medical (?:center|centre|group)|hospital|clinic|pediatrics|manor|rehab|nursing home|"
    r"hospice|pharmacy|dialysis|imaging|assisted living|home care|health (?:center|centre)|care (?:center|home)|elementary|high school|"
    r"middle school)\Z"
)
_SENTENCE_START = re.compile(r"(?:\A|[.:;!?\n•*\-]\s{0,3})\Z")
_WARDS = frozenset({"ER", "ED", "ICU", "VA"})
# "Ottawa ankle rules", "Rocky Mountain spotted fever"
PLACE_TAIL = re.compile(
    r"(?:['’]s)?(?: [a-z]{3,14}){0,2} (?:rules?|scores?|fever|criteria|criterion|virus|scale|protocol|classification|study|trial|definition|"
    r"consensus|guidelines?|checklist|statement|declaration|staging|system|stages?|grades?|class|type|index|inventory|questionnaire|battery|triage|regimen|"
    r"equation|formula|nomogram|algorithm|method|cohort|registry|chromosome|collar|brace|stool|agar|variant|strain|mutation|lineage|encephalitis|"
    r"hemorrhagic|disease|syndrome|diet|sausage|sprouts|sandwich|heart|knee|hip|hepatitis|triangle|canal|ligament|negative|positive|intermediate|category|red|ink|belly|flu|blue)\b"
    r"| (?:Cardiomyopathy|Questionnaire|Heart Association|Criteria|Score|Scale|Classification|Protocol|Study|Trial|Rules?|Staging|System|Index|"
    r"Ankle|Knee|Sleepiness|Aphasia|Definition|Consensus|Guidelines?|University Press|[IV]{1,3}\b|v\d)"
)
# Bodies of a profession or a state: they write guidelines, nobody is treated there.
SOCIETY = re.compile(
    r"\b(?:Society|Societies|Association|Academy of|College of (?:Surgeons|Physicians|Cardiology|Radiology|Chest|Obstetric|Rheumatology|"
    r"Gastroenterology|Emergency|Pathologists|Psychiatrists)|Foundation|Federation|Council|Committee|Collaborati(?:on|ve)|Consortium|"
    r"Task Force|Working Group|Institutes? (?:of|for) Health|Press|Journal|Initiative|Organi[sz]ation|Agency|Ministry|"
    r"Department of Health|Public Health|World Health|National Institute|Joint Commission|Centers for|Proceedings|"
    r"Health Canada|Handbook|American College|Royal College|European (?:Society|Association))\b"
)


def unknown_word(text: str, start: int, end: int) -> bool:
    """A word of no list is a place that no list has; so is a town that is no ordinary word."""
    if (
        is_town(text[start:end])
        and not is_ordinary(text[start:end])
        and (words.is_city(text[start:end]) or not words.is_eponym(text[start:end]))
    ):
        return not words.EPONYM_TAIL.match(text, end)
    found = [word for word in words.words_in(text[start:end]) if word[0].isupper()]
    known = any(words.is_english(word) or words.is_heading(word) or words.is_medical(word) for word in found)
    return not known and not any(words.is_eponym(word) for word in found) and not words.EPONYM_TAIL.match(text, end)


def lower_street(text: str, start: int, end: int) -> bool:
    """ "22 orchard close", but not "30 minute walk"."""
    number, _, rest = text[start:end].partition(" ")
    if MEASURE_AFTER.match(text, start + len(number)):
        return False
    return not any(
        words.is_medical(word) and not words.is_name(word) for word in words.words_in(rest)[:2] if len(word) > 1
    )


def lower_town(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """The longest town that nobody capitalised; of one word, no ordinary one."""
    name = text[start:end]
    while " " in name:
        if is_town(name):
            return start, start + len(name)
        name = name.rpartition(" ")[0]
    return is_town(name) and not is_ordinary(name) and not words.is_heading(name) and (start, start + len(name))


def irish(text: str, start: int, end: int) -> bool:
    """An Eircode without its blank looks like any code; X12 is no routing key, but a standard: "X12 837P"."""
    return not text.startswith("X12", start) and (
        " " in text[start:end]
        or re.search(r"(?:eircode|[Pp]ost ?code|, ?)\W{0,3}\Z", text[max(0, start - 12) : start], re.I) is not None
    )


def facility(text: str, start: int, end: int) -> bool:
    """More than the kind of house: "Cedar Clinic", but not "Pain Clinic", "Teaching Hospital" or a society."""
    if not treats(text, start, end):
        return False
    found = [word for word in words.words_in(text[start:end]) if len(word) > 1 and word[0].isupper()]
    return any(not words.is_heading(word) and not words.is_medical(word) for word in found) or (
        _PLAIN_FACILITY.match(text, start, end) is not None
    )


def treats(text: str, start: int, end: int) -> bool:
    """No body that writes guidelines or a journal, and nothing called after a house."""
    return not (
        SOCIETY.search(text, start, end + 12) or words.EPONYM_TAIL.match(text, end) or PLACE_TAIL.match(text, end)
    )


def house_of_words(text: str, start: int, end: int) -> bool:
    """ "the Cedar clinic", but not "HF clinic", nor "Call ICU" where the capital is a sentence's."""
    if not facility(text, start, end):
        return False
    found = [word for word in words.words_in(text[start:end]) if word[0].isupper() and word not in _WARDS]
    if len(found) != 1 or not found:
        return True
    if found[0].isupper() and len(found[0]) < 3:
        return False
    return not (_SENTENCE_START.search(text, max(0, start - 6), start) and words.is_common(found[0])) or is_town(
        found[0]
    )


def named_house(text: str, start: int, end: int) -> bool:
    """ "Tamarack Imaging", but not "Magnetic Resonance Imaging" or "Marine Corps Academy": a word that is no ordinary one leads it."""
    if not treats(text, start, end):
        return False
    found = [word for word in words.words_in(text[start:end]) if len(word) > 2 and word[0].isupper()]
    return any(_is_proper(word) for word in found[:-1])


def house_abroad(text: str, start: int, end: int) -> bool:
    """Its name is more than a ward's."""
    found = [word for word in words.words_in(text[start:end]) if len(word) > 1 and word[0].isupper()]
    return any(not words.is_heading(word) and not words.is_medical(word) for word in (found[1:] or found))


def _is_proper(word: str) -> bool:
    if (
        words.is_heading(word)
        or words.is_medical(word)
        or (words.is_eponym(word) and not words.is_name(word))
        or (word.isupper() and len(word) < 5)
    ):
        return False
    return not words.is_common(word) or words.is_surname(word) or (is_town(word) and not is_ordinary(word))


def place(text: str, start: int, end: int) -> bool:
    """One proper word, or two that are at least no words of a form: "Cedar Sinai"."""
    found = [word for word in words.words_in(text[start:end]) if len(word) > 1]
    if len(found) == 1 and words.is_eponym(found[0]) and not is_town(found[0]):  # "no rebound at McBurney"
        return False
    plain = [word for word in found if not words.is_heading(word) and not words.is_medical(word)]
    return words.may_be_proper(text[start:end]) or len(plain) > 1 or (len(plain) == 1 and found[-1] in _HOUSES)


def address(text: str, start: int, end: int) -> bool:
    """Not a quantity: "2 Extra Strength Tylenol 500"."""
    value = text[start:end]
    if MEASURE_AFTER.match(text, end):
        return False
    found = [word for word in words.words_in(value) if len(word) > 2]
    if not found or all(word.isupper() or words.is_heading(word) for word in found):
        return False
    return not any(words.is_medical(word) and not words.is_name(word) for word in found)


def numbered(text: str, start: int, end: int) -> bool:
    """ "via Zoom" and "plaza" are no addresses, "Via Garibaldi 8" is."""
    return any(map(str.isdigit, text[start:end])) and not MEASURE_AFTER.match(text, end)


def spoken_street(text: str, start: int, end: int) -> bool:
    """ "twelve oak street", but not "a two lane road" or "one way street"."""
    return not _WAYS.search(text, start, end)


def coordinates(text: str, start: int, end: int) -> bool:
    """Two decimals are a place with four digits behind the point, or a map's word in front; a code of letters has digits too."""
    value = text[start:end]
    if "+" in value:
        return any(map(str.isalpha, value)) and any(map(str.isdigit, value))
    return not _PAIR.fullmatch(value) or bool(_MAP.search(text, max(0, start - 30), start))


def lower_house(text: str, start: int, end: int) -> bool:
    """Each word of its name is one that people or towns have, or no English word at all."""
    found = words.words_in(_KIND_OF_HOUSE.sub("", text[start:end]))
    return bool(found) and all(
        not words.is_heading(word)
        and not words.is_medical(word)
        and (words.is_surname(word) or not words.is_common(word) or (is_town(word) and not is_ordinary(word)))
        for word in found
    )


def foreign_street(text: str, start: int, end: int) -> bool:
    """ "via garibaldi 8", but not "via video, 40"."""
    found = words.words_in(text[start:end])
    return not MEASURE_AFTER.match(text, end) and not (found[-1].islower() and words.is_common(found[-1]))


def street_name(text: str, start: int, end: int) -> bool:
    found = words.words_in(text[start:end])
    if found[0].isupper() and found[-1].islower():  # "SELECT street"
        return False
    return not words.is_heading(found[0]) and not text.startswith("Wall ", start)


def saint(text: str, start: int, end: int) -> bool:
    return not _NO_SAINT.match(text, start) and not words.EPONYM_TAIL.match(text, end)


PLACE_CHECKS = (
    address_line,
    rural,
    unknown_word,
    lower_street,
    lower_town,
    irish,
    facility,
    treats,
    house_of_words,
    named_house,
    house_abroad,
    place,
    address,
    numbered,
    spoken_street,
    coordinates,
    lower_house,
    foreign_street,
    street_name,
    saint,
)
