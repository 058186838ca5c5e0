"""Addresses grow to their ends, over the parts beside what a rule or a town's name has found."""

import time

import pytest

from services.inference.clients.presidio.analyzer.addresses import address_line, grown, rural
from services.inference.clients.presidio.analyzer.towns import fold, is_ordinary, is_town
from services.inference.domain.phi.spans import Span


def found_by(text: str) -> list[str]:
    return [text[span.start : span.end] for span in grown(text, [])]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("CNIC 42101-4471820-3, House R-9, Block 4-D, Gulberg, Lahore. Cell", "House R-9, Block 4-D, Gulberg, Lahore"),
        ("Ana Ruiz, C.C. 1.032, Cra. 11 # 82-10, apto 3, Medellín, EPS", "Cra. 11 # 82-10, apto 3, Medellín"),
        ("at Leof. Syngrou 40, 117 42 Athina. Tel", "Leof. Syngrou 40, 117 42 Athina"),
        ("Sokolská 1605/66\n120 00 Praha 2", "Sokolská 1605/66\n120 00 Praha 2"),
        (
            "in B-204, Sunrise Apartments, Link Road, Mumbai - 400053",
            "B-204, Sunrise Apartments, Link Road, Mumbai - 400053",
        ),
    ],
)
def test_a_town_at_the_end_brings_its_address(text: str, address: str):
    assert found_by(text) == [address]


@pytest.mark.parametrize(
    "text",
    [
        "Ferritin 44, Hb 12, Split dose 2, and INR 1.1",
        "Ki-67 20, Nottingham grade 2",
        "Keppra 500, Ativan 2, Boston criteria met",
        "Phase 3, Denmark",
        "seen in Paris, Berlin, Vienna",
        "NEJM 2019, Boston",
    ],
)
def test_a_list_is_no_address(text: str):
    assert found_by(text) == []


@pytest.mark.parametrize(
    ("text", "value", "whole"),
    [
        ("of 22 orchard close, wivenhoe, neighbour", "22 orchard close", "22 orchard close, wivenhoe"),
        ("Munkegata 22, 7011 Trondheim. 58", "Munkegata 22", "Munkegata 22, 7011 Trondheim"),
        (
            "Rua Azul, 5, Vila Mariana, São Paulo - SP, 04104-020. Cel",
            "Rua Azul",
            "Rua Azul, 5, Vila Mariana, São Paulo - SP, 04104-020",
        ),
        ("12 Oak Street, Patient denies", "12 Oak Street", "12 Oak Street"),
        ("12 Oak Street, Leeds daughter nearby", "12 Oak Street", "12 Oak Street, Leeds"),
        ("Via Verdi 14, 40126 Bologna (BO), tel", "Via Verdi 14", "Via Verdi 14, 40126 Bologna (BO)"),
    ],
)
def test_an_address_goes_on_to_its_end(text: str, value: str, whole: str):
    start = text.index(value)
    spans = grown(text, [Span(start, start + len(value), "STREET_ADDRESS", 0.9, "street")])
    assert [text[span.start : span.end] for span in spans] == ([whole] if whole != value else [])


def test_a_number_of_a_house_needs_a_place_behind_it():
    text = "Hse No. C114/3, Kokomlemle, Accra. Unit 2, Transfusion complete"
    assert address_line(text, 0, 14) == (0, text.index(". Unit"))
    start = text.index("Unit 2")
    assert not address_line(text, start, start + 6)
    assert rural("RD 3, Te Puke 3183.", 0, 4) == (0, 18)
    assert not rural("RR 16, Sats 97, HR 80", 0, 5)


def test_towns_are_known_without_their_accents_and_ordinary_words_told_apart():
    assert all(map(is_town, ("Łódź", "Wivenhoe", "København")))
    assert fold("İstanbul") == "istanbul"
    assert all(map(is_ordinary, ("Reading", "Denmark")))
    assert not is_ordinary("Boston")


@pytest.mark.parametrize(
    "text",
    ["Aa, " * 300, "1, " * 400, "Aa 1, Bb\n" * 150, "London, " * 150, "1 London " * 130, ", London" + "A" * 1200],
)
def test_no_text_makes_it_slow(text: str):
    is_town("the lists are read at first use")
    spans = [Span(at, at + 2, "LOCATION", 0.9, "rule") for at in range(0, len(text) - 2, 8)]
    started = time.process_time()
    grown(text, spans)
    assert (time.process_time() - started) * 1000 < 100
