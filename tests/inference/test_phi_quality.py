"""The guard's figures on the small set do not fall. The whole measurement is `make phi-eval`."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.phi_eval.documents import data_sets
from tests.phi_eval.figures import Figures, figures
from tests.phi_eval.measure import Run, run
from tests.phi_eval.systems import guard
from tests.phi_eval.targets import GROUPS

SMALL = Path(__file__).parents[1] / "phi_eval" / "small"
UNSEEN = SMALL.parent / "unseen"
CLINICAL = ("asq_phi_dev", "localscrub_templates", "outis_challenge_development")
# Full-cover recall and precision of the clinical documents. Where the small set has few spans, one miss is below the floor.
FLOORS = {
    "ACCOUNT": (0.99, 0.99),
    "AGE90": (0.99, 0.99),
    "DATE": (0.98, 0.98),
    "EMAIL": (0.995, 0.995),
    "FACILITY": (0.98, 0.95),
    "FAX": (0.995, 0.995),
    "GEO": (0.98, 0.95),
    "HEALTH_PLAN": (0.99, 0.99),
    "IP": (0.995, 0.995),
    "MRN": (0.99, 0.99),
    "NAME": (0.98, 0.97),
    "OTHER_ID": (0.95, 0.95),
    "PHONE": (0.995, 0.995),
    "SSN": (0.995, 0.995),
    "URL": (0.995, 0.995),
}
# Text written for the measurement; nobody tuned to the final sets. Full-cover recall, precision, and the share of PHI-free documents
# left untouched. Floors under what was measured, not aims: those are in tests/phi_eval/targets.py. Raise them with the guard.
UNSEEN_FLOORS = {
    GROUPS["unseen clinical text, open"][0]: (0.94, 0.98, 0.95),
    GROUPS["unseen world-wide text, open"][0]: (0.97, 0.98, None),
    GROUPS["unseen clinical text, final"][0]: (0.83, 0.94, 0.82),
    GROUPS["unseen world-wide text, final"][0]: (0.79, 0.94, None),
}
# Types that the small set has none of.
RARE_FLOORS = {"BIOMETRIC": 0.8, "DEVICE": 0.95, "LICENSE": 0.95, "PHOTO": 0.95, "VEHICLE": 0.77}


@pytest.fixture(scope="module")
def measured() -> Run:
    return run(guard(), data_sets([SMALL, UNSEEN]))


def clinical(measured: Run, kind: str | None = None) -> Figures:
    return figures([verdict for name in CLINICAL for verdict in measured.verdicts[name]], kind)


def examples(measured: Run, names: Sequence[str], kind: str | None = None) -> list[object]:
    verdicts = [verdict for name in names for verdict in measured.verdicts[name]]
    shown = [example for verdict in verdicts for example in (*verdict.misses, *verdict.extras)]
    return [example for example in shown if kind in (None, example.kind)]


def test_every_type_of_the_small_set_has_a_floor(measured: Run):
    assert {kind for name in CLINICAL for verdict in measured.verdicts[name] for kind in verdict.gold} == set(FLOORS)


@pytest.mark.parametrize("kind", FLOORS)
def test_clinical_text_is_covered_in_every_category(measured: Run, kind: str):
    recall, precision = FLOORS[kind]
    of_kind = clinical(measured, kind)
    assert (of_kind.full.value or 0) >= recall, examples(measured, CLINICAL, kind)
    assert (of_kind.precision.value or 0) >= precision, examples(measured, CLINICAL, kind)


@pytest.mark.parametrize("name", CLINICAL)
def test_clinical_text_is_covered_in_every_data_set(measured: Run, name: str):
    of_set = figures(measured.verdicts[name])
    assert (of_set.full.value or 0) >= 0.985, examples(measured, [name])
    assert (of_set.precision.value or 0) >= 0.985, examples(measured, [name])


def test_clinical_text_without_phi_is_left_alone(measured: Run):
    assert (clinical(measured).untouched.value or 0) >= 0.92, examples(measured, CLINICAL)


def test_other_text_is_covered_well(measured: Run):
    other = figures(measured.verdicts["presidio_research"])
    assert (other.full.value or 0) >= 0.85
    assert (other.precision.value or 0) >= 0.9


# These say no more than the figure: what was missed is not to be tuned to.
@pytest.mark.parametrize("names", UNSEEN_FLOORS, ids=lambda names: f"{names[0]}, {names[-1]}")
def test_unseen_text_is_covered_no_worse_than_it_was(measured: Run, names: tuple[str, ...]):
    recall, precision, untouched = UNSEEN_FLOORS[names]
    of_sets = figures([verdict for name in names for verdict in measured.verdicts[name]])
    assert (of_sets.full.value or 0) >= recall
    assert (of_sets.precision.value or 0) >= precision
    assert untouched is None or (of_sets.untouched.value or 0) >= untouched


@pytest.mark.parametrize("kind", RARE_FLOORS)
def test_rare_types_are_covered_no_worse_than_they_were(measured: Run, kind: str):
    assert (figures(measured.all, kind).full.value or 0) >= RARE_FLOORS[kind]
