from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """Two processes of each service. Tests leave it as they found it."""
    suite = Suite(state=tmp_path_factory.mktemp("replicated"), replicas=2, environment={"HASP_PHI_WORKERS": "1"})
    suite.start()
    yield suite
    suite.stop()


@pytest.fixture
def clinic(replicated: Suite) -> Iterator[Clinic]:
    """An organization of the test's own in the replicated suite."""
    clinic = Clinic.open(replicated)
    yield clinic
    clinic.close()
