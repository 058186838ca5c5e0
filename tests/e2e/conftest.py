import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import httpx
import pytest

from cli.suite import Suite
from tests.compliance.receivers import Authority, Receiver, receiving
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
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Certifies receivers of webhooks."""
    return Authority(tmp_path_factory.mktemp("receivers"))


@pytest.fixture(scope="package")
def suite(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Suite]:
    """Every process of the house, the edge included, with the simulated provider behind it. Webhooks may be sent to this machine."""
    environment = {
        "HASP_UPSTREAM_TIMEOUT": str(PATIENCE),
        "HASP_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "HASP_WEBHOOK_CA_FILE": str(authority.file),
    }
    suite = Suite(state=tmp_path_factory.mktemp("suite"), environment=environment)
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
def receiver(authority: Authority) -> Iterator[Receiver]:
    """Takes webhooks on this machine, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    serving = receiving(authority.context("127.0.0.1"))
    yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(10)
    asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def patient() -> Patient:
    return new_patient()
