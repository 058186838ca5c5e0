from services.inference.domain.phi import PlaceholderMap, Span
from services.inference.domain.phi.entities import ENTITIES, LABELS
from services.inference.domain.phi.leaves import Leaf
from services.inference.domain.phi.masking import mask
from services.inference.domain.phi.spans import merge


def test_all_eighteen_safe_harbor_categories_are_in_the_table():
    assert {entity.letter for entity in ENTITIES} == set("ABCDEFGHIJKLMNOPQR")
    assert len(set(LABELS)) == len(ENTITIES)


def test_forms_of_one_person_share_a_number():
    known = PlaceholderMap()
    assert known.assign("PERSON", "John Smith") == "[PERSON_1]"
    assert known.assign("PERSON", "JOHN  SMITH") == "[PERSON_1]"
    assert known.assign("PERSON", "Smith, John") == "[PERSON_1]"
    assert known.assign("PERSON", "Smith", before="seen with Mr. ") == "[PERSON_1]"
    assert known.value("PERSON", 1) == "John Smith"


def test_a_clinician_is_not_taken_for_the_patient_of_the_same_name():
    known = PlaceholderMap()
    known.assign("PERSON", "John Smith", before="Patient: ")
    assert known.assign("PERSON", "Smith", before="seen by Dr. ") == "[PERSON_2]"


def test_a_surname_in_a_field_comes_back_as_it_was():
    known = PlaceholderMap()
    known.assign("PERSON", "John Smith")
    assert known.assign("PERSON", "Smith", alone=True) == "[PERSON_2]"
    assert known.value("PERSON", 2) == "Smith"


def test_a_surname_of_two_known_people_is_neither():
    known = PlaceholderMap()
    known.assign("PERSON", "John Smith")
    known.assign("PERSON", "Jane Smith")
    assert known.assign("PERSON", "Smith") == "[PERSON_3]"


def test_the_same_digits_of_another_kind_are_another_value():
    known = PlaceholderMap()
    assert known.assign("MEDICAL_RECORD_NUMBER", "4827193") == "[MRN_1]"
    assert known.assign("ACCOUNT_NUMBER", "4827193") == "[ACCOUNT_1]"


def test_a_stored_map_continues_as_it_was():
    known = PlaceholderMap()
    known.assign("PERSON", "John Smith")
    known.assign("PERSON", "Smith", before="Dr. ")
    again = PlaceholderMap.from_json(known.to_json())
    for each in (known, again):
        assert each.assign("PERSON", "Jane Doe") == "[PERSON_3]"
        assert each.assign("PERSON", "smith, john") == "[PERSON_1]"
    assert known.to_json() == again.to_json()


def test_overlapping_detections_become_their_union():
    spans = [Span(0, 5, "PERSON", 0.5), Span(3, 9, "US_SSN", 0.9), Span(12, 14, "AGE", 0.4)]
    assert [(s.start, s.end, s.entity_type) for s in merge(spans)] == [(0, 9, "US_SSN"), (12, 14, "AGE")]


def test_a_first_detection_keeps_the_recognizer_that_made_it():
    leaf = Leaf("p", "at Hope Clinic, Hope Clinic", lambda _: None, spans=[Span(3, 14, "FACILITY", 0.75, "ner")])
    first, again = mask([leaf], PlaceholderMap())
    assert (first.recognizer, first.score, again.recognizer) == ("ner", 0.75, "known_value")
    assert first.placeholder == again.placeholder


def test_values_that_nobody_says_any_more_are_left_out_and_the_others_keep_their_numbers():
    known = PlaceholderMap()
    known.assign("PERSON", "John Smith")
    known.assign("PERSON", "Jones", before="seen by Dr. ")
    known.assign("PERSON", "Mary Roe")
    known.assign("US_SSN", "536-22-8812")
    kept = known.said_in(["seen by Dr. JONES today", "and MARY ROE"])
    assert kept.by_placeholder() == {"[PERSON_2]": "Jones", "[PERSON_3]": "Mary Roe"}
    assert kept.assign("PERSON", "Roe", before="Mrs. ") == "[PERSON_3]"
    assert kept.assign("PERSON", "Jones") == "[PERSON_2]"
    for left_out in ("John", "536-22-8812", "smith"):
        assert left_out not in kept.to_json()
