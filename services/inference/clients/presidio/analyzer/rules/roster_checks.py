"""Checks of the rules in `recognizers/rosters.toml`: names as they stand in lists, sign-outs and messages between colleagues."""

import re

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules.name_checks import KIN, Check

_INFLECTED = re.compile(r"(?:ing|ed|ly|tion|ment|ness|ity|ous|able|ible|ful|less|ise|ize)\Z")
_MEDICAL = re.compile(
    r"\A(?:hemo|haemo|hyper|hypo|cardio|neuro|nephro|gastro|hepat|immuno|radio|angio|electro|echo|broncho|thrombo)|(?:pap|scan|lysis|tomy|test|gram)\Z"
)
_VOWEL = re.compile(r"[aeiouyà-öø-ÿ]", re.IGNORECASE)
_AGED = re.compile(r"(?<![\w.\-/])[A-Z][a-z'’\-]{1,20} (?:[1-9]\d?|10\d)[MF](?!\w)")
_GOES_ON = re.compile(
    r" (?!(?:and|or|at|on|in|to|re|from|with|w|for|rn|md|np|notified|aware|informed|called|paged|present)(?![a-z]))[a-z]"
)
_NEAR = 120
_MODALS = frozenset(
    {"may", "will", "can", "mark", "bill", "grant", "art", "chase", "drew", "sue", "pat", "rob", "skip"}
)
_NO_NAMES = KIN | frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "service today tonight home admin team call case mama papa dada grandma grandpa nanny auntie mommy daddy pop family pt doc em ed or"
    ).split()
)


def is_listed(word: str) -> bool:
    """A name of the lists that is little else."""
    return (
        words.is_name(word)
        and word.lower() not in _SPECIALTIES
        and not (
            words.is_common(word) or words.is_heading(word) or words.may_be_eponym(word) or word.lower() in _NO_NAMES
        )
    )


_SPECIALTIES = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "ortho neuro derm cards endo rheum psych peds onc heme pulm ophtho nephro hepatology gastro optho urogyn obgyn bipap cpap ambu "
        "tmax temp ett poa dpoa mpoa nok hcp"
    ).split()
)


def is_borne(word: str) -> bool:
    """A name of the census, though a word as well: for places where little else stands."""
    return (words.is_usual_name(word) and not words.is_heading(word) and not words.is_medical(word)) or is_listed(word)


def is_unknown(word: str) -> bool:
    """A word of no list that reads like one: neither an abbreviation nor a form of a verb."""
    if (
        len(word) < 5
        or word.lower() in _SPECIALTIES
        or _MEDICAL.search(word.lower())
        or _INFLECTED.search(word.lower())
        or not _VOWEL.search(word)
    ):
        return False
    parts = [part for part in word.split("-") if len(part) > 1]
    return not any(
        words.is_english(part) or words.is_heading(part) or words.is_medical(part) or words.may_be_eponym(part)
        for part in parts
    )


def may_name(word: str) -> bool:
    """What stands in a name's place, and is neither of a form nor of medicine, nor an ordinary word that nobody bears."""
    if words.is_heading(word) and not words.is_usual_first_name(word):
        return False
    if words.is_name(word):
        return not (words.is_medical(word) and words.is_common(word)) and word.lower() not in _NO_NAMES
    return not (words.is_english(word) or words.is_medical(word) or words.is_eponym(word))


def lower_listed(text: str, start: int, end: int) -> bool:
    """Where a bed's or an hour's name stands in lower case."""
    word = text[start:end]
    return (is_listed(word) and not words.is_english(word)) or is_unknown(word)


def lower_aged(text: str, start: int, end: int) -> bool:
    """ "tran 55M": in front of an age and a sex few other words stand."""
    found = words.words_in(text[start:end])
    if any(words.is_heading(word) or words.is_medical(word) or words.is_eponym(word) for word in found):
        return False
    return any(words.is_usual_name(word) or is_listed(word) for word in found) or (
        end - start > 3 and text[start:end] not in _SPECIALTIES and may_name(text[start:end])
    )


def lower_known(text: str, start: int, end: int) -> bool:
    """The same where other words are usual: a name of the lists alone."""
    word = text[start:end]
    return is_listed(word) and not words.is_english(word)


def lower_greeted(text: str, start: int, end: int) -> bool:
    """ "hey kev can u": no word, or a first name that is none."""
    word = text[start:end]
    return word not in _NO_NAMES and not (words.is_english(word) or words.is_heading(word) or words.is_medical(word))


def lower_greeted_or_kin(text: str, start: int, end: int) -> bool:
    """ "mom yer pushed button": a name of the lists, or no word at all."""
    word = text[start:end]
    if words.is_usual_first_name(word):
        return word not in _NO_NAMES and not words.is_heading(word) and word not in _MODALS
    return (is_listed(word) or is_unknown(word)) and lower_greeted(text, start, end)


def lower_known_first(text: str, start: int, end: int) -> bool:
    """ "tech lorcan"."""
    word = text[start:end]
    return (words.is_usual_first_name(word) or is_listed(word)) and not (
        words.is_heading(word) or words.is_medical(word) or word in _MODALS or word in _NO_NAMES or words.is_city(word)
    )


def by_role(text: str, start: int, end: int) -> bool | tuple[int, int]:
    """Behind a role that is not used without a name, or behind "relieved by"."""
    found = words.words_in(text[start:end])
    first = found[0]
    if words.EPONYM_TAIL.match(text, end) or words.is_phrase(text[start:end]):
        return False
    if first.isupper() and 1 < len(first) <= 4 and not is_listed(first):
        return False
    if not may_name(found[-1]):
        if len(found) == 1:
            return words.is_usual_first_name(first) and not _GOES_ON.match(text, end)
        end = start + text[start:end].rindex(" ")
    if not may_name(first) and len(first) > 1:
        return False
    if first.lower() in _MODALS or (words.is_common(first) and not words.is_usual_name(first)):
        return not _GOES_ON.match(text, end) and (start, end)
    return start, end


def per_person(text: str, start: int, end: int) -> bool:
    """ "per Okafor": other things are more often behind it than people."""
    found = words.words_in(text[start:end])
    double = len(found) > 1
    return any(words.is_surname(word) and not words.is_city(word) for word in found) and not any(
        (words.is_english(word) and not double) or words.may_be_eponym(word) or words.is_heading(word) for word in found
    )


def aged_alone(text: str, start: int, end: int) -> bool:
    """ "Reed 31M": a name that is a word, too; "Day 40F" where others are listed beside it."""
    word = text[start:end]
    if word.lower() in _NO_NAMES:
        return False
    if not (words.is_heading(word) or words.is_medical(word) or words.may_be_eponym(word)):
        return words.is_name(word) or not words.is_english(word)
    beside = [match[0].split()[0] for match in _AGED.finditer(text, max(0, start - _NEAR), end + _NEAR)]
    return words.is_name(word) and sum(map(is_listed, beside)) >= 1 and len(beside) > 2


def glued_name(text: str, start: int, end: int) -> bool:
    """ "38FAmaia"."""
    word = text[start:end]
    return words.is_name(word) or not (words.is_english(word) or words.is_medical(word))


def capitals_listed(text: str, start: int, end: int) -> bool:
    """ "TE WHATA, R" in front of an age or a record number."""
    found = [word for word in words.words_in(text[start:end]) if len(word) > 1]
    if any(words.is_heading(word) or words.is_medical(word) for word in found):
        return False
    return any(words.is_name(word) or (len(word) > 4 and not words.is_english(word)) for word in found)


def nickname(text: str, start: int, end: int) -> bool:
    """ "goes by Bug"."""
    return not any(words.is_heading(word) or words.is_medical(word) for word in words.words_in(text[start:end]))


def nicknamed(text: str, start: int, end: int) -> bool:
    """ "“Smokey” Littlefeather"."""
    last = words.words_in(text[start:end])[-1]
    return not (words.is_english(last) or words.is_heading(last) or words.may_be_eponym(last))


def known_first(text: str, start: int, end: int) -> bool:
    """ "Sione T passing gas"."""
    word = text[start:end].split(maxsplit=1)[0]
    return words.is_first_name(word) and not words.is_english(word) and not words.may_be_eponym(word)


def spelled(text: str, start: int, end: int) -> bool:
    """Letters one by one, which the view of the text has as a word; not those of the alphabet."""
    letters = text[start:end]
    if letters.lower() in "abcdefghijklmnopqrstuvwxyz" or words.is_heading(letters) or words.is_medical(letters):
        return False
    return words.is_name(letters) or not words.is_english(letters)


def lower_related(text: str, start: int, end: int) -> bool:
    """ "nani (daughter)"."""
    word = text[start:end]
    return lower_greeted(text, start, end) and word not in _SPECIALTIES and bool(_VOWEL.search(word))


def signed_alone(text: str, start: int, end: int) -> bool:
    """A first name as a paragraph's only word."""
    word = text[start:end]
    return (words.is_usual_first_name(word) or is_listed(word)) and not (
        words.is_heading(word) or words.is_medical(word)
    )


def pedigree(text: str, start: int, end: int) -> bool:
    """ "II-2 Leire": people of a family tree."""
    word = text[start:end]
    return is_borne(word) or (may_name(word) and not words.is_english(word))


ROSTER_CHECKS: tuple[Check, ...] = (
    lower_listed,
    lower_aged,
    lower_known,
    lower_greeted,
    lower_greeted_or_kin,
    lower_known_first,
    by_role,
    per_person,
    aged_alone,
    glued_name,
    capitals_listed,
    nickname,
    nicknamed,
    known_first,
    spelled,
    lower_related,
    signed_alone,
    pedigree,
)
