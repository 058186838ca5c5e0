"""The scanner as one: rules, named entities, fields and the view that takes disguises off."""

import base64
import json
from collections.abc import Callable

import pytest

from services.inference.clients.presidio.analyzer import engine as presidio
from services.inference.clients.presidio.analyzer.normalise import View
from services.inference.clients.presidio.analyzer.spacy_ner import SpacyNer
from services.inference.domain.phi.json_text import tokens

Mask = Callable[[str], str]


@pytest.fixture(scope="module")
def mask() -> Mask:
    engine = presidio.build()

    def masked(text: str) -> str:
        for span in reversed(presidio.detect(engine, text)):
            text = f"{text[: span.start]}[]{text[span.end :]}"
        return text

    return masked


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


DISGUISED = [
    ("Patient " + "\u200b".join("John Smith") + " was seen", "Patient [] was seen"),
    ("SSN " + "\u200d".join("536-22-8812"), "SSN []"),
    ("SSN: " + wide("536-22-8812"), "SSN: []"),
    ("SSN ٥٣٦-٢٢-٨٨١٢", "SSN []"),
    ("SSN 5 3 6 - 2 2 - 8 8 1 2", "SSN []"),
    ("my ssn is 5 3 6 2 2 8 8 1 2", "my ssn is []"),
    ("SSN 536-22-\n8812", "SSN []"),
    ("SSN 536 – 22 – 8812", "SSN []"),
    ("ssn 536/22/8812", "ssn []"),
    ("SSN **536**-**22**-**8812**", "SSN **[]"),
    ("SSN five three six two two eight eight one two", "SSN []"),
    ("Patient: " + "".join(f"&#{ord(c)};" for c in "John Smith"), "Patient: []"),
    ("mail jane.doe&#64;example.org", "mail []"),
    ("?name=John%20Smith&ssn=536%2D22%2D8812", "?name=[]&ssn=[]"),
    ("see https://ehr.example/p?name=Leopold%20Stanhope&ssn=536-22-8812, please", "see [], please"),
    ("see https://ehr.example/p?name=Leopold+Stanhope&ward=7.", "see []."),
    ("jane.doe [at] example [dot] org", "[]"),
    ("jane dot doe at example dot org", "[]"),
    ("note " + base64.b64encode(b"Patient: John Smith, SSN 536-22-8812").decode(), "note []"),
    ("hex " + b"SSN 536-22-8812".hex(), "hex []"),
    ("Patient: Jоhn Smіth", "Patient: []"),
    ("patient J o h n  S m i t h arrived", "patient [] arrived"),
    ("J.o.h.n S.m.i.t.h was seen", "[] was seen"),
    ("patient jOhN sMiTh was seen", "patient [] was seen"),
    ("Patient: J0hn Sm1th", "Patient: []"),
    ("pt john smith seen", "pt [] seen"),
    ("John_Smith was admitted", "[] was admitted"),
    (r"\u004a\u006f\u0068\u006e Smith was admitted", "[] was admitted"),
    ("call 559~555~0142", "call []"),
    ("Tel 559\u2011555\u20110142", "Tel []"),
    ("DOB: 01\u20442\u20441980", "DOB: []"),
    ("Synthetic contact: jané.patient@example.com", "Synthetic contact: []"),
]


@pytest.mark.parametrize(("text", "expected"), DISGUISED, ids=range(len(DISGUISED)))
def test_a_disguise_does_not_help(mask: Mask, text: str, expected: str):
    assert mask(text) == expected


def test_an_hl7_segment_gives_nothing_away(mask: Mask):
    masked = mask("PID|1||4827193^^^MRN||SMITH^JOHN^A||19800102|M|||12 MAIN ST^^FRESNO^CA^93726||5595550142")
    assert not any(v in masked for v in ("4827193", "SMITH", "JOHN", "1980", "MAIN", "FRESNO", "93726", "555"))


def test_a_table_is_read_by_its_header(mask: Mask):
    text = 'name;dob;ssn;dose\n"Zylo, Qua";1980-01-02;536228812;5\nAri Vek;1981-01-02;536228813;6'
    assert mask(text) == 'name;dob;ssn;dose\n"[]";[];[];5\n[];[];[];6'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pt mary b. seen by dr. smith at mercy hospital in boston", "pt [] seen by dr. [] at []"),
        ("a 55-year-old male, robert smith, with colon cancer", "a 55-year-old male, [], with colon cancer"),
        (
            "PATIENT: CAMILA YARROW WAS SEEN BY DR. SMITH FOR ATRIAL FIBRILLATION",
            "PATIENT: [] WAS SEEN BY DR. [] FOR ATRIAL FIBRILLATION",
        ),
        (
            "what is the dose of lisinopril for a man with chest pain",
            "what is the dose of lisinopril for a man with chest pain",
        ),
    ],
)
def test_names_are_found_without_their_capitals(mask: Mask, text: str, expected: str):
    assert mask(text) == expected


def test_lines_of_a_json_object_are_read_by_their_keys(mask: Mask):
    assert mask("name family: zylo\nname given: qua\nbirth date: 1980-01-02\ndose: 5\nstatus: final") == (
        "name family: []\nname given: []\nbirth date: []\ndose: 5\nstatus: final"
    )
    assert mask("patient: stable and improving\naddress: discuss at next visit") == (
        "patient: stable and improving\naddress: discuss at next visit"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Explain the Framingham risk score and the Ottawa ankle rules.",
        "Beck's triad, Bell's palsy, Graves ophthalmopathy and Hashimoto thyroiditis.",
        "Side effects of Lisinopril, Xarelto and Eliquis? Compare Pfizer and Moderna vaccines.",
        "The Foley catheter was removed. Murphy sign negative. House-Brackmann grade III.",
        "Interpret: Na 140, K 4.2, Cl 102, HCO3 24, BUN 15, Cr 1.1, glucose 98.",
        "Order CBC, CMP, TSH, Lipid Panel, and Hemoglobin A1c.",
        "Vitals: BP 128/82, HR 76, RR 16, Temp 98.6 F, SpO2 97% on RA.",
        "You are a helpful assistant for clinicians. Cite guidelines from NICE, ESC and the WHO.",
        "Assessment and Plan: 1. Heart failure - continue Entresto. 2. Atrial fibrillation.",
        "Lyme disease and Rocky Mountain spotted fever; Staphylococcus aureus; Klebsiella pneumoniae.",
        "Refer to the Diabetes Clinic; follow up with Primary Care in 2 weeks.",
        "Call 911 if symptoms worsen. The suicide hotline is 988.",
    ],
)
def test_medicine_without_a_patient_is_left_alone(mask: Mask, text: str):
    assert mask(text) == text


def test_our_decoder_answers_as_spacys_does():
    ner = SpacyNer()
    texts = [
        "Dr. Hélène Mori saw John Smith of Springfield at Mercy Hospital on May 3.\n\nHis wife, Ana María de la Cruz, called.",
        "Barack Obama",
        "a",
        "   \n ",
        "The New York Times and the University of California, San Francisco, in Paris, Texas.",
        *(text for text, _ in DISGUISED),
    ]
    for text in texts:
        assert list(ner(text)) == ner.spacy_entities(text)


def test_the_view_leads_back_to_what_was_written():
    text = "a&#74;ohn **5 3 6 - 2 2 - 8 8 1 2** \u200bend\u200b."
    view = View(text)
    start = view.text.index("536-22-8812")
    left, right = view.back(start, start + len("536-22-8812"))
    assert text[left:right].startswith("5 3 6 - 2 2 - 8 8 1 2")
    assert view.text.startswith("aJohn ")
    assert text[slice(*view.back(view.text.index("end"), view.text.index("end") + 3))] == "end\u200b"


def test_json_tokens_know_their_keys():
    source = '{"a": {"b": [1, "x", {"c": "\\u0041"}]}, "d": true}'
    found = [(token.text, token.labels) for token in tokens(source)]
    assert found == [
        *(("a", ("a",)), ("b", ("a", "b")), ("1", ("a", "b")), ("x", ("a", "b"))),
        *(("c", ("a", "b", "c")), ("A", ("a", "b", "c")), ("d", ("d",))),
    ]
    assert json.loads(source)["a"]["b"][0] == 1
