"""Names by the lines around them: `rosters.py`."""

import pytest

from services.inference.clients.presidio.analyzer.rosters import listed_names

_PEOPLE = {
    "[ ] Teixeira - recheck K at 2200\n[x] Abdullahi - pain ctrl\n[ ] Mbanefo: if sbp <90 bolus": [
        "Teixeira",
        "Abdullahi",
        "Mbanefo",
    ],
    "Szymanski - gabapentin - ok\nHaverkamp - tramadol - deny\nQuintanilla - norvasc - ok": [
        "Szymanski",
        "Haverkamp",
        "Quintanilla",
    ],
    "OR 3 0730 BANERJEE LAP APPY\nOR 4 0800 FITZWILLIAM TKA\nOR 5 0930 OYELOWO ORIF": [
        "BANERJEE",
        "FITZWILLIAM",
        "OYELOWO",
    ],
    "CALL LIST\nTesfaye\nBrandvold\nNakagawa": ["Tesfaye", "Brandvold", "Nakagawa"],
    "Ramos: can we stop tele\nMe: yes\nRamos: and the foley?\nMe: pull it": ["Ramos", "Ramos"],
}
_THINGS = (
    "1) Lisinopril - refill\n2) Metformin - needs A1c\n3) Ozempic - prior auth\n4) Skyrizi - denied",
    "[ ] Labs - am draw\n[ ] Kocher clamp - count\n[x] Foley - out\n[ ] Consent - signed",
    "1. Allis\n2. Babcock\n3. Kelly\n4. Metzenbaum\n5. DeBakey\n6. Richardson",
    "OR1 0730 Whipple\nOR2 0800 Nissen\nOR3 0900 Hartmann\nOR4 1000 Heller",
    "Braden - 14\nMorse - 60\nNorton - 12\nWaterlow - 20",
    "0800 Vancomycin 1 g\n1200 Heparin check\n1600 Zosyn 3.375\n2000 Lovenox 40",
    "User: what is a Whipple\nAssistant: an operation\nUser: and a Nissen?\nAssistant: another",
    "Claude: hello\nHuman: hi\nClaude: how are you\nHuman: good",
    "Wells - 4\nGeneva - 6",
)


@pytest.mark.parametrize(("text", "names"), _PEOPLE.items())
def test_a_list_of_people_names_them_all(text: str, names: list[str]) -> None:
    assert sorted({text[span.start : span.end] for span in listed_names(text)}) == sorted(set(names))


@pytest.mark.parametrize("text", _THINGS)
def test_a_list_of_things_names_nobody(text: str) -> None:
    assert listed_names(text) == []
