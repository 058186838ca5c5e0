"""The rules' table: what each kind of rule finds, and that no text makes any of them slow."""

import json
import re
import time
from pathlib import Path

import pytest

from services.inference.clients.presidio.analyzer import words
from services.inference.clients.presidio.analyzer.encoded import encoded_runs
from services.inference.clients.presidio.analyzer.fields import field_values
from services.inference.clients.presidio.analyzer.hl7 import segment_fields
from services.inference.clients.presidio.analyzer.names import compound_names, lower_case_names
from services.inference.clients.presidio.analyzer.normalise import View, second_views
from services.inference.clients.presidio.analyzer.person_ner import sentences
from services.inference.clients.presidio.analyzer.rules.rule_set import RuleSet
from services.inference.clients.presidio.analyzer.rules.table import Rule, load
from services.inference.clients.presidio.analyzer.structured import named_values
from services.inference.domain.phi.spans import merge

ADVERSARIAL = [
    "A-" * 600,
    "a-" * 600,
    "1-" * 600,
    "1 " * 600,
    "A " * 600,
    "Aa " * 400,
    "Aa-" * 400,
    "Aa1 " * 300,
    "1Aa " * 300,
    "aa aa " * 200,
    "a.a." * 300,
    "a@a." * 300,
    "1" * 1200,
    "a" * 1200,
    "A" * 1200,
    " " * 1200,
    "\n" * 1200,
    "." * 1200,
    "-" * 1200,
    ": # = " * 200,
    "mrn id no # " * 100,
    "mrn: is was are of as " * 55,
    "12 Aa Bb Street, Cc, " * 57,
    "12 Aa 12 Bb\n" * 100,
    "1.1.1.1." * 150,
    "1:1:1:1:" * 150,
    "jan feb mar 1 2 3 " * 66,
    "Dr. A. B. Aa de la " * 63,
    "patient name is named called " * 41,
    "phone fax tel call ((((" * 52,
    "Hospital of the Clinic at University " * 32,
    "St. Aa's of the Aa & " * 57,
    "(01)12345678901234(17)" * 54,
    "4111-" * 240,
    "https://" * 150,
    "é-" * 600,
    "Éé " * 400,
    "a.a @ a . a" * 100,
    "AA,AA " * 200,
    "2024 mar 1 " * 100,
    "1.I.2024 " * 130,
]
# Milliseconds a rule may take for 1,200 characters, with room for a busy machine.
LIMIT = 60.0

RULES = load()
SMALL = Path(__file__).parents[1] / "phi_eval" / "small"


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return RuleSet()


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_no_text_makes_a_rule_slow(rule: Rule):
    slowest = max((_milliseconds(rule, text), text[:24]) for text in ADVERSARIAL)
    assert slowest[0] < LIMIT, slowest


def _milliseconds(rule: Rule, text: str) -> float:
    started = time.process_time()
    for _ in rule.pattern.finditer(text):
        pass
    return (time.process_time() - started) * 1000


# What the steps before and beside the rules look for.
ADVERSARIAL_MARKS = [
    "aa " * 400 + "a",
    "a: " * 400,
    "%41" * 400,
    "%25" * 400,
    "&#1;" * 300,
    "&amp;" * 240,
    "one two " * 150,
    "J.o." * 300,
    'a="' * 400,
    '{"a":' * 240,
    '[["a":' * 200,
    "<a>" * 400,
    "<a b=" * 240,
    "[a](" * 300,
    "](" * 600,
    "PID|" * 300,
    "=4D=\n" * 200,
    "aA_b-" * 240,
    "a_" * 600,
    "into a (b) values (" * 60,
    "UGF0" * 300,
    "UGF0aWVudDogTWFyZ2V0\n" * 60,
    "41 " * 400,
    "123_45_6789_" * 100,
    "123 dash " * 130,
]


@pytest.mark.parametrize("text", [*ADVERSARIAL, *ADVERSARIAL_MARKS])
def test_no_text_makes_the_rest_slow(text: str):
    words.is_first_name("the lists are read at first use")
    started = time.process_time()
    view = View(text)
    list(encoded_runs(view.text))
    field_values(view.text)
    lower_case_names(view.text)
    list(compound_names(view.text))
    list(named_values(view.text))
    list(segment_fields(view.text))
    list(second_views(view.text))
    list(sentences(view.text))
    assert (time.process_time() - started) * 1000 < LIMIT


@pytest.mark.parametrize("text", ADVERSARIAL, ids=range(len(ADVERSARIAL)))
def test_the_prefilter_loses_nothing(rules: RuleSet, text: str):
    assert rules.detect(text) == rules.detect_unfiltered(text)


def test_the_prefilter_loses_nothing_of_notes(rules: RuleSet):
    for path in SMALL.glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["text"]
            assert rules.detect(text) == rules.detect_unfiltered(text)


def test_the_prefilter_loses_nothing_of_the_worlds_forms(rules: RuleSet):
    cases = Path(__file__).with_name("categories.txt").read_text(encoding="utf-8")
    for line in re.sub("[«»]", "", cases).splitlines():
        if not line.isascii():
            assert rules.detect(line) == rules.detect_unfiltered(line)


def test_a_long_text_is_read_in_windows_without_loss(rules: RuleSet):
    notes = [
        json.loads(line)["text"]
        for path in SMALL.glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    text = "\n\n".join(notes)[:30_000] + " see https://a.example/" + "x" * 1500 + "?id=7 today"
    assert merge(rules.detect(text)) == merge(rules.detect_unfiltered(text))


@pytest.mark.parametrize(
    ("text", "value", "entity"),
    [
        ("MRN: 4827193", "4827193", "MEDICAL_RECORD_NUMBER"),
        ("chart number MR879757 was", "MR879757", "MEDICAL_RECORD_NUMBER"),
        ("filed under mrn 2280 pending", "2280", "MEDICAL_RECORD_NUMBER"),
        ("SSN 000-12-3456", "000-12-3456", "US_SSN"),
        ("his social security number is 536 22 8812", "536 22 8812", "US_SSN"),
        ("last four of SSN: 8812", "8812", "US_SSN"),
        ("Medicare 1EG4-TE5-MK73", "1EG4-TE5-MK73", "US_MBI"),
        ("health plan member ID is HPX-77-40921", "HPX-77-40921", "US_HEALTH_INSURANCE_MEMBER_ID"),
        ("Billing account 6620148833 was charged", "6620148833", "ACCOUNT_NUMBER"),
        ("charged to 4111 1111 1111 1111 today", "4111 1111 1111 1111", "CREDIT_CARD"),
        ("IBAN GB10LORI20288482594042", "GB10LORI20288482594042", "IBAN_CODE"),
        ("DEA AB1234563", "AB1234563", "MEDICAL_LICENSE"),
        ("NPI: 1234567893", "1234567893", "US_NPI"),
        ("provider license number is 1841007193", "1841007193", "LICENSE_NUMBER"),
        ("driver's license D1234567", "D1234567", "US_DRIVER_LICENSE"),
        ("VIN 1HGCM82633A004352", "1HGCM82633A004352", "VEHICLE_ID"),
        ("plate 8XYZ432", "8XYZ432", "VEHICLE_ID"),
        ("Device serial SN-CG5-881207X.", "SN-CG5-881207X", "DEVICE_ID"),
        ("UDI (01)00643169007222(17)160712(21)A1B2", "(01)00643169007222(17)160712(21)A1B2", "DEVICE_ID"),
        ("Voiceprint template VP-559A", "VP-559A", "BIOMETRIC_ID"),
        ("on file as marisol_frontal_2024.jpg", "marisol_frontal_2024.jpg", "PHOTO"),
        ("study code CRIMSON-0447", "CRIMSON-0447", "UNIQUE_ID"),
        ("passport X1234567", "X1234567", "UNIQUE_ID"),
        ("write to jane.doe+a@mail.example.org", "jane.doe+a@mail.example.org", "EMAIL_ADDRESS"),
        ("at nurse@ward.local", "nurse@ward.local", "EMAIL_ADDRESS"),
        ("jane (at) clinic (dot) org", "jane (at) clinic (dot) org", "EMAIL_ADDRESS"),
        ("see https://a.example/p?id=7.", "https://a.example/p?id=7", "URL"),
        ("from 10.34.201.7", "10.34.201.7", "IP_ADDRESS"),
        ("from 2001:db8::8a2e:370:7334", "2001:db8::8a2e:370:7334", "IP_ADDRESS"),
        ("call (559) 555-0142", "(559) 555-0142", "PHONE_NUMBER"),
        ("559.555.0142 rings", "559.555.0142", "PHONE_NUMBER"),
        ("+44 20 7946 0958", "+44 20 7946 0958", "PHONE_NUMBER"),
        ("faxed to (312) 555-0198", "(312) 555-0198", "FAX_NUMBER"),
        ("on 03/14/2024", "03/14/2024", "DATE_TIME"),
        ("on 2024-03-14T10:00:00Z", "2024-03-14T10:00:00Z", "DATE_TIME"),
        ("on March 14th, 2024", "March 14th, 2024", "DATE_TIME"),
        ("on the third of July and", "the third of July", "DATE_TIME"),
        ("14 Mar 2024", "14 Mar 2024", "DATE_TIME"),
        ("in March 2024", "March 2024", "DATE_TIME"),
        ("DOB 19800102", "19800102", "DATE_TIME"),
        ("a 94-year-old woman", "94-year-old", "AGE"),
        ("age: 101", "101", "AGE"),
        ("at 4417 Old Kettle Rd, Fresno, CA 93726.", "4417 Old Kettle Rd, Fresno, CA 93726", "STREET_ADDRESS"),
        ("P.O. Box 104", "P.O. Box 104", "STREET_ADDRESS"),
        ("the mailing ZIP on the chart is 93291", "93291", "US_ZIP_CODE"),
        ("in Tulare County", "Tulare County", "LOCATION"),
        ("to Larchhaven Infusion Centre", "Larchhaven Infusion Centre", "FACILITY"),
        ("Dr. Hélène Mori reviewed", "Hélène Mori", "PERSON"),
        ("Patient: Amélie van Dijk.", "Amélie van Dijk", "PERSON"),
        ("Otto Underhill, MD", "Otto Underhill", "PERSON"),
        ("patient name: bob williams", "bob williams", "PERSON"),
    ],
)
def test_a_rule_finds_it(rules: RuleSet, text: str, value: str, entity: str):
    found = [(text[s.start : s.end], s.entity_type) for s in rules.detect(text)]
    assert (value, entity) in found, found


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, HR 72, SpO2 98%, temp 37.1 C.",
        "A 54-year-old man with Hodgkin lymphoma and Parkinson disease since 2019.",
        "An 89-year-old woman took 500 mg metformin twice daily for 14 days.",
        "Glasgow coma scale 15; Mini-Mental State Examination score 28/30; pain 5/10.",
        "CHA2DS2-VASc score of 4, HbA1c 7.2%, eGFR 45 mL/min, INR 2.5.",
        "Stage 3 CKD with type 2 diabetes, 20/20 vision, ratio 1:200.",
        "What are the ADA guidelines on insulin dosing in patients over 65?",
        "The patient may walk 30 minutes 5 times a week.",
        "Give 0.9% saline 100 mL at 08:30.",
        "COVID-19 and SARS-CoV-2 vaccination schedules, ICD-10 code E11.9.",
    ],
)
def test_clinical_prose_is_left_alone(rules: RuleSet, text: str):
    assert [(text[s.start : s.end], s.recognizer) for s in rules.detect(text)] == []
