from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from cli.suite import Suite
from tests.e2e.clinic import Clinic
from tests.e2e.people import Patient, new_patient
from tests.e2e.upstream import Upstream

HERE = Path(__file__).parent
PATIENCE = 6
"""Seconds that a plain answer of the provider may take."""
OpenClinic = Callable[..., Clinic]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One suite for all of them: they stop its parts, so they run one after another in the same worker."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="package")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Every process of the house, the edge included, with the simulated provider behind it."""
    suite = Suite(state=tmp_path_factory.mktemp("suite"), environment={"HASP_UPSTREAM_TIMEOUT": str(PATIENCE)})
    suite.start()
    yield suite
    errors = lua_errors(suite)
    suite.stop()
    # A failing filter lets requests through unfiltered: no single one may have happened.
    assert errors == {}


def lua_errors(suite: Suite) -> dict[str, int]:
    transport = httpx.HTTPTransport(uds=str(suite.places.admin_socket))
    with httpx.Client(transport=transport, base_url="http://envoy", timeout=5) as admin:
        stats = admin.get("/stats", params={"filter": "lua.*errors"}).text.splitlines()
    counts = {name: int(value) for name, _, value in (line.partition(": ") for line in stats)}
    return {name: count for name, count in counts.items() if count}


@pytest.fixture
def open_clinic(suite: Suite) -> Iterator[OpenClinic]:
    """`open_clinic(plan="developer", baa=False)`: an organization of the test's own."""
    opened: list[Clinic] = []

    def open_one(**more: object) -> Clinic:
        opened.append(Clinic.open(suite, **more))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for clinic in opened:
        clinic.close()


@pytest.fixture(scope="package")
def shared_clinic(suite: Suite) -> Iterator[Clinic]:
    """For tests that change nothing of the organization and count nothing in it."""
    clinic = Clinic.open(suite)
    yield clinic
    clinic.close()


@pytest.fixture
def clinic(open_clinic: OpenClinic) -> Clinic:
    return open_clinic()


@pytest.fixture
def upstream(suite: Suite) -> Iterator[Upstream]:
    upstream = Upstream(suite.simulator_url)
    yield upstream
    upstream.close()


@pytest.fixture
def patient() -> Patient:
    return new_patient()
