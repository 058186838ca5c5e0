"""Makes `data/words.txt.gz` and `data/towns.txt.gz` from public word lists; data/README.md tells where they come from.

Run by hand when a source is replaced:

    python -m services.inference.clients.presidio.analyzer.build_words SYMSPELL_DICTIONARY NAMES_FOLDER CITIES1000_JSON CITIES5000_JSON DRUG_PICKLE

with faker installed. One line a word: `flags<TAB>word`; flags: c common English, k less common English, f first name and
s surname of the United States, F and S of the world, p place, d drug.
"""

import bz2
import gzip
import json
import pickle
import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from services.inference.clients.presidio.analyzer.towns import fold

COMMON_RANK = 25_000
KNOWN_RANK = 62_000
SURNAME_RANK = 30_000
WORLD_CITY = 100_000
# First names that are words without a plural, or places.
_WORDS_TOO = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "many,january,august,jan,april,june,china,miles,else,numbers,irish,sterling,latina,ebony,amber,drew,patience,trinity,genesis,karma,"
        "scarlet,misty,rusty,windy,dusty,angelic,prudence,chastity,ora,lore,candida,avis,ethyl,mica,mercedes,venus,isis,vita,vida,modesto,"
        "minerva,wiley,sandy,hazel,basil,goldie,stormy,booker,lacy,terra,meta,via,della,del,una,india,asia,kenya,florida,georgia,virginia,"
        "alberta,argentina,burma,dominica,pearly,noma,lino,bari,emerita,reva,sima,leda,errol,fonda,hosea,angeles,santa,hong,rico,ashanti,"
        "porsche,buffy,sung,dung,yer,hui,asa,alba,mai,cher,elmo,claude,jung,palma,dixie,trinidad,alma,luna,santos,ola,lis,yuk,maris,noel"
    ).split(",")
)
_LATIN_NAME = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ'’]{3,}")


def main(dictionary: Path, names: Path, cities: Path, towns: Path, drugs: Path) -> None:
    flags: dict[str, set[str]] = {}

    def add(word: str, flag: str) -> None:
        if len(word) > 1:
            flags.setdefault(word.lower(), set()).add(flag)

    for line in dictionary.read_text(encoding="utf-8-sig").splitlines()[:KNOWN_RANK]:
        add(line.split()[0], "k" if len(flags) >= COMMON_RANK else "c")
    for file in ("dist.female.first", "dist.male.first"):
        for line in (names / file).read_text().splitlines():
            add(line.split()[0], "f")
    for line in (names / "dist.all.last").read_text().splitlines()[:SURNAME_RANK]:
        add(line.split()[0], "s")
    for word in _only_names(dictionary, {word for word, kinds in flags.items() if "f" in kinds}):
        flags[word] -= set("ck")
    for city in json.loads(cities.read_text()).values():
        if city["countrycode"] == "US" or city["population"] >= WORLD_CITY:
            add(city["name"], "p")
    with bz2.open(drugs) as file:
        variants = pickle.load(file)["drug_variant_to_canonical"]  # noqa: S301 - a file that the maintainer fetched
    for drug in variants:
        if drug.isalpha() and drug.isascii() and len(drug) >= 5:
            add(drug, "d")
    world = list(_world_names(import_module("faker.providers.person")))
    for word in _only_names(dictionary, {word for word, _ in world if len(word) > 4 and flags.get(word) == {"k"}}):
        flags[word] -= {"k"}
    for word, flag in world:
        for form in {word, fold(word)}:
            if not flags.get(form, set()) & set("ckd"):
                add(form, flag)
    lines = [f"{''.join(sorted(kinds))}\t{word}" for word, kinds in sorted(flags.items())]
    _write("words.txt.gz", lines)
    _write(
        "towns.txt.gz",
        sorted({fold(town["name"]) for town in json.loads(towns.read_text()).values() if len(town["name"]) > 2}),
    )


def _only_names(dictionary: Path, first_names: set[str]) -> set[str]:
    """First names that the dictionary has in no other form: "rachel", but neither "mark" (marked) nor "rose" (roses)."""
    known = {line.split()[0] for line in dictionary.read_text(encoding="utf-8-sig").splitlines()}
    return {word for word in first_names - _WORDS_TOO if not known.intersection(_forms(word))}


def _forms(word: str) -> set[str]:
    stem = word[:-1]
    forms = {word + ending for ending in ["s", "es", "ed", "ing", "ly", "er", "ers", "ness", "y", "al", "ic"]}
    forms |= {word + word[-1] + ending for ending in ("ing", "ed", "er")}
    if word.endswith("e"):
        forms |= {stem + "ing", word + "d", word + "r", stem + "y"}
    if word.endswith("y"):
        forms |= {stem + "ies", stem + "ied", stem + "ier", stem + "ily"}
    return forms


def _world_names(people: ModuleType) -> Iterator[tuple[str, str]]:
    """(word, F or S) of the names in Latin letters that faker has for some sixty languages and countries."""
    for module in pkgutil.iter_modules(people.__path__):
        provider = import_module(f"{people.__name__}.{module.name}").Provider if module.ispkg else None
        for field in dir(provider):
            found = re.search(r"first_names?|given|middle|last_names?|surname|family", field)
            entries = getattr(provider, field)
            if not found or not isinstance(entries, (tuple, list, dict)):
                continue
            for entry in entries:
                for word in re.split(r"[\s\-]+", entry if isinstance(entry, str) else str(entry[-1])):
                    if _LATIN_NAME.fullmatch(word):
                        yield word.lower(), "S" if found[0].startswith(("last", "surname", "family")) else "F"


def _write(file: str, lines: list[str]) -> None:
    target = Path(__file__).with_name("data") / file
    target.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    sys.stdout.write(f"{file}: {len(lines)} lines, {target.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
