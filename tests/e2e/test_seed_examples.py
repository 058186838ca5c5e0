"""The founding examples as they are printed: only host, key and ids are ours. Every printed field is there with its type."""

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.e2e import agents
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.conftest import OpenClinic
from tests.e2e.envelope import check

REGISTER: dict[str, Any] = {
    "name": "IntakeRouter",
    "capabilities": ["chart-review", "scheduling-handoff"],
    "default_expiry_hours": 8,
    "default_revocation_policy": "drain",
    "allowed_scope_types": ["hasp.data.read", "hasp.data.write", "external.tool.invoke"],
}
REGISTERED: dict[str, Any] = {
    "success": True,
    "data": {
        "agent": {
            "id": "01JQAGENT0000000000000000",
            "name": "IntakeRouter",
            "capabilities": ["chart-review", "scheduling-handoff"],
            "default_expiry_hours": 8,
            "default_revocation_policy": "drain",
            "allowed_scope_types": ["hasp.data.read", "hasp.data.write", "external.tool.invoke"],
            "status": "active",
            "created_at": "2026-05-11T12:00:00+00:00",
        }
    },
}
LISTED: dict[str, Any] = {
    "success": True,
    "data": [
        {
            "id": "01JQAGENT0000000000000000",
            "name": "IntakeRouter",
            "capabilities": ["chart-review"],
            "status": "active",
            "active_credential_count": 2,
            "created_at": "2026-05-11T12:00:00+00:00",
        }
    ],
    "meta": {"total": 1, "page": 1, "last_page": 1},
}
SCOPE_TYPES = (
    "hasp.data.read", "hasp.data.write", "external.tool.invoke", "agent.delegate", "human.escalate",
)  # fmt: skip
ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
NEW: dict[str, Any] = {"default_expiry_hours": 8, "default_revocation_policy": "drain"}
_names = (f"Further {number}" for number in itertools.count())


@pytest.fixture
def http(clinic: Clinic) -> httpx.Client:
    """With a key of the form that the examples show."""
    _, key = clinic.new_key("control:read", "control:write", format="hasp_key_live")
    assert re.fullmatch(r"hasp_key_live_[2-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{32}", key)
    clinic.http.headers["authorization"] = f"Bearer {key}"
    return clinic.http


def same_shape(printed: Any, answered: Any, at: str = "") -> None:
    """Every printed field is answered, with the JSON type that it is printed with."""
    assert type(answered) is type(printed), at
    if isinstance(printed, dict):
        for name, value in printed.items():
            assert name in answered, f"{at}.{name}"
            same_shape(value, answered[name], f"{at}.{name}")
    elif isinstance(printed, list):
        assert answered, at
        for index, item in enumerate(answered):
            same_shape(printed[0], item, f"{at}[{index}]")
    elif at.endswith("_at"):
        assert TIMESTAMP.fullmatch(answered), at
    elif at.endswith(".id"):
        assert ULID.fullmatch(answered), at


def answered(response: httpx.Response, status: int, printed: dict[str, Any]) -> Any:
    """The body of the answer, which has the printed shape and the request's id besides."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert set(body) == {"success", "data", "meta"}
    same_shape(printed, body)
    assert body["success"] is True
    assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", body["meta"]["request_id"])
    assert body["meta"]["request_id"] == response.headers["x-request-id"]
    return body


def test_registering_an_agent_answers_as_printed(http: httpx.Client):
    body = answered(http.post("/v1/agents", json=REGISTER), 201, REGISTERED)
    assert set(body["meta"]) == {"request_id"}
    agent = body["data"]["agent"]
    assert set(agent) == {*REGISTERED["data"]["agent"], "description"}
    assert {name: agent[name] for name in REGISTER} == REGISTER
    assert (agent["status"], agent["description"]) == ("active", None)
    assert abs((datetime.fromisoformat(agent["created_at"]) - datetime.now(UTC)).total_seconds()) < 60


def test_listing_agents_answers_as_printed(clinic: Clinic, http: httpx.Client):
    agent = http.post("/v1/agents", json=REGISTER | {"capabilities": ["chart-review"]}).json()["data"]["agent"]
    for _ in range(2):
        agents.issue(clinic, agent["id"])
    body = answered(http.get("/v1/agents"), 200, LISTED)
    (item,) = body["data"]
    assert set(item) == set(LISTED["data"][0])
    assert item == {
        **{name: agent[name] for name in ("id", "name", "capabilities", "status", "created_at")},
        "active_credential_count": 2,
    }
    assert body["meta"] == LISTED["meta"] | {"request_id": body["meta"]["request_id"]}


def test_an_organization_without_agents_has_an_empty_list(http: httpx.Client):
    body = http.get("/v1/agents").json()
    assert body["data"] == []
    assert (body["meta"]["total"], body["meta"]["page"], body["meta"]["last_page"]) == (0, 1, 1)


def test_the_list_is_filtered_by_status_name_and_id(http: httpx.Client):
    ids = {name: register(http, name=name)["id"] for name in ("IntakeRouter", "ChartReader", "Router of calls")}
    http.post(f"/v1/agents/{ids['ChartReader']}/archive")

    def found(**parameters: Any) -> list[str]:
        body = answered(http.get("/v1/agents", params=parameters), 200, {"meta": LISTED["meta"]})
        assert body["meta"]["total"] == len(body["data"])
        return [item["name"] for item in body["data"]]

    assert found() == found(status="active") == ["Router of calls", "IntakeRouter"]
    assert found(status="archived") == ["ChartReader"]
    assert found(status="all") == ["Router of calls", "ChartReader", "IntakeRouter"]
    assert found(search="router") == ["Router of calls", "IntakeRouter"]
    assert found(search="intake") == ["IntakeRouter"]
    assert found(search=ids["IntakeRouter"]) == ["IntakeRouter"]
    assert found(search=ids["IntakeRouter"][:20]) != []
    assert found(search=ids["IntakeRouter"][1:]) == []
    assert found(search="reader") == []
    assert found(search="reader", status="all") == ["ChartReader"]
    assert found(search="100%_") == []
    check(http.get("/v1/agents", params={"status": "asleep"}), 422, "VALIDATION_FAILED", "status")


def test_pages_have_twenty_five_items_when_nobody_says_otherwise(http: httpx.Client):
    names = [register(http, name=f"Agent number {number}")["name"] for number in range(27)][::-1]

    def page(**parameters: Any) -> tuple[list[str], dict[str, int]]:
        body = answered(http.get("/v1/agents", params=parameters), 200, {"meta": LISTED["meta"]})
        meta = body["meta"]
        del meta["request_id"]
        return [item["name"] for item in body["data"]], meta

    assert page() == (names[:25], {"total": 27, "page": 1, "last_page": 2})
    assert page(page=2) == (names[25:], {"total": 27, "page": 2, "last_page": 2})
    assert page(page=3) == ([], {"total": 27, "page": 3, "last_page": 2})
    assert page(per_page=100) == (names, {"total": 27, "page": 1, "last_page": 1})
    assert page(per_page=1, page=27) == (names[-1:], {"total": 27, "page": 27, "last_page": 27})
    for name, value in (("per_page", 0), ("per_page", 101), ("page", 0), ("page", -1)):
        check(http.get("/v1/agents", params={name: value}), 422, "VALIDATION_FAILED", name)
    check(http.get("/v1/agents", params={"page": "two"}), 400, "UNSUPPORTED_PARAMETER")


def test_retrieving_an_agent_answers_with_all_of_it(http: httpx.Client):
    agent = http.post("/v1/agents", json=REGISTER).json()["data"]["agent"]
    body = answered(http.get(f"/v1/agents/{agent['id']}"), 200, REGISTERED)
    assert body["data"]["agent"] == agent


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "TriageRouter"),
        ("description", "Reads charts at night."),
        ("capabilities", ["triage"]),
        ("capabilities", []),
        ("default_expiry_hours", 720),
        ("default_revocation_policy", "kill"),
        ("allowed_scope_types", ["agent.delegate"]),
        ("allowed_scope_types", []),
        ("allowed_scope_types", None),
    ],
)
def test_each_setting_can_be_updated_alone(clinic: Clinic, http: httpx.Client, field: str, value: Any):
    agent = http.post("/v1/agents", json=REGISTER).json()["data"]["agent"]
    body = answered(http.patch(f"/v1/agents/{agent['id']}", json={field: value}), 200, {"data": {"agent": {}}})
    assert body["data"]["agent"] == agent | {field: value}
    assert body["meta"]["credentials_outside_allowed_scope_types"] == []
    assert http.get(f"/v1/agents/{agent['id']}").json()["data"]["agent"] == agent | {field: value}
    wait_until(lambda: len(updates(clinic, agent["id"])) == 1)
    (entry,) = updates(clinic, agent["id"])
    assert entry["metadata"]["changed"] == [field]
    shown = {field: agent[field]} if field in SHOWN_IN_AUDIT else {}
    assert entry["metadata"].get("old", {}) == shown
    assert entry["metadata"].get("new", {}) == ({field: value} if shown else {})


SHOWN_IN_AUDIT = ("default_expiry_hours", "default_revocation_policy", "allowed_scope_types")


def updates(clinic: Clinic, agent_id: str) -> list[Any]:
    return clinic.audit(action="agent.metadata_updated", entity_id=agent_id)


def test_a_description_is_cleared_by_null_and_left_alone_when_absent(http: httpx.Client):
    path = f"/v1/agents/{register(http, description='Reads charts.')['id']}"
    assert http.patch(path, json={"name": "Other"}).json()["data"]["agent"]["description"] == "Reads charts."
    assert http.patch(path, json={"description": None}).json()["data"]["agent"]["description"] is None


def test_an_update_that_changes_nothing_is_no_event(clinic: Clinic, http: httpx.Client):
    agent = http.post("/v1/agents", json=REGISTER).json()["data"]["agent"]
    for patch in ({}, REGISTER, {"name": "IntakeRouter"}, {"description": None}):
        body = answered(http.patch(f"/v1/agents/{agent['id']}", json=patch), 200, REGISTERED)
        assert body["data"]["agent"] == agent
    http.patch(f"/v1/agents/{agent['id']}", json={"default_expiry_hours": 9})
    wait_until(lambda: updates(clinic, agent["id"]) != [])
    assert len(updates(clinic, agent["id"])) == 1


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        ({"mood": "cheerful"}, "mood"),
        ({"status": "archived"}, "status"),
        ({"id": "01JQAGENT0000000000000000"}, "id"),
        ({"created_at": "2026-05-11T12:00:00+00:00"}, "created_at"),
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"default_expiry_hours": None}, "default_expiry_hours"),
        ({"default_expiry_hours": 1.5}, "default_expiry_hours"),
        ({"default_expiry_hours": "8"}, "default_expiry_hours"),
        ({"default_expiry_hours": True}, "default_expiry_hours"),
        ({"default_revocation_policy": None}, "default_revocation_policy"),
        ({"capabilities": "chart-review"}, "capabilities"),
        ({"capabilities": [5]}, "capabilities[0]"),
        ({"allowed_scope_types": "hasp.data.read"}, "allowed_scope_types"),
        ({"description": 5}, "description"),
    ],
)
def test_an_update_is_read_strictly(http: httpx.Client, patch: dict[str, Any], param: str):
    agent = http.post("/v1/agents", json=REGISTER).json()["data"]["agent"]
    path = f"/v1/agents/{agent['id']}"
    # What is right beside it is not taken either.
    check(http.patch(path, json={"default_expiry_hours": 10} | patch), 422, "VALIDATION_FAILED", param)
    assert http.get(path).json()["data"]["agent"] == agent


def test_archiving_revokes_every_active_credential_at_once_and_reactivating_brings_none_back(
    clinic: Clinic, http: httpx.Client
):
    agent = http.post("/v1/agents", json=REGISTER).json()["data"]["agent"]
    path = f"/v1/agents/{agent['id']}"
    held = [agents.issue(clinic, agent["id"]) for _ in range(3)]
    held[0].revoke()
    archived = answered(http.post(f"{path}/archive"), 200, REGISTERED)["data"]
    assert set(archived) == {"agent", "revoked_credential_ids"}
    assert archived["agent"] == agent | {"status": "archived"}
    assert sorted(archived["revoked_credential_ids"]) == sorted(each.id for each in held[1:])
    assert [each.is_accepted() for each in held] == [False] * 3
    check(agents.request(clinic, agent["id"]), 422, "AGENT_ARCHIVED")
    again = answered(http.post(f"{path}/archive"), 200, {})["data"]
    assert again == {"agent": archived["agent"], "revoked_credential_ids": []}
    reactivated = answered(http.post(f"{path}/reactivate"), 200, REGISTERED)
    assert reactivated["data"] == {"agent": agent}
    assert [each.is_accepted() for each in held] == [False] * 3
    assert answered(http.post(f"{path}/reactivate"), 200, REGISTERED)["data"] == {"agent": agent}
    assert agents.issue(clinic, agent["id"]).is_accepted()
    wait_until(lambda: len(clinic.audit(action="agent.credential_revoked")) == 3)

    def entries() -> list[str]:
        return [entry["action"] for entry in clinic.audit(entity_id=agent["id"])][::-1]

    wait_until(lambda: "agent.reactivated" in entries())
    assert entries() == ["agent.registered", "agent.archived", "agent.reactivated"]


def test_archiving_and_reactivating_need_no_body_and_take_an_empty_one(http: httpx.Client):
    path = f"/v1/agents/{register(http)['id']}"
    ways: list[dict[str, Any]] = [{}, {"json": {}}, {"content": b"", "headers": {"content-type": "application/json"}}]
    for more in ways:
        for verb in ("archive", "reactivate"):
            assert http.post(f"{path}/{verb}", **more).status_code == 200, (verb, more)


def test_the_name_of_an_active_agent_is_taken(http: httpx.Client, open_clinic: OpenClinic):
    first = http.post("/v1/agents", json=REGISTER).json()["data"]["agent"]["id"]
    for name in ("IntakeRouter", "intakerouter", "INTAKEROUTER"):
        check(http.post("/v1/agents", json=REGISTER | {"name": name}), 422, "AGENT_NAME_TAKEN")
    other = register(http, name="Other")["id"]
    check(http.patch(f"/v1/agents/{other}", json={"name": "intakeRouter"}), 422, "AGENT_NAME_TAKEN")
    assert http.patch(f"/v1/agents/{first}", json={"name": "INTAKEROUTER"}).status_code == 200
    assert open_clinic().http.post("/v1/agents", json=REGISTER).status_code == 201
    http.post(f"/v1/agents/{first}/archive")
    second = http.post("/v1/agents", json=REGISTER)
    assert second.status_code == 201
    check(http.post(f"/v1/agents/{first}/reactivate"), 422, "AGENT_NAME_TAKEN")
    http.post(f"/v1/agents/{second.json()['data']['agent']['id']}/archive")
    assert http.post(f"/v1/agents/{first}/reactivate").status_code == 200


def register(http: httpx.Client, **settings: Any) -> dict[str, Any]:
    answer = http.post("/v1/agents", json=NEW | {"name": next(_names)} | settings)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["agent"]


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "xy"},
        {"name": "x" * 64},
        {"name": "ä" * 64},
        {"capabilities": [f"tag-{number}" for number in range(12)]},
        {"capabilities": ["x" * 32]},
        {"capabilities": []},
        {"default_expiry_hours": 1},
        {"default_expiry_hours": 720},
        {"default_revocation_policy": "drain"},
        {"default_revocation_policy": "kill"},
        {"allowed_scope_types": None},
        {"allowed_scope_types": []},
        {"allowed_scope_types": list(SCOPE_TYPES)},
        {"description": "x" * 2000},
    ],
    ids=lambda settings: str(settings)[:40],
)
@pytest.mark.parametrize("how", ["register", "update"])
def test_what_lies_within_the_limits_is_taken(shared_clinic: Clinic, settings: dict[str, Any], how: str):
    http = shared_clinic.http
    if how == "register":
        agent = register(http, **settings)
    else:
        answer = http.patch(f"/v1/agents/{register(http)['id']}", json=settings)
        assert answer.status_code == 200, answer.text
        agent = answer.json()["data"]["agent"]
    assert agent == agent | settings
    http.post(f"/v1/agents/{agent['id']}/archive").raise_for_status()  # so that its name is free again


BEYOND: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "x"}, "VALIDATION_FAILED", "name"),
    ({"name": ""}, "VALIDATION_FAILED", "name"),
    ({"name": "x" * 65}, "VALIDATION_FAILED", "name"),
    ({"name": "x\ny"}, "VALIDATION_FAILED", "name"),
    ({"name": "   "}, "VALIDATION_FAILED", "name"),
    ({"capabilities": [f"tag-{number}" for number in range(13)]}, "VALIDATION_FAILED", "capabilities"),
    ({"capabilities": ["good", "x" * 33]}, "VALIDATION_FAILED", "capabilities[1]"),
    ({"capabilities": [""]}, "VALIDATION_FAILED", "capabilities[0]"),
    ({"default_expiry_hours": 0}, "VALIDATION_FAILED", "default_expiry_hours"),
    ({"default_expiry_hours": -1}, "VALIDATION_FAILED", "default_expiry_hours"),
    ({"default_expiry_hours": 721}, "VALIDATION_FAILED", "default_expiry_hours"),
    ({"default_revocation_policy": "pause"}, "VALIDATION_FAILED", "default_revocation_policy"),
    ({"default_revocation_policy": ""}, "VALIDATION_FAILED", "default_revocation_policy"),
    ({"allowed_scope_types": ["hasp.data.read", "hasp.data.delete"]}, "INVALID_SCOPE_TYPE", "allowed_scope_types[1]"),
    ({"allowed_scope_types": [""]}, "INVALID_SCOPE_TYPE", "allowed_scope_types[0]"),
    ({"allowed_scope_types": "hasp.data.read"}, "VALIDATION_FAILED", "allowed_scope_types"),
    ({"allowed_scope_types": [5]}, "VALIDATION_FAILED", "allowed_scope_types[0]"),
    ({"description": "x" * 2001}, "VALIDATION_FAILED", "description"),
]


@pytest.mark.parametrize(("settings", "code", "param"), BEYOND, ids=lambda value: str(value)[:40])
def test_what_lies_beyond_the_limits_is_named(
    shared_clinic: Clinic, unchanged: dict[str, Any], settings: dict[str, Any], code: str, param: str
):
    http, before = shared_clinic.http, total(shared_clinic.http)
    check(http.post("/v1/agents", json=NEW | {"name": next(_names)} | settings), 422, code, param)
    assert total(http) == before
    check(http.patch(f"/v1/agents/{unchanged['id']}", json=settings), 422, code, param)
    assert http.get(f"/v1/agents/{unchanged['id']}").json()["data"]["agent"] == unchanged


@pytest.fixture(scope="module")
def unchanged(shared_clinic: Clinic) -> dict[str, Any]:
    return register(shared_clinic.http)


def total(http: httpx.Client) -> int:
    return http.get("/v1/agents", params={"status": "all"}).json()["meta"]["total"]


@pytest.mark.parametrize("missing", ["name", "default_expiry_hours", "default_revocation_policy"])
def test_what_is_required_is_asked_for(shared_clinic: Clinic, missing: str):
    whole = NEW | {"name": next(_names)}
    for body in ({name: value for name, value in whole.items() if name != missing}, whole | {missing: None}):
        check(shared_clinic.http.post("/v1/agents", json=body), 422, "VALIDATION_FAILED", missing)


def test_what_is_optional_may_be_left_out(http: httpx.Client):
    agent = register(http)
    assert (agent["capabilities"], agent["allowed_scope_types"], agent["description"]) == ([], None, None)


@pytest.mark.parametrize(
    "settings",
    [{"name": 5}, {"capabilities": {"a": 1}}, {"default_expiry_hours": "eight"}, {"default_expiry_hours": 1.5}],
)
def test_a_field_of_the_wrong_json_type_is_malformed(shared_clinic: Clinic, settings: dict[str, Any]):
    check(shared_clinic.http.post("/v1/agents", json=NEW | {"name": next(_names)} | settings), 400, "MALFORMED_JSON")


def test_an_agent_of_nobody_or_of_another_organization_is_not_found(http: httpx.Client, open_clinic: OpenClinic):
    foreign = register(open_clinic().http)["id"]
    calls: list[Callable[[str], httpx.Response]] = [
        http.get,
        lambda path: http.patch(path, json={"name": "Mine"}),
        lambda path: http.post(f"{path}/archive"),
        lambda path: http.post(f"{path}/reactivate"),
        lambda path: http.get(f"{path}/credentials"),
        lambda path: http.post(f"{path}/credentials", json={"name": "Mine", "granted_scopes": [agents.tool("x")]}),
    ]
    for agent_id in (foreign, "01JQAGENT00000000000000000", "nonsense"):
        for call in calls:
            check(call(f"/v1/agents/{agent_id}"), 404, "RESOURCE_NOT_FOUND")


def test_narrowing_the_scope_types_leaves_credentials_alone_and_lists_them(clinic: Clinic, http: httpx.Client):
    agent_id = register(http)["id"]
    tool, read = (
        agents.issue(clinic, agent_id, grant) for grant in (agents.tool("calendar"), {"type": "hasp.data.read"})
    )
    body = http.patch(f"/v1/agents/{agent_id}", json={"allowed_scope_types": ["hasp.data.read"]}).json()
    assert body["meta"]["credentials_outside_allowed_scope_types"] == [tool.id]
    assert tool.is_accepted()
    assert read.is_accepted()
    check(
        agents.request(clinic, agent_id, agents.tool("calendar")), 422, "INVALID_SCOPE_TYPE", "granted_scopes[0].type"
    )


def test_no_name_and_no_description_reaches_the_audit_log(clinic: Clinic, http: httpx.Client):
    agent = register(http, name="Marigold", description="Of Quince", capabilities=["quilting"])
    http.patch(f"/v1/agents/{agent['id']}", json={"name": "Amaryllis", "description": "Of Rowan"})
    wait_until(lambda: updates(clinic, agent["id"]) != [])
    (entry,) = updates(clinic, agent["id"])
    assert entry["entity_type"] == "agent"
    assert entry["metadata"]["changed"] == ["name", "description"]
    everything = str(clinic.audit())
    for typed in ("Marigold", "Quince", "quilting", "Amaryllis", "Rowan"):
        assert typed not in everything


def test_a_repeated_registration_with_the_same_key_is_one_agent(http: httpx.Client):
    first, second = (http.post("/v1/agents", json=REGISTER, headers={"idempotency-key": "one"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json() == second.json()
    assert http.get("/v1/agents").json()["meta"]["total"] == 1


def test_api_keys_have_the_form_of_the_launch(clinic: Clinic):
    for _ in range(3):
        _, key = clinic.new_key("ai:chat", "control:read", "control:webhooks")
        assert re.fullmatch(r"wa_live_[0-9a-f]{32}", key)
