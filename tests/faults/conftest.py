import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.settings import ROOT
from cli.suite import Suite
from tests.e2e.clinic import Clinic

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("faults"))


@pytest.fixture
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite of the test's own: nobody else may count in it or be hurt with it."""
    suite = Suite(state=tmp_path_factory.mktemp("suite"))
    suite.start()
    yield suite
    suite.stop()


@pytest.fixture(scope="package")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Two processes of each service, with a developer plan of its own. Tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("replicated")
    environment = {"HASP_PHI_WORKERS": "1", "HASP_CATALOGUE": str(_catalogue(folder / "catalogue.json"))}
    suite = Suite(state=folder / "state", replicas=2, environment=environment)
    suite.start()
    yield suite
    suite.stop()


@pytest.fixture
def clinic(replicated: Suite) -> Iterator[Clinic]:
    """An organization of the test's own in the replicated suite."""
    clinic = Clinic.open(replicated)
    yield clinic
    clinic.close()


def _catalogue(file: Path) -> Path:
    """The house's, with limits of the developer plan that are used up in a second or two: 120 requests a minute, and no others."""
    catalogue = json.loads((ROOT / "catalogue" / "catalogue.json").read_bytes())
    (plan,) = (plan for plan in catalogue["plans"] if plan["id"] == "developer")
    plan["limits"] = {"requests_per_minute": 120, "requests_per_day": None, "tokens_per_minute": None}
    file.write_text(json.dumps(catalogue))
    return file
