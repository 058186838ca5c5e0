"""Capitals for text that was typed without any, or with nothing else: the rules and the model read names by their capitals.

The result has the same length, so its offsets are the text's own.
"""

import re
from dataclasses import dataclass

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.person_ner import sentences

_PROPER = re.compile(r"(?<=\s)[A-Z][a-z]{2,}")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?\.?")
_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isalpha() or code > 127)
_NO_CAPITALS = bytes(code for code in range(256) if not chr(code).isupper() or code > 127)
_TITLES = frozenset({"mr.", "mrs.", "ms.", "dr.", "prof.", "mr", "mrs", "ms", "dr", "miss", "st.", "mt.", "ft."})
_BEFORE_PLACE = frozenset({"in", "from", "at", "near", "to", "of", "outside", "our"})
_HOUSES = frozenset(
    {
        "hospital",
        "clinic",
        "medical",
        "health",
        "general",
        "memorial",
        "presbyterian",
        "hopkins",
        "sinai",
        "hosp",
        "hospice",
    }
)
_ANNOUNCE = frozenset(
    {
        "named",
        "called",
        "patient",
        "pt",
        "name",
        "for",
        "mother",
        "father",
        "daughter",
        "son",
        "wife",
        "husband",
        "sister",
    }
    | {
        "brother",
        "male",
        "female",
        "man",
        "woman",
        "boy",
        "girl",
        "dear",
        "by",
        "contact",
        "guarantor",
        "provider",
        "nurse",
    }
)
# First names that are other words more often.
_WORDS = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "mark,bill,will,may,rose,grace,faith,hope,joy,pat,art,gene,frank,grant,chance,dawn,crystal,ruby,pearl,amber,holly,ivy,iris,"
        "violet,hazel,melody,harmony,summer,autumn,april,june,august,drew,chase,sue,ray,jean,robin,carol,dale,miles,max,sandy,rich,"
        "randy,chuck,earnest,an,so,see,has,in,man,do,my,lay,lee,long,young,white,black,brown,green,king,price,day,case,page,stone,"
        "wood,field,rice,park,lane,banks,hand,head,foot,love,noble,gay,sharp,strong,short,small,little,bright,rush,cross,mercy,story,"
        "major,royal,sterling,forest,cliff,rod,don,van,guy,lance,clay,heath,reed,sage,sky,star,penny,patience,constance,precious,angel"
    ).split(",")
)
_MAJOR = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "boston,chicago,houston,dallas,atlanta,denver,seattle,phoenix,austin,miami,philadelphia,detroit,cleveland,baltimore,portland,"
        "memphis,nashville,louisville,milwaukee,albuquerque,tucson,fresno,sacramento,oakland,minneapolis,tampa,cincinnati,pittsburgh,"
        "orlando,brooklyn,manhattan,london,paris,toronto,springfield,cambridge,rochester,buffalo,syracuse,richmond,charlotte,raleigh,"
        "columbus,indianapolis,jacksonville,omaha,tulsa,wichita,anaheim,honolulu,lexington,stockton,newark,lincoln,plano,stanford"
    ).split(",")
)


@dataclass(frozen=True, slots=True)
class Recased:
    """A run of sentences with new capitals. `shouted`: all were capitals, so those of the original mean nothing."""

    start: int
    text: str
    shouted: bool

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def recased(text: str) -> list[Recased]:
    """The runs of the text that get capitals where names may be."""
    runs: list[Recased] = []
    for start, end in sentences(text):
        sentence = text[start:end]
        loud = _is_loud(sentence)
        if not loud and _PROPER.search(sentence):
            continue
        changed = _sentence(sentence.lower() if loud else sentence)
        if changed == sentence or len(changed) != len(sentence):
            continue
        last = runs[-1] if runs else None
        if last and start - last.end <= 2 and last.shouted == loud:
            runs[-1] = Recased(last.start, last.text + text[last.end : start] + changed, loud)
        else:
            runs.append(Recased(start, changed, loud))
    return runs


def _is_loud(sentence: str) -> bool:
    """Whether it is in capitals."""
    if sentence.isascii():
        plain = sentence.encode()
        letters, capitals = len(plain.translate(None, _NO_LETTERS)), len(plain.translate(None, _NO_CAPITALS))
    else:
        letters, capitals = sum(map(str.isalpha, sentence)), sum(c.isalpha() and c.isupper() for c in sentence)
    return letters > 12 and capitals > 0.8 * letters


def _sentence(sentence: str) -> str:
    tokens = list(_TOKEN.finditer(sentence))
    found = [token.group() for token in tokens]
    raised: set[int] = set()
    for index, (token, word) in enumerate(zip(tokens, found, strict=True)):
        if not word.islower():
            continue
        bare = word.rstrip(".")
        before = found[index - 1].lower() if index else ""
        between = sentence[tokens[index - 1].end() : token.start()] if index else ""
        after = found[index + 1].rstrip(".") if index + 1 < len(tokens) else ""
        named = _is_name(bare, before if len(between) <= 2 else "") or _is_pair(bare, after)
        if named or (word in _TITLES and index + 1 < len(tokens)):
            raised.add(index)
        if named or between not in (" ", "-"):
            continue
        follows = index - 1 in raised and before not in _HOUSES and _follows_name(word, bare)
        place = before in _BEFORE_PLACE and (bare in _MAJOR or (words.is_city(bare) and not words.is_common(bare)))
        titled = before in _TITLES and not (found[index - 1] in ("MR", "MS") and _is_plain(bare))
        if titled or follows or place:
            raised.add(index)
        elif bare in _HOUSES and (index - 1 in raised or _may_name_house(before)):
            raised |= {index - 1, index}
    changed = list(sentence)
    for index in raised:
        start = tokens[index].start()
        if len(changed[start].upper()) == 1:
            changed[start] = changed[start].upper()
    return "".join(changed)


def _is_name(word: str, previous: str) -> bool:
    if len(word) < 3 or words.is_heading(word) or words.is_medical(word):
        return False
    if words.is_usual_first_name(word) and word not in _WORDS:
        return words.is_frequent_name(word) or not words.is_common(word)
    return previous in _ANNOUNCE and not words.is_english(word) and not word.endswith(("'d", "ing", "ed"))


def _is_pair(first: str, last: str) -> bool:
    """A rarer first name, in front of what may be a surname."""
    if len(first) < 4 or len(last) < 4 or first in _WORDS or not words.is_usual_first_name(first):
        return False
    return _follows_name(last, last) and last not in _HOUSES and not words.is_common(last)


def _follows_name(word: str, bare: str) -> bool:
    if len(bare) == 1:
        return word.endswith(".")
    if words.is_heading(bare) or words.is_medical(bare) or len(bare) < 3:
        return bare in _HOUSES
    return words.is_surname(bare) or not words.is_common(bare)


def _is_plain(word: str) -> bool:
    """ "MR brain", "MS flare"."""
    return words.is_heading(word) or words.is_medical(word) or (words.is_english(word) and not words.is_name(word))


def _may_name_house(word: str) -> bool:
    return len(word) > 3 and not words.is_heading(word) and not words.is_medical(word)
