"""What kind of word a capitalised word is. See data/README.md for where the lists come from."""

import gzip
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

# A text asks for each of its words a dozen times. In a worker's memory alone, as the words of the text itself.
_remembered = lru_cache(maxsize=1 << 13)
_DATA = Path(__file__).with_name("data")
_SPLIT = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SUFFIXES = re.compile(
    r"(?:mab|nib|pril|sartan|statin|olol|azole|cillin|mycin|floxacin|cycline|tidine|prazole|gliptin|gliflozin|glutide|"
    r"triptan|setron|vir|pam|lam|caine|dipine|oxetine|afil|parin|xaban|barbital|sone|solone|onide|"
    r"itis|osis|phagia|phasia|kinesia|esthesia|urea|edema|ostasis|ectasis|emesis|emia|aemia|oma|opathy|ectomy|otomy|ostomy|oscopy|plasty|gram|graphy|algia|pnea|uria|plegia|paresis|"
    r"megaly|penia|cytosis|rrhea|rrhage|trophy|sclerosis|stenosis|philia|phobia|ology|ologist|iatric|iatry|bacter|coccus|bacillus|monas|plasma)s?\Z"
    # German, Italian, French and Spanish nouns that are no names
    r"|(?:[^\W\d_]{4}[bdfghklrstz]ung(?:en|s)?|heit(?:en)?|igkeit(?:en)?|schaft|ität(?:en)?|pflicht|flimmern|spiegelung|nummern?|akten?|leitlinien?|"
    r"insuffizienz|zione|zioni|scopía|scopie|grafía|graphie|tomía|tomie|patía|pathie|amientos?|imientos?)\Z"
)
# What stands behind an eponym: "Murphy sign", "Wells' criteria", "the Glasgow coma scale".
EPONYM_TAIL = re.compile(
    r"(?:['’]s?|s['’])?(?:[ \-](?:coma|modified|risk|exact|reflective|perivascular|white|rank|rank[ \-]sum|signed[ \-]rank|type|severity|"
    r"cervical|heart|pain|lymphoma|mini[ \-]?mental|body|performance|depression|anxiety|fall|sleepiness|memory|"
    r"activity|severity|pneumonia|bleeding|motor|functional|stroke))?[ \-]{1,2}"
    rf"(?:{'|'.join(_DATA.joinpath('eponym_nouns.txt').read_text(encoding='utf-8').split())})(?:s|es)?(?![a-z])",
    re.IGNORECASE,
)


# Names of scores and operations that read like a person's.
_PHRASES = frozenset(
    {
        "ann arbor",
        "army navy",
        "becton dickinson",
        "hill rom",
        "karl storz",
        "richard wolf",
        "welch allyn",
        "kia ora",
        "le fort",
        "saint vitus",
        "st jude",
        "van der waals",
        "von willebrand",
        "jackson pratt",
        "mallory weiss",
        "miller fisher",
        "grey turner",
        "ivor lewis",
        "hunt hess",
        "miller abbott",
        "marcus gunn",
        "graham steell",
        "austin flint",
        "argyll robertson",
        "ramsay hunt",
        "rocky mountain",
        "st george",
        "wong baker",
        "mann whitney",
        "hardy weinberg",
        "bay nielsen",
        "roper logan tierney",
        "paul bunnell",
        "weil felix",
        "mary joseph",
        "claude sonnet",
        "claude opus",
        "claude haiku",
    }
)
_MONTHS = frozenset("january february march april may june july august september october november december".split())  # noqa: SIM905
_FREQUENT = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "james,john,robert,michael,william,david,richard,charles,joseph,thomas,daniel,paul,mark,donald,george,kenneth,steven,edward,brian,"
        "ronald,anthony,kevin,jason,gary,larry,frank,scott,eric,stephen,andrew,raymond,jerry,walter,patrick,peter,harold,henry,carl,arthur,"
        "ryan,joe,jack,albert,jonathan,justin,terry,keith,samuel,ralph,lawrence,nicholas,roy,benjamin,bruce,adam,harry,fred,billy,louis,"
        "jeremy,aaron,howard,eugene,carlos,russell,victor,martin,jesse,alan,shawn,philip,chris,johnny,antonio,bryan,luis,mike,stanley,"
        "mary,patricia,linda,barbara,elizabeth,jennifer,maria,susan,margaret,dorothy,lisa,nancy,karen,betty,helen,sandra,donna,carol,ruth,"
        "sharon,michelle,laura,sarah,kimberly,deborah,jessica,shirley,cynthia,angela,melissa,brenda,amy,anna,rebecca,virginia,kathleen,"
        "pamela,martha,debra,amanda,stephanie,carolyn,christine,marie,janet,catherine,frances,ann,alice,joyce,diane,julie,heather,teresa,"
        "doris,gloria,evelyn,jean,cheryl,mildred,katherine,joan,ashley,judith,janice,nicole,judy,christina,kathy,theresa,beverly,denise,"
        "tammy,irene,jane,lori,rachel,marilyn,andrea,kathryn,louise,sara,anne,jacqueline,wanda,bonnie,julia,ruby,lois,tina,emily,robin,"
        "peggy,crystal,rose,dawn,grace,olivia,emma,sophia,mia,isabella,ava,ethan,noah,liam,mason,logan,lucas,jacob,oliver,elijah,tom,bob,"
        "bill,jim,tim,dan,sam,ben,max,leo,nina,ella,clara,vera,nora,iris,ivy,hazel,violet,faith,hope,joy,miles,otto,hugo,felix,oscar"
    ).split(",")
)


@cache
def _lists() -> dict[str, frozenset[str]]:
    kinds: dict[str, set[str]] = {kind: set() for kind in "ckfspdFS"}
    for line in gzip.decompress((_DATA / "words.txt.gz").read_bytes()).decode().splitlines():
        flags, _, word = line.partition("\t")
        for flag in flags:
            kinds[flag].add(word)
    kinds["p"].update((_DATA / "places.txt").read_text(encoding="utf-8").splitlines())
    return {kind: frozenset(found) for kind, found in kinds.items()}


@cache
def _eponyms() -> frozenset[str]:
    return frozenset((_DATA / "eponyms.txt").read_text(encoding="utf-8").split())


@cache
def _shared_eponyms() -> frozenset[str]:
    return frozenset((_DATA / "shared_eponyms.txt").read_text(encoding="utf-8").split())


@cache
def _titles() -> frozenset[str]:
    return frozenset(_DATA.joinpath("headings.txt").read_text(encoding="utf-8").split())


@_remembered
def is_common(word: str) -> bool:
    """An ordinary English word, or a medical one; it may be a name as well."""
    word = _bare(word)
    return word in _lists()["c"] or is_medical(word)


@_remembered
def is_english(word: str) -> bool:
    """Common, or at least in the dictionary; many names are."""
    return is_common(word) or _bare(word) in _lists()["k"]


@_remembered
def is_medical(word: str) -> bool:
    word = _bare(word)
    if word in _lists()["d"] or word in _titles():
        return True
    return bool(_SUFFIXES.search(word)) and not is_name(word)  # "Ifeoma", "Islam"


@_remembered
def is_first_name(word: str) -> bool:
    word = _bare(word)
    return word in _lists()["f"] or word in _lists()["F"]


@_remembered
def is_usual_first_name(word: str) -> bool:
    """One of the census: few of them are words of another language."""
    return _bare(word) in _lists()["f"]


@_remembered
def is_usual_name(word: str) -> bool:
    """In the census."""
    word = _bare(word)
    return word in _lists()["f"] or word in _lists()["s"]


@_remembered
def is_surname(word: str) -> bool:
    word = _bare(word)
    return word in _lists()["s"] or word in _lists()["S"]


def is_name(word: str) -> bool:
    return is_first_name(word) or is_surname(word)


def is_frequent_name(word: str) -> bool:
    """A first name that a reader takes for one although it is a word as well."""
    return _bare(word) in _FREQUENT


def is_city(words: str) -> bool:
    return words.lower() in _lists()["p"]


@_remembered
def is_eponym(word: str) -> bool:
    """Of a disease, a sign, a score or a device, and of few living people."""
    return _bare(word) in _eponyms()


def may_be_eponym(word: str) -> bool:
    """Of a disease or a device, though many people bear it: "Miller", "Cook"."""
    plain = _unaccented(_bare(word))
    return plain in _eponyms() or plain in _shared_eponyms()


@_remembered
def is_heading(word: str) -> bool:
    """A word of forms and notes that is capitalised and yet no name: "Allergies", "Telehealth"."""
    return _bare(word) in _titles()


@_remembered
def is_safe(word: str) -> bool:
    """No sentence needs a second look for the sake of this capitalised word."""
    bare = _bare(word)
    if bare in _titles():
        return True
    lists = _lists()
    if any(bare in lists[kind] for kind in "fspFS"):
        return False
    return bare in lists["c"] or bare in lists["d"] or bare in _eponyms() or bool(_SUFFIXES.search(bare))


def words_in(text: str) -> list[str]:
    return _SPLIT.findall(text)


def may_be_person(text: str) -> bool:
    """Whether at least one word could be somebody's name."""
    return any(
        not is_heading(word) and (is_name(word) or not is_common(word)) for word in words_in(text) if len(word) > 1
    )


def name_within(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The part of a capitalised run that may be a person's name: up to the first word of a form, without edges of them."""
    first: int | None = None
    last = start
    named = False
    for match in _SPLIT.finditer(text, start, end):
        word = match.group()
        form = (is_heading(word) or is_medical(word)) and not (
            is_name(word) and not word.isupper() and word.lower() not in _MONTHS
        )
        if form and len(word) > 1:
            if first is not None:
                break
            continue
        if first is None:
            first = match.start()
        last = match.end()
        named = named or (len(word) > 1 and (is_name(word) or not is_common(word)))
    if first is None or not named or is_phrase(text[first:last]):
        return None
    if last < end and text[last] == ".":
        last += 1 if text[last - 2 : last - 1] in " ." or last - first <= 2 else 0
    return first, last


def surely_named(text: str) -> bool:
    """Whether the words alone, without their capitals, are somebody's or some town's."""
    found = [word for word in words_in(text) if len(word) > 1]
    if not found or any(is_heading(word) or is_medical(word) for word in found) or is_eponym(found[0]):
        return False
    if len(found) == 1:
        return is_frequent_name(found[0]) or is_city(found[0]) or not is_english(found[0])
    return is_first_name(found[0]) or is_city(text) or not any(is_english(word) for word in found)


def may_be_proper(text: str) -> bool:
    """Whether at least one word is more than a form's heading or an ordinary word."""
    found = [word for word in words_in(text) if len(word) > 1]
    return any(not is_heading(word) and (is_name(word) or is_city(word) or not is_common(word)) for word in found)


def is_phrase(text: str) -> bool:
    """A score, an operation or a product that reads like a person."""
    return text.lower().replace("-", " ") in _PHRASES


def _unaccented(word: str) -> str:
    if word.isascii():
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _bare(word: str) -> str:
    word = word.lower()
    return word[:-2] if word.endswith(("'s", "’s")) else word
