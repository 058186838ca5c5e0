"""Every path of the contract that names a thing, with another organization's thing: unknown, whatever it is and whoever asks."""

import re
from collections.abc import Iterator, Mapping

import httpx
import pytest

from cli.suite import Suite
from gateway.routes import Route, read_contract
from gateway.settings import DESCRIPTORS
from services.chassis.clock import SystemClock
from services.chassis.ulids import new_ulid
from tests.e2e import agents
from tests.e2e.clinic import Clinic
from tests.e2e.envelope import check

_PARAMETER = re.compile(r"\{(\w+)[^}]*\}")
OF_NOBODY = "/v1/models/"
NAMING = [
    route
    for route in read_contract(DESCRIPTORS).routes
    if _PARAMETER.search(route.template) and not route.template.startswith(OF_NOBODY)
]
AGENTS_ONLY = "InvocationService"
# What passes the contract's limits, so that the answer is about the thing and not about the body.
BODIES: Mapping[str, dict[str, object]] = {
    "IssueCredential": {"name": "theirs", "granted_scopes": [agents.tool("calendar.find_slots")]},
    "CompleteInvocation": {"outcome": "succeeded"},
}
# Of an address, and of what nobody publishes here: nothing is sent to it.
WEBHOOK = {"url": "https://93.184.215.14/", "events": ["schema.updated"]}


@pytest.fixture(scope="module")
def things(shared_clinic: Clinic) -> Mapping[str, str]:
    """One of everything that a path can name, of one organization."""
    held = agents.equip(shared_clinic, agents.tool("calendar.find_slots"))
    invocation = held.authorize(type="external.tool.invoke", tool_id="calendar.find_slots").json()
    model_message = shared_clinic.chat("Good morning.").json()["data"]["message"]["id"]
    listed = shared_clinic.get("/v1/api_keys")
    return {
        "agent_id": held.agent_id,
        "credential_id": held.id,
        "invocation_id": invocation["data"]["invocation"]["id"],
        "id": model_message,
        "key_id": listed[0]["id"],
        "acceptance_id": shared_clinic.get("/v1/compliance/baa")["acceptance"]["id"],
        "entry_id": shared_clinic.audit()[0]["id"],
        "endpoint_id": shared_clinic.http.post("/v1/webhooks", json=WEBHOOK).json()["data"]["id"],
    }


def ask(clinic: Clinic, route: Route, named: Mapping[str, str], token: str) -> httpx.Response:
    path = _PARAMETER.sub(lambda parameter: named.get(parameter[1]) or new_ulid(SystemClock()), route.template)
    body = BODIES.get(route.rpc.rpartition("/")[2], {}) if route.method in ("POST", "PUT", "PATCH") else None
    headers = {"authorization": f"Bearer {token}"}
    return clinic.http.request(route.method, path, json=body, headers=headers)


@pytest.fixture(scope="module")
def stranger(suite: Suite) -> Iterator[Clinic]:
    clinic = Clinic.open(suite)
    yield clinic
    clinic.close()


@pytest.mark.parametrize("route", NAMING, ids=lambda route: f"{route.method} {route.template}")
def test_it_is_unknown_to_everybody_else(stranger: Clinic, things: Mapping[str, str], route: Route):
    token = agents.equip(stranger).token if AGENTS_ONLY in route.rpc else stranger.key
    answer = ask(stranger, route, things, token)
    theirs = check(answer, 404, "RESOURCE_NOT_FOUND")
    # And it is the same answer as for what nobody has.
    nobodys = check(ask(stranger, route, {}, token), 404, "RESOURCE_NOT_FOUND")
    assert theirs["message"] == nobodys["message"]


def test_a_webhook_endpoint_named_in_a_body_is_unknown_too(stranger: Clinic, things: Mapping[str, str]):
    messages = {
        check(
            stranger.http.post("/v1/webhooks/deliveries/bulk-replay", json={"endpoint_id": endpoint_id}),
            404,
            "RESOURCE_NOT_FOUND",
        )["message"]
        for endpoint_id in (things["endpoint_id"], new_ulid(SystemClock()))
    }
    assert len(messages) == 1


@pytest.mark.parametrize(
    "route",
    [route for route in NAMING if AGENTS_ONLY in route.rpc],
    ids=lambda route: f"{route.method} {route.template}",
)
def test_an_invocation_is_unknown_to_the_next_agent_of_the_same_house(
    shared_clinic: Clinic, things: Mapping[str, str], route: Route
):
    answer = ask(shared_clinic, route, things, agents.equip(shared_clinic).token)
    check(answer, 404, "RESOURCE_NOT_FOUND")


def test_after_all_that_it_is_still_there(shared_clinic: Clinic, things: Mapping[str, str]):
    agent = shared_clinic.get(f"/v1/agents/{things['agent_id']}")["agent"]
    assert agent["status"] == "active"
    credential = shared_clinic.get(f"/v1/agents/{things['agent_id']}/credentials/{things['credential_id']}")
    assert credential["credential"]["status"] == "active"
    assert things["key_id"] in [key["id"] for key in shared_clinic.get("/v1/api_keys")]
    assert shared_clinic.record(things["id"])
    assert things["endpoint_id"] in [endpoint["id"] for endpoint in shared_clinic.get("/v1/webhooks")]
    assert shared_clinic.get(f"/v1/webhooks/{things['endpoint_id']}/deliveries") == []
