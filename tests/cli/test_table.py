"""Which processes there are, and what they are told of each other."""

from pathlib import Path

import pytest

from cli.databases import SERVICES, DatabaseUrls
from cli.suite import Suite
from cli.table import Places, Program, Upstream, edge_program, service_of, service_programs


def programs(places: Places) -> dict[str, Program]:
    databases = {service: DatabaseUrls("owner", "app") for service in SERVICES}
    return {each.name: each for each in service_programs(places, databases, Upstream(api_key="key"), {})}


def test_without_replicas_a_service_is_one_process_with_one_address(tmp_path: Path):
    places = Suite(state=tmp_path / "state").places
    assert set(places.ports) == {*SERVICES, "simulator"}
    assert set(programs(places)) == set(SERVICES)
    assert programs(places)["inference"].environment["HASP_IDENTITY_ADDRESS"] == places.address("identity")


def test_every_replica_has_a_port_of_its_own_and_siblings_know_all_of_them(tmp_path: Path):
    places = Suite(state=tmp_path / "state", replicas=2).places
    started = programs(places)
    assert set(started) == {*SERVICES, *(f"{service}-2" for service in SERVICES)}
    assert len({*places.ports.values(), places.edge_port}) == 2 * len(SERVICES) + 2
    one, other = places.address("identity"), places.address("identity-2")
    assert started["billing-2"].environment["HASP_IDENTITY_ADDRESS"] == f"ipv4:{one},{other}"
    assert started["identity-2"].environment["HASP_IDENTITY_LISTEN"] == other
    assert started["identity-2"].environment["HASP_KEK_FILE"] == started["identity"].environment["HASP_KEK_FILE"]
    edge = Path(edge_program(places).command[2]).read_text()
    assert [edge.count(f'"port_value": {places.ports[name]}') for name in ("identity", "identity-2")] == [1, 1]


@pytest.mark.parametrize(
    ("name", "service"),
    [("identity", "identity"), ("identity-2", "identity"), ("edge", "edge"), ("postgres", "postgres")],
)
def test_a_replica_belongs_to_its_service(name: str, service: str):
    assert service_of(name) == service
