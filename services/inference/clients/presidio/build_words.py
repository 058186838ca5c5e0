"""Makes `data/words.txt.gz` and `data/towns.txt.gz` from public word lists; data/README.md tells where they come from.

Run by hand when a source is replaced:

    python -m services.inference.clients.presidio.build_words SYMSPELL_DICTIONARY NAMES_FOLDER CITIES15000_JSON CITIES5000_JSON DRUG_PICKLE

One line a word: `flags<TAB>word`; flags: c common English, k less common English, f first name, s surname, p place, d drug.
"""

import bz2
import gzip
import json
import pickle
import sys
from pathlib import Path

from services.inference.clients.presidio.towns import fold

COMMON_RANK = 25_000
KNOWN_RANK = 62_000
SURNAME_RANK = 30_000
WORLD_CITY = 100_000


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
    for city in json.loads(cities.read_text()).values():
        if city["countrycode"] == "US" or city["population"] >= WORLD_CITY:
            add(city["name"], "p")
    with bz2.open(drugs) as file:
        variants = pickle.load(file)["drug_variant_to_canonical"]  # noqa: S301 - a file that the maintainer fetched
    for drug in variants:
        if drug.isalpha() and drug.isascii() and len(drug) >= 5:
            add(drug, "d")
    lines = [f"{''.join(sorted(kinds))}\t{word}" for word, kinds in sorted(flags.items())]
    _write("words.txt.gz", lines)
    _write(
        "towns.txt.gz",
        sorted({fold(town["name"]) for town in json.loads(towns.read_text()).values() if len(town["name"]) > 2}),
    )


def _write(file: str, lines: list[str]) -> None:
    target = Path(__file__).with_name("data") / file
    target.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    sys.stdout.write(f"{file}: {len(lines)} lines, {target.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
