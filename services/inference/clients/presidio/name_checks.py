"""Checks of the rules that find people: which words may be somebody's name, and which only look like one."""

import re
from collections.abc import Callable

from services.inference.clients.presidio import evidence, words

Check = Callable[[str, int, int], bool | tuple[int, int]]
_DOUBTFUL_TITLE = re.compile(r"(?<![A-Za-z])(?:Fr|Lt|Col|MR|MS|Sra?)\.?[ \t]{1,2}\Z")


def titled(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Behind a title; "8 Fr", "Lt MCA" and "MR spine" have none."""
    name = words.name_within(text, start, end)
    if not name or _only_of_forms(text[name[0] : name[1]]):
        return False
    if _DOUBTFUL_TITLE.search(text, max(0, start - 5), start):
        first = words.words_in(text[name[0] : name[1]])[0]
        if words.is_medical(first) or words.is_eponym(first) or (words.is_common(first) and not words.is_name(first)):
            return False
    return name


def _only_of_forms(value: str) -> bool:
    """ "To", "Billing", "SI": surnames in the census, headings and abbreviations here."""
    found = words.words_in(value)
    if all(words.is_heading(word) and not words.is_first_name(word) for word in found if len(word) > 1):
        return True
    return len(found) == 1 and found[0].isupper() and len(found[0]) <= 4 and not words.is_name(found[0])


def person(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Without the words of the form around it: "John Smith MRN" is John Smith."""
    return words.name_within(text, start, end) or False


def strong_person(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Behind a label or in front of a verb, two capitalised words that are no words of a form are a name."""
    name = words.name_within(text, start, end)
    if name:
        return not _only_of_forms(text[name[0] : name[1]]) and name
    found = words.words_in(text[start:end])
    if any(words.is_first_name(word) for word in found):
        return False
    return len(found) > 1 and not any(words.is_heading(word) or words.is_medical(word) for word in found)


def acting(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """In front of what people do; "Mobitz II" needs pacing."""
    return not evidence.names_a_thing(text, start, end) and strong_person(text, start, end)


def called(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Right behind "daughter" or "my name is", any capitalised word is a name that is no word of a form."""
    name = words.name_within(text, start, end)
    if name:
        return not _only_of_forms(text[name[0] : name[1]]) and name
    found = words.words_in(text[start:end])
    return bool(found) and not any(words.is_heading(word) or words.is_medical(word) for word in found)


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
    if words.may_be_eponym(first):
        return False
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
    if words.is_heading(surname) or (
        words.may_be_eponym(surname) and words.may_be_eponym(first)
    ):  # "Graves, Wilson" in a list of diseases
        return False
    return words.is_first_name(first) and words.is_surname(surname) and not words.is_first_name(surname)


NAME_CHECKS: tuple[Check, ...] = (
    person,
    titled,
    strong_person,
    acting,
    called,
    known_pair,
    first_name,
    lower_name,
    lower_only_name,
    only_first_name,
    surname_first,
)
