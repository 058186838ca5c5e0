"""What stands around a word that may be a person's name or the name of a disease, a score, a device, a book."""

import re

from services.inference.clients.presidio.analyzer import words

# What people do and diseases do not, and how patients are introduced.
_PERSONAL_AFTER = re.compile(
    r"""(?:['’]s)?,?[ ](?:
        says?|said|denies|denied|reports|reported|states|stated|complains|complained|wants|wanted|asks|asked|told|tells|feels|felt|
        lives|lived|works|worked|came|comes|went|goes|called|calls|phoned|rang|texted|arrived|agrees|agreed|declined|declines|
        refuses|refused|thinks|thought|knows|likes|hates|needs|takes|took|drinks|smokes|fell|slept|ate|cried|walked|tolerated|
        presents|presented|returned|returns|underwent|remains|recalls|admits|consented|signed|reviewed|examined|assisted|will|
        (?:is|was)[ ](?:an?[ ])?(?:\d{1,3}|afebrile|alert|aware|stable|seen|admitted|discharged|here|worried|anxious|upset|happy|
            concerned|due|on|doing|feeling|still|now|your|my|our|her|his|the)\b|
        has[ ](?:a|an|had|been|no|not|type|stage|chronic)\b|
        and[ ](?:her|his|their)\b|
        (?:\(|\[)?\d{1,3}[ ]?(?:M\b|F\b|yo\b|y/o|y\.o|years?\b|yrs?\b|[mf]\b)|
        \((?:she|he|they|mother|father|wife|husband|son|daughter|sister|brother|RN|MD)
    )""",
    re.VERBOSE,
)
_PERSONAL_BEFORE = re.compile(
    r"""(?<![A-Za-z])(?:
        dr|mr|mrs|ms|miss|mx|prof|doctor|nurse|patients?|pts?|client|sister|brother|daughter|son|wife|husband|mother|father|mum|mom|dad|
        aunt|uncle|friend|neighbou?r|partner|carer|colleague|attending|resident|surgeon|paged|told|asked|saw|met|seeing|called|texted|
        emailed|phoned|named|says|said|explained|dear|hi|hello|hey|thanks|regards|signed|
        (?:spoke|spoken|speak|discussed|reviewed|met|meeting|talked|talk|consulted|session|appointment|appt|call|handover)[ ](?:with|w/|to|from|by)
    )\.?[ ,:]{1,2}\Z""",
    re.VERBOSE | re.IGNORECASE,
)
# "Fisher 4", "Schatzker V", "Brugada type 1", "Ann Arbor IIB"; not "Fisher 45F".
_GRADED = re.compile(
    r"(?:['’]s)?[ \-](?:(?i:type|grade|stage|class|score|level|part|zone)\b|(?:I{2,3}|I?V|VI{0,3}|I?X|I(?![.]))[AB]?(?![A-Za-z])|"
    r"[<>≥≤=]|\d{1,3}(?:\.\d{1,2})?(?:[+/]\d)?(?:-?[a-d])?(?![\w:])(?! ?(?:yo|y/o|y\.|years?|yrs?|M\b|F\b|[mf]\b|[AaPp]\.?[Mm])))"
)
_MODEL = re.compile(r" (?:[A-Z]{1,2}\d{3,4}|\d{3,4}[A-Z]{1,2})(?![\w\-])")
_CODE = re.compile(r" [A-Z]\d{1,2}(?!\w)")
_ROMAN = re.compile(r" [IVX]{1,3}\Z")
_JUDGED = re.compile(
    r"(?:['’]s)?(?: (?:is|was|were|and|or|to be))?,? (?:positive|negative|equivocal|absent|present|normal|abnormal|intact|neg|pos|"
    r"criteria|definition|consensus|versus|vs)(?![a-z])"
)
_REVISED = re.compile(r"(?<![A-Za-z])(?:revised|modified|simplified|original|updated) \Z", re.IGNORECASE)
_BESIDE_STUDY = re.compile(r"(?:,? and|,? or|,| vs\.?|/) ?(?!USA|NHS|UK)[A-Z]{4,9}(?:-[A-Z0-9]{1,6})?(?![\w,])(?! \d)")
_PARTICLES = ("von", "van", "de", "der")
# Small words of languages that the model does not know; in German every noun has a capital.
_FOREIGN = re.compile(
    r"(?<![\w'’])(?:und|der|die|das|ist|bei|für|nicht|eine[rnms]?|oder|wie|el|los|las|del|que|por|para|con|una|su|les|des|est|pour|"
    r"avec|dans|une|et|au|il|gli|della|di|che|non|è|het|een|met|niet|naar|em|com|não|uma|ao|och|att|som|för|på|og|til|nie|się|jest|"
    r"dan|yang|dengan|untuk|ve|bir|ile|için|của|là|cho|không|po|ng|sa|ang)(?!\w)"
)
_NEAR = 30
_OBJECT = re.compile(
    r" (?:the|an?|this|that|these|those|all|each|any|every|its|your|my|it|them|dose|daily|rate|flow|of|"
    r"single|total|up|out|off|down|as|for|whether|if)(?![A-Za-z])"
)


_MAXIMUM = re.compile(
    r"\.? (?:\d|(?:adult|p(?:a)?ediatric|single|total|daily|dose|rate|flow|temp|hr|bp|assist|a|x|of|per|weekly|infusion|bolus|inspiratory|"
    r"pressure|score|velocity|gradient|diameter|intensity|number|length|size)(?![A-Za-z]))",
    re.IGNORECASE,
)


def is_model(text: str, end: int) -> bool:
    """ "Evita V500": what a maker numbers."""
    return bool(_MODEL.match(text, end))


def names_a_thing(text: str, start: int, end: int) -> bool:
    """Whether the word or the pair with a hyphen is an eponym by what stands around it."""
    found = words.words_in(text[start:end])
    if words.is_phrase(text[start:end]) or is_model(text, end):
        return True
    if _ROMAN.search(text, start, end) and not words.is_usual_first_name(found[0]):
        return len(found) == 2
    if _GRADED.match(text, end) and len(found) == 1 and not words.is_usual_first_name(found[0]):
        return True
    if len(found) > 1:
        return _eponym_pair(text[start:end]) and not _is_personal(text, start, end)
    if not words.may_be_eponym(found[0]):
        return bool(_JUDGED.match(text, end)) and not words.is_usual_first_name(found[0])
    if _GRADED.match(text, end) or _JUDGED.match(text, end) or _CODE.match(text, end):
        return True
    if words.is_frequent_name(found[0]) or _is_personal(text, start, end):
        return False
    sure = words.is_eponym(found[0]) and not words.is_usual_first_name(found[0])
    return sure or among_eponyms(text, start, end)


def scores(text: str, start: int, end: int) -> bool:
    """Whether it is a score's or a study's: "Geneva 4", "Ottawa negative", "revised Geneva", "Framingham and SHEP"."""
    return bool(
        _GRADED.match(text, end)
        or _JUDGED.match(text, end)
        or _REVISED.search(text, max(0, start - 12), start)
        or _BESIDE_STUDY.match(text, end)
    )


def is_foreign(text: str, start: int, end: int) -> bool:
    """Whether the words around are of another language than English."""
    around = _FOREIGN.findall(text, max(0, start - 120), end + 120)
    return len(set(around)) > 2


def is_order(text: str, start: int, end: int) -> bool:
    """ "Bill the visit", "Mark the site": a verb at the beginning of a sentence."""
    word = text[start:end]
    if word in ("Max", "Min") and _MAXIMUM.match(text, end):
        return True
    begins = (
        not text[max(0, start - 2) : start].strip(" ")
        or text[max(0, start - 2) : start].rstrip()[-1:] in ".!?:;\n-•\"'“‘("
    )
    return begins and words.is_common(word) and bool(_OBJECT.match(text, end))


def among_eponyms(text: str, start: int, end: int) -> bool:
    """ "Fowler's; Sims; Lloyd-Davies": what many people are called is an eponym beside one that few are."""
    around = words.words_in(text[max(0, start - _NEAR) : start]) + words.words_in(text[end : end + _NEAR])
    return any(word[0].isupper() and words.is_eponym(word) for word in around)


def _eponym_pair(value: str) -> bool:
    """ "Birt-Hogg-Dube", "Von Hippel-Lindau": all eponyms, or one that nobody is called by."""
    particle, _, joined = value.rpartition(" ")
    if particle.lower() in _PARTICLES and words.is_eponym(joined) and not words.is_usual_name(joined):  # "De Quervain"
        return True
    if "-" not in joined or value.lower() not in (
        joined.lower(),
        *(f"{particle} {joined.lower()}" for particle in _PARTICLES),
    ):
        return False
    found = words.words_in(joined)
    return all(map(words.may_be_eponym, found)) or any(
        words.is_eponym(word) and not words.is_usual_name(word) for word in found
    )


def _is_personal(text: str, start: int, end: int) -> bool:
    return bool(_PERSONAL_AFTER.match(text, end) or _PERSONAL_BEFORE.search(text, max(0, start - 24), start))
