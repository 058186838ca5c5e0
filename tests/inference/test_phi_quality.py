"""The guard's figures on a small set do not fall. The whole measurement is `python -m tests.phi_eval FOLDER`."""

import json
from pathlib import Path

import pytest

from services.inference.clients.presidio import engine as presidio
from tests.phi_eval.scoring import Score

SMALL = Path(__file__).parents[1] / "phi_eval" / "small"
CLINICAL = ("asq_phi_dev", "localscrub_templates", "outis_challenge_development")


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    engine = presidio.build()
    measured = {path.stem: Score() for path in SMALL.glob("*.jsonl")}
    for name, score in measured.items():
        for line in (SMALL / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            score.add(document, presidio.detect(engine, document["text"]))
    return measured


@pytest.mark.parametrize("name", CLINICAL)
def test_clinical_text_is_covered(scores: dict[str, Score], name: str):
    score = scores[name]
    assert score.covered / score.gold >= 0.985, score.misses
    assert score.correct / score.predicted >= 0.985, score.extras
    assert score.untouched >= 0.92 * score.clean, score.extras


def test_other_text_is_covered_well(scores: dict[str, Score]):
    score = scores["presidio_research"]
    assert score.covered / score.gold >= 0.78, score.misses
    assert score.correct / score.predicted >= 0.9, score.extras
