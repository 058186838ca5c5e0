"""Names, places and facilities by spaCy's named entities, where a sentence gives reason to look.

spaCy costs several times what all rules cost together, so only sentences with a capitalised word outside the safe
vocabulary are read; clinical prose has few. The model's own labels are filtered: OntoNotes calls drugs, procedures and
eponyms PERSON.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.rules import evidence
from services.inference.clients.presidio.analyzer.rules.place_checks import PLACE_TAIL, SOCIETY
from services.inference.domain.phi.spans import Span, merge

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]{0,2}\s+(?=[^a-z])|\n+")
_ABBREVIATED = re.compile(r"(?:\b(?:(?i:Dr|Mr|Mrs|Ms|St|Mt|Ft|Jr|Sr|Prof|vs|approx|Inc)|No|e\.g|i\.e|[A-Z])\.)\Z")
_WORD = re.compile(r"[^\W\d_][^\W\d_]*(?:['’\-][^\W\d_]+)*")
_CAPITALISED = re.compile(r"(?<![^\W_])[A-ZÀ-ÖØ-ÞĀ-ŽḀ-ỿ][^\W\d_]*(?:['’\-][^\W\d_]+)*")
_LABELS = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "FACILITY", "ORG": "FACILITY"}
_SCORES = {"PERSON": 0.85, "LOCATION": 0.8, "FACILITY": 0.75}
_FACILITY_WORD = re.compile(
    r"\b(?:hospital|clinic|medical|health(?:care)?|hospice|rehab|infirmary|nursing|pharmacy|university|college|school|institute|"
    r"cent(?:er|re)|care|memorial|general|regional|mayo|sinai|kaiser|cleveland|johns hopkins|mercy|st\.?|saint|practice|"
    r"physicians|surgical|surgery|oncology|cardiology|pediatrics|orthopedics|labs?|laboratory|diagnostics|dialysis)\b",
    re.IGNORECASE,
)
# The state is no identifier (45 CFR 164.514(b)(2)(i)(B) begins below it), nor is the country.
_STATES = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "alabama,alaska,arizona,arkansas,california,colorado,connecticut,delaware,florida,georgia,hawaii,idaho,illinois,indiana,"
        "iowa,kansas,kentucky,louisiana,maine,maryland,massachusetts,michigan,minnesota,mississippi,missouri,montana,nebraska,"
        "nevada,new hampshire,new jersey,new mexico,north carolina,north dakota,ohio,oklahoma,oregon,pennsylvania,rhode island,"
        "south carolina,south dakota,tennessee,texas,utah,vermont,virginia,washington state,west virginia,wisconsin,wyoming,"
        "united states,usa,us,u.s.,u.s.a.,america,al,ak,az,ar,ca,co,ct,de,fl,ga,hi,id,il,ia,ks,ky,la,md,ma,mi,mn,ms,mo,mt,ne,"
        "nv,nh,nj,nm,ny,nc,nd,oh,ok,or,pa,ri,sc,sd,tn,tx,ut,vt,va,wa,wv,wi,wy"
    ).split(",")
)


# Small words in front of a capital that are no particle of a name.
_LEAD = re.compile(
    r"(?:(?!(?:van|von|de|der|den|da|di|del|della|dela|delos|das|do|la|le|bin|binti?|ibn|ben|al|el|dos|du|ter|ten|zu|abu|st|mc|o|y|e)\b)"
    r"[a-z]{1,12}[ /.]{1,2}){1,3}(?=[^\Wa-z_])"
)
_TO_PLACE = re.compile(r"(?<![a-z])(?:in|from|to|at|near|of|outside) \Z", re.IGNORECASE)


class Ner(Protocol):
    def __call__(self, text: str) -> Iterable[tuple[int, int, str]]:
        """(start, end, OntoNotes label) of each named entity."""
        ...


@lru_cache(maxsize=1)  # asked for twice in a row
def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Rough sentences: cheap, and wrong only in ways that make one longer."""
    return tuple(_sentences(text))


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match.group()[0] != "\n" and _ABBREVIATED.search(text, max(start, match.start() - 8), match.start()):
            continue
        if text[start : match.start()].strip():
            yield start, match.start()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)


def suspicious(text: str, start: int, end: int, covered: Sequence[Span], starts: Sequence[int]) -> bool:
    """Whether a sentence holds a capitalised word that is neither known to be harmless nor found already.

    `starts` are those of the covered spans.
    """
    for match in _CAPITALISED.finditer(text, start, end):
        if match.end() - match.start() > 1 and not words.is_safe(match.group()):
            index = bisect_right(starts, match.start()) - 1
            if index < 0 or covered[index].end < match.end():
                return True
    return False


def detect(text: str, ner: Ner, found: Iterable[Span] = (), *, gated: bool = True) -> list[Span]:
    """Detections of the sentences that are worth a look. They are read in one go: a call costs as much as a sentence.

    `found` is what the rules have: a sentence whose every name is known needs no second reader. Not `gated`: the whole text
    is read too, as it stands, because the model judges a name by what is around it.
    """
    covered = merge(found)
    begun = [span.start for span in covered]
    pieces: list[str] = []
    starts: list[int] = []  # in what is read
    shifts: list[int] = []  # from there to the text
    length = 0
    for start, end in sentences(text):
        if suspicious(text, start, end, covered, begun):
            pieces.append(text[start:end])
            starts.append(length)
            shifts.append(start - length)
            length += end - start + 1
    spans = [] if gated else list(_named(text, ner))
    if pieces:
        for span in _named("\n".join(pieces), ner):
            shift = shifts[bisect_right(starts, span.start) - 1]
            spans.append(replace(span, start=span.start + shift, end=span.end + shift))
    return spans


def _named(text: str, ner: Ner) -> Iterator[Span]:
    for start, end, label in ner(text):
        kind = _LABELS.get(label)
        if kind and (span := _accepted(text, start, end, kind, label)):
            yield span


def _accepted(text: str, start: int, end: int, kind: str, label: str) -> Span | None:
    value = text[start:end]
    newline = value.find("\n")
    if newline >= 0:
        end = start + newline
        value = text[start:end]
    stripped = value.strip(" \t.,;:()[]\"'“”*#-")
    if not stripped:
        return None
    start = text.index(stripped, start)
    end = start + len(stripped)
    if lead := _LEAD.match(text, start, end):  # "w/ Hashimoto", "rob Peter"
        start = lead.end()
        stripped = text[start:end]
    if kind == "LOCATION" and (PLACE_TAIL.match(text, end) or _eponym_for_place(text, start, end)):
        return None
    if words.EPONYM_TAIL.match(text, end) or (words.EPONYM_TAIL.search(stripped) and kind != "FACILITY"):
        return None
    found = [word for word in _WORD.findall(stripped) if len(word) > 1]
    if not found or stripped.islower():
        return None
    if any(c.isdigit() for c in stripped) and kind != "PERSON":
        return None
    if kind == "PERSON":
        return _person(text, start, end, found)
    if found[0] == "Mayo" and kind == "FACILITY" and evidence.among_eponyms(text, start, end):  # scissors
        return None
    judge = {"LOCATION": _location, "FACILITY": _facility}[kind]
    return Span(start, end, kind, _SCORES[kind], "ner") if judge(stripped, found, label) else None


def _person(text: str, start: int, end: int, found: list[str]) -> Span | None:
    """OntoNotes' PERSON takes in titles, drugs and the word in front of a comma: what is left of it has to be a name."""
    comma = text.rfind(", ", start, end)
    if comma >= 0 and not words.name_within(text, start, comma):
        start = comma + 2
    name = words.name_within(text, start, end)
    if name is None or any(map(str.isdigit, text[name[0] : name[1] + 1])):
        return None
    start, end = name
    found = [word for word in _WORD.findall(text, start, end) if len(word) > 1]
    if not found or text[start:end].islower() or _acronym(found):
        return None
    if len(found) == 1:
        word = found[0]
        if word.isupper() and len(word) <= 5:
            return None
        if (words.is_english(word) and not words.is_name(word)) or word == "Claude":  # "Hello, Claude" greets the model
            return None
        if evidence.is_order(text, start, end) or (words.is_heading(word) and not words.is_usual_first_name(word)):
            return None
    elif _product(found):
        return None
    if evidence.names_a_thing(text, start, end) or (
        not any(map(words.is_name, found)) and evidence.is_foreign(text, start, end)
    ):
        return None
    return Span(*name, "PERSON", _SCORES["PERSON"], "ner")


def _eponym_for_place(text: str, start: int, end: int) -> bool:
    """The model takes "Wellens" or "Abbott" for a place; a town needs a sign that a score of its name is meant.

    In other languages it takes nouns for one.
    """
    if words.is_city(text[start:end]):
        return evidence.scores(text, start, end) and not _TO_PLACE.search(text, max(0, start - 8), start)
    if evidence.is_foreign(text, start, end):
        return True
    return words.may_be_eponym(text[start:end]) and not _TO_PLACE.search(text, max(0, start - 8), start)


def _acronym(found: list[str]) -> bool:
    """ "Summarise DAPA-HF", "DICOM UID": a short word of capitals beside others is no name."""
    parts = [part for word in found for part in word.split("-")]
    short = [part for part in parts if part.isupper() and 1 < len(part) <= 4 and not words.is_name(part)]
    return bool(short) and (len(short) < len(parts) or len(parts) > len(found))


def _product(found: list[str]) -> bool:
    """ "Zimmer Persona": a maker's name and a word that nobody is called by."""
    return (
        len(found) == 2
        and not words.is_first_name(found[0])
        and words.is_english(found[1])
        and not words.is_name(found[1])
    )


def _location(value: str, found: list[str], _label: str) -> bool:
    if len(found) == 1 and words.is_eponym(found[0]) and not words.is_city(found[0]):
        return False
    if value.lower().removeprefix("the ") in _STATES:
        return False
    if value.isupper() and len(value) <= 4 and not words.is_city(value):
        return value == "NYC"
    if all(words.is_heading(word) or words.is_medical(word) for word in found):
        return False
    return any(
        words.is_city(word) or words.is_name(word) or not words.is_common(word) for word in found
    ) or words.is_city(value)


def _facility(value: str, found: list[str], label: str) -> bool:
    if SOCIETY.search(value):
        return False
    if all(words.is_heading(word) or words.is_medical(word) for word in found):
        return False
    if value.isupper() and len(value) <= 6:
        return False
    return bool(_FACILITY_WORD.search(value)) and any(not words.is_heading(word) for word in found)
