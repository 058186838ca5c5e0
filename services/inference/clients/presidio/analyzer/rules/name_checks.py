"""Checks of the rules that find people: which words may be somebody's name, and which only look like one."""

import re
from collections.abc import Callable

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules import evidence

Check = Callable[[str, int, int], bool | tuple[int, int]]
KIN = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "son,daughter,mother,father,mum,mom,dad,wife,husband,sister,brother,baby,pa,ma,nan,nana,gran,aunt,uncle,man,woman,boy,girl,child,"
        "max,min,everyone,someone,nobody,staff,who,which,that,it,he,she,they,this,there,what,and,but,or,her,his"
    ).split(",")
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FIRM = ("Smith & Nephew ", "Smith and Nephew ")  # makes devices: "Smith & Nephew Journey II"
_INFLECTED = re.compile(r"(?:ing|ed|ly|tion|ment|ness|ity|ous|able|ible|ful|less|ized|ised)\Z")
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
    return len(found) == 1 and found[0].isupper() and len(found[0]) <= 4 and not words.is_usual_name(found[0])


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
    if words.EPONYM_TAIL.match(text, end) or text.endswith(_FIRM, 0, start):
        return False
    name = words.name_within(text, start, end)
    if name:
        return not (_only_of_forms(text[slice(*name)]) or words.is_phrase(text[slice(*name)])) and name
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
        or evidence.names_a_thing(text, *name)
        or any(word.isupper() for word in found if len(word) > 1)
    ):
        return False
    if not words.is_first_name(found[0]):
        return _unknown_pair(found) and not evidence.is_foreign(text, start, end) and name
    if words.is_usual_first_name(found[0]) and not words.is_english(found[0]):
        return not (words.is_heading(found[-1]) or words.is_medical(found[-1])) and name
    ordinary = words.is_common(found[-1]) and not words.is_surname(found[-1])
    either = words.is_common(found[0]) and words.is_common(found[-1]) and not words.is_frequent_name(found[0])
    return not ordinary and not either and name


def _unknown_pair(found: list[str]) -> bool:
    """Words of no list, or one such in front of a surname."""
    if any(words.is_english(word) or words.is_eponym(word) or words.is_city(word) for word in found[:-1]):
        return False
    last = found[-1]
    if words.is_english(last):
        return words.is_usual_name(last) and not words.is_heading(last) and found[0].istitle() and len(found[0]) > 4
    return not words.is_eponym(last) and not words.is_city(last) and (words.is_name(last) or found[0].istitle())


def first_name(text: str, start: int, end: int) -> bool:
    """ "Lisa T." but not "Hepatitis B."."""
    first = text[start:end].split(maxsplit=1)[0]
    if words.is_eponym(first) and not words.is_usual_first_name(first):
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
    before = words.words_in(text[max(0, start - 16) : start])
    if before and words.is_phrase(f"{before[-1]} {word}"):  # "Ivor Lewis"
        return False
    if words.is_city(word) or words.EPONYM_TAIL.match(text, end):
        return False
    after = words.words_in(text[end : end + 16])
    if after and words.is_phrase(f"{word} {after[0]}"):  # "Karl Storz"
        return False
    if words.may_be_eponym(word):
        return not evidence.names_a_thing(text, start, end)
    return not evidence.is_model(text, end)


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
    given = words.is_first_name(first) or (
        first.isupper() and surname.isupper() and not words.is_english(first) and len(first) > 3
    )
    shouted = surname.isupper() and words.is_usual_first_name(first) and not words.is_english(surname)
    known = words.is_name(surname) or (shouted and not words.is_eponym(surname) and len(surname) > 4)
    return given and known and not words.is_usual_first_name(surname)


def unlabelled(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Where a name stands and other words may, too: up to the first of a form or of medicine, more than ordinary words."""
    name = words.name_within(text, start, end)
    if not name or name[0] != start:
        return False
    found: list[str] = []
    stop = start
    for match in _WORD.finditer(text, *name):
        if _belongs_elsewhere(match[0]):
            if text[match.start() - 1] == "-":  # "MALDI-TOF"
                return False
            break
        found.append(match[0])
        stop = match.end()
    found = [word for word in found if len(word) > 1]
    if not any(words.is_frequent_name(word) or not words.is_common(word) for word in found):
        return False
    if len(found) == 1 and not _single(found[0]):
        return False
    if evidence.names_a_thing(text, start, stop) or words.EPONYM_TAIL.match(text, stop):
        return False
    return start, stop


def record_start(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Two words at least: "DoD ID" is no person's."""
    name = unlabelled(text, start, end)
    return isinstance(name, tuple) and " " in text[name[0] : name[1]] and name


def _belongs_elsewhere(word: str) -> bool:
    """To a form, to medicine, to an eponym that nobody is called by; or an abbreviation."""
    if words.is_heading(word) or (word.isupper() and 1 < len(word) <= 4 and not words.is_usual_name(word)):
        return True
    return not words.is_name(word) and (words.is_medical(word) or words.is_eponym(word))


def _single(word: str) -> bool:
    if word.isupper() and len(word) <= 4:
        return words.is_surname(word) and not words.is_english(word)
    if word == "Claude" or word.lower() in KIN:
        return False
    return words.is_name(word) or not (words.is_english(word) or _INFLECTED.search(word))


def known_person(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """The same with a word that a list has as a name."""
    name = unlabelled(text, start, end)
    if not isinstance(name, tuple):
        return False
    found = words.words_in(text[name[0] : name[1]])
    return words.is_first_name(found[0]) and not words.is_city(text[name[0] : name[1]]) and name


def subject(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """In front of what only people do: "Hope says", "Will denies"."""
    found = words.words_in(text[start:end])
    if len(found) == 1 and words.is_usual_first_name(found[0]) and not words.is_heading(found[0]):
        return found[0].lower() not in KIN and not found[0].isupper()
    return unlabelled(text, start, end)


def aged(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """In front of an age: "Summer, 16F" with a comma."""
    return (subject if text[end : end + 1] == "," else unlabelled)(text, start, end)


def surname_initial(text: str, start: int, end: int) -> bool:
    """ "Whitcombe, T."; not "Hepatitis, B"."""
    surname = text[start:end].partition(",")[0]
    if (
        words.is_heading(surname)
        or words.is_medical(surname)
        or words.is_common(surname)
        or words.may_be_eponym(surname)
    ):
        return False
    return words.is_surname(surname) or not words.is_english(surname)


def lower_unlabelled(text: str, start: int, end: int) -> bool:
    """ "b4 llewellyn-pryce", "tran 55m": a known name, or a long word that no list has."""
    value = text[start:end]
    found = words.words_in(value)
    if any(words.is_heading(word) or (words.is_english(word) and len(found) == 1) for word in found):
        return False
    return all(map(words.is_name, found)) or len(value) > 6


def initialled(text: str, start: int, end: int) -> bool:
    """ "R. Sandoval"; neither "E. coli" nor "H. Pylori"."""
    word = words.words_in(text[start:end])[-1]
    plain = (
        words.is_english(word)
        or words.is_heading(word)
        or words.may_be_eponym(word)
        or words.EPONYM_TAIL.match(text, end)
    )
    return words.is_surname(word) and not plain


def lower_role(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """ "neighbour geoff", "doctor okonjo": a name that is no word, or behind a title no word of any list."""
    first, _, last = text[start:end].partition(" ")
    if words.EPONYM_TAIL.match(text, end):  # "Sister Mary Joseph nodule"
        return False
    titled = text[max(0, start - 7) : start].lower().endswith(("doctor ", "nurse ", "doc "))
    if words.is_heading(first) or words.is_medical(first) or words.is_english(first) or first.lower() in KIN:
        return False
    if not words.is_first_name(first) and not (titled and not first.lower().endswith(("ing", "ed"))):
        return False
    whole = bool(last) and words.is_surname(last) and not words.is_english(last)
    return start, end if whole else start + len(first)


NAME_CHECKS: tuple[Check, ...] = (
    unlabelled,
    record_start,
    known_person,
    subject,
    aged,
    surname_initial,
    lower_role,
    initialled,
    lower_unlabelled,
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
