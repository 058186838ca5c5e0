"""Credentials of agents: what they may be, who may issue them, and that a revoked one is refused everywhere at once."""

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.databases import SERVICES
from cli.suite import Suite
from gateway.routes import VARIABLE, read_contract
from tests.contract.test_contracts import METHODS
from tests.e2e import agents
from tests.e2e.agents import Held, delegation, equip, issue, register, tool
from tests.e2e.clinic import MODEL, Clinic, wait_until
from tests.e2e.conftest import OpenClinic
from tests.e2e.envelope import check
from tests.e2e.test_nothing_leaks import found, leaks_in_database, log_files

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
FIELDS = {
    "id", "agent_id", "name", "description", "prefix", "last_four", "granted_scopes", "delegating_user_id",
    "parent_credential_id", "delegation_path", "chain_depth", "expires_at", "revocation_policy",
    "max_concurrent_invocations", "status", "created_at", "revoked_at", "revocation_reason", "last_used_at",
}  # fmt: skip
READ: dict[str, Any] = {"type": "hasp.data.read", "app_id": "ehr", "entities": ["patient", "visit"]}
FIND = tool("calendar_find_slots")
GRANTS: list[dict[str, Any]] = [
    READ | {"filters": {"clinician": "{{delegating_user.email}}", "ward": ["a", "b"]}},
    {"type": "hasp.data.write", "app_id": "ehr", "entities": ["note"], "fields": ["text", "signed"]},
    tool("calendar_find_slots", rate_limit=100, constraints={"room": {"floor": [1, 2]}}),
    delegation(ULID, max_chain_depth=2),
    {"type": "human.escalate", "to_role": "nurse", "channels": ["pager"]},
]


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@dataclass(frozen=True)
class InDays:
    """A moment that counts from the test and not from its collection, which every worker does at another time."""

    days: float


def as_of_now(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: in_days(value.days) if isinstance(value, InDays) else value for name, value in settings.items()}


# Issuing -------------------------------------------------------------------------------------------------------------


def test_a_credential_is_issued_with_every_type_of_grant(clinic: Clinic):
    agent_id = register(clinic)
    answer = agents.request(clinic, agent_id, *GRANTS, description="Sees to the night.")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert set(body) == {"success", "data", "meta"}
    assert body["meta"] == {"request_id": answer.headers["x-request-id"]}
    assert set(body["data"]) == {"credential", "token"}
    shown, token = body["data"]["credential"], body["data"]["token"]
    assert set(shown) == FIELDS
    assert re.fullmatch(r"hasp_agent_[A-Za-z0-9_-]{43}", token)
    assert (shown["prefix"], shown["last_four"]) == ("hasp_agent_", token[-4:])
    assert (shown["agent_id"], shown["name"], shown["description"]) == (agent_id, "Night shift", "Sees to the night.")
    assert shown["granted_scopes"] == GRANTS
    assert (shown["parent_credential_id"], shown["chain_depth"]) == (None, 0)
    assert shown["delegating_user_id"] == clinic.user_id
    assert shown["delegation_path"] == [clinic.user_id, shown["id"]]
    assert (shown["status"], shown["revoked_at"], shown["last_used_at"]) == ("active", None, None)
    assert shown["created_at"].endswith("+00:00")
    assert Held(clinic, shown, token).is_accepted()


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant["type"])
def test_each_type_of_grant_may_stand_alone(shared_clinic: Clinic, grant: dict[str, Any]):
    assert equip(shared_clinic, grant).shown["granted_scopes"] == [grant]


def test_what_nobody_says_comes_from_the_agent(shared_clinic: Clinic):
    agent_id = register(shared_clinic, default_expiry_hours=5, default_revocation_policy="kill")
    shown = issue(shared_clinic, agent_id).shown
    lifetime = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["created_at"])
    assert abs(lifetime - timedelta(hours=5)) <= timedelta(seconds=1)
    assert (shown["revocation_policy"], shown["max_concurrent_invocations"]) == ("kill", 10)
    assert shown["description"] is None
    said = issue(
        shared_clinic, agent_id, expires_at=in_days(2), revocation_policy="drain", max_concurrent_invocations=3
    ).shown
    assert (said["revocation_policy"], said["max_concurrent_invocations"]) == ("drain", 3)
    assert abs(datetime.fromisoformat(said["expires_at"]) - datetime.now(UTC) - timedelta(days=2)) < timedelta(
        minutes=1
    )


def test_a_test_mode_token_shows_it(shared_clinic: Clinic):
    held = equip(shared_clinic, test_mode=True)
    assert re.fullmatch(r"hasp_agent_test_[A-Za-z0-9_-]{43}", held.token)
    assert held.shown["prefix"] == "hasp_agent_test_"
    assert held.is_accepted()


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "xy"},
        {"name": "x" * 255},
        {"description": "x" * 2000},
        {"granted_scopes": [tool(f"tool_{number}") for number in range(20)]},
        {"granted_scopes": [tool("x" * 255)]},
        {"granted_scopes": [tool("x", rate_limit=1)]},
        {"granted_scopes": [tool("x", rate_limit=1_000_000)]},
        {"granted_scopes": [tool("x", constraints={})]},
        {"granted_scopes": [tool("x", constraints={"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}})]},
        {"granted_scopes": [tool("x", constraints={f"k{number}": number for number in range(200)})]},
        {"granted_scopes": [delegation(ULID, max_chain_depth=1)]},
        {"granted_scopes": [delegation(ULID, max_chain_depth=3)]},
        {"granted_scopes": [READ | {"entities": [f"entity {number}" for number in range(100)]}]},
        {"granted_scopes": [{"type": "human.escalate"}]},
        {"expires_at": InDays(29.99)},
        {"revocation_policy": "drain"},
        {"revocation_policy": "kill"},
        {"max_concurrent_invocations": 1},
        {"max_concurrent_invocations": 1000},
    ],
    ids=lambda settings: str(settings)[:60],
)
def test_what_lies_within_the_limits_is_taken(shared_clinic: Clinic, settings: dict[str, Any]):
    shown = equip(shared_clinic, **as_of_now(settings)).shown
    for name, value in settings.items():
        if name != "expires_at":
            assert shown[name] == value


BEYOND: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "x"}, "VALIDATION_FAILED", "name"),
    ({"name": "x" * 256}, "VALIDATION_FAILED", "name"),
    ({"name": None}, "VALIDATION_FAILED", "name"),
    ({"name": "x\ny"}, "VALIDATION_FAILED", "name"),
    ({"description": "x" * 2001}, "VALIDATION_FAILED", "description"),
    ({"granted_scopes": []}, "VALIDATION_FAILED", "granted_scopes"),
    ({"granted_scopes": None}, "VALIDATION_FAILED", "granted_scopes"),
    ({"granted_scopes": [tool(f"tool_{number}") for number in range(21)]}, "VALIDATION_FAILED", "granted_scopes"),
    ({"expires_at": "2020-01-01T00:00:00+00:00"}, "EXPIRY_IN_PAST", "expires_at"),
    ({"expires_at": InDays(0)}, "EXPIRY_IN_PAST", "expires_at"),
    ({"expires_at": InDays(30.5)}, "VALIDATION_FAILED", "expires_at"),
    ({"expires_at": "tomorrow"}, "VALIDATION_FAILED", "expires_at"),
    ({"expires_at": "2027-01-01T00:00:00"}, "VALIDATION_FAILED", "expires_at"),
    ({"revocation_policy": "pause"}, "VALIDATION_FAILED", "revocation_policy"),
    ({"max_concurrent_invocations": 0}, "VALIDATION_FAILED", "max_concurrent_invocations"),
    ({"max_concurrent_invocations": 1001}, "VALIDATION_FAILED", "max_concurrent_invocations"),
]
BEYOND_A_GRANT: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "hasp.data.delete"}, "INVALID_SCOPE_TYPE", "type"),
    ({"type": "HASP.DATA.READ"}, "INVALID_SCOPE_TYPE", "type"),
    ({"type": "*"}, "INVALID_SCOPE_TYPE", "type"),
    ({}, "VALIDATION_FAILED", "type"),
    ({"type": 5}, "VALIDATION_FAILED", "type"),
    ({"type": "external.tool.invoke"}, "VALIDATION_FAILED", "tool_id"),
    (tool(""), "VALIDATION_FAILED", "tool_id"),
    (tool("x" * 256), "VALIDATION_FAILED", "tool_id"),
    (tool("a\nb"), "VALIDATION_FAILED", "tool_id"),
    (tool("x", mood="cheerful"), "VALIDATION_FAILED", "mood"),
    (tool("x", rate_limit=0), "VALIDATION_FAILED", "rate_limit"),
    (tool("x", rate_limit=1_000_001), "VALIDATION_FAILED", "rate_limit"),
    (tool("x", rate_limit=1.5), "VALIDATION_FAILED", "rate_limit"),
    (tool("x", rate_limit="5"), "VALIDATION_FAILED", "rate_limit"),
    (tool("x", rate_limit=True), "VALIDATION_FAILED", "rate_limit"),
    (tool("x", constraints="all"), "VALIDATION_FAILED", "constraints"),
    (tool("x", constraints=[1]), "VALIDATION_FAILED", "constraints"),
    (tool("x", constraints={"room": []}), "VALIDATION_FAILED", "constraints.room"),
    (tool("x", constraints={"by": "{{patient.name}}"}), "VALIDATION_FAILED", "constraints.by"),
    (tool("x", constraints={"by": "{{delegating_user.ssn}}"}), "VALIDATION_FAILED", "constraints.by"),
    (
        tool("x", constraints={"{{delegating_user.id}}": 1}),
        "VALIDATION_FAILED",
        "constraints.{{delegating_user.id}}",
    ),
    (
        tool("x", constraints={"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}),
        "VALIDATION_FAILED",
        "constraints.a.b.c.d.e.f",
    ),
    (tool("x", constraints={f"k{number}": number for number in range(201)}), "VALIDATION_FAILED", "constraints"),
    ({"type": "hasp.data.read", "tool_id": "x"}, "VALIDATION_FAILED", "tool_id"),
    ({"type": "hasp.data.read", "fields": ["x"]}, "VALIDATION_FAILED", "fields"),
    ({"type": "hasp.data.read", "app_id": 5}, "VALIDATION_FAILED", "app_id"),
    ({"type": "hasp.data.read", "entities": []}, "VALIDATION_FAILED", "entities"),
    ({"type": "hasp.data.read", "entities": "patient"}, "VALIDATION_FAILED", "entities"),
    ({"type": "hasp.data.read", "entities": ["a", 5]}, "VALIDATION_FAILED", "entities[1]"),
    ({"type": "hasp.data.read", "entities": ["a", "a"]}, "VALIDATION_FAILED", "entities[1]"),
    ({"type": "hasp.data.read", "entities": [f"e{number}" for number in range(101)]}, "VALIDATION_FAILED", "entities"),
    ({"type": "hasp.data.read", "filters": {"ward": {"in": []}}}, "VALIDATION_FAILED", "filters.ward.in"),
    ({"type": "hasp.data.write", "filters": {}}, "VALIDATION_FAILED", "filters"),
    ({"type": "hasp.data.write", "fields": []}, "VALIDATION_FAILED", "fields"),
    ({"type": "agent.delegate"}, "VALIDATION_FAILED", "to_agent_id"),
    (delegation(ULID, max_chain_depth=0), "VALIDATION_FAILED", "max_chain_depth"),
    (delegation(ULID, max_chain_depth=4), "VALIDATION_FAILED", "max_chain_depth"),
    ({"type": "human.escalate", "to_role": 5}, "VALIDATION_FAILED", "to_role"),
    ({"type": "human.escalate", "channels": []}, "VALIDATION_FAILED", "channels"),
    ({"type": "human.escalate", "to": "nurse"}, "VALIDATION_FAILED", "to"),
]


@pytest.fixture(scope="module")
def idle_agent(shared_clinic: Clinic) -> str:
    """An agent to which nobody ever issues anything."""
    return register(shared_clinic)


@pytest.mark.parametrize(("settings", "code", "param"), BEYOND, ids=lambda value: str(value)[:60])
def test_what_lies_beyond_the_limits_is_named(
    shared_clinic: Clinic, idle_agent: str, settings: dict[str, Any], code: str, param: str
):
    check(agents.request(shared_clinic, idle_agent, **as_of_now(settings)), 422, code, param)
    assert shared_clinic.get(f"/v1/agents/{idle_agent}/credentials", status="all") == []


@pytest.mark.parametrize(("grant", "code", "field"), BEYOND_A_GRANT, ids=lambda value: str(value)[:60])
def test_what_is_wrong_with_a_grant_is_named_with_its_place(
    shared_clinic: Clinic, idle_agent: str, grant: dict[str, Any], code: str, field: str
):
    check(agents.request(shared_clinic, idle_agent, FIND, grant), 422, code, f"granted_scopes[1].{field}")
    assert shared_clinic.get(f"/v1/agents/{idle_agent}/credentials", status="all") == []


@pytest.mark.parametrize("settings", [{"granted_scopes": ["x"]}, {"max_concurrent_invocations": 1.5}, {"name": 5}])
def test_a_field_of_the_wrong_json_type_is_malformed(shared_clinic: Clinic, idle_agent: str, settings: dict[str, Any]):
    check(agents.request(shared_clinic, idle_agent, **settings), 400, "MALFORMED_JSON")


@pytest.mark.parametrize(
    "grant",
    [
        '{"type": "external.tool.invoke", "tool_id": "a", "tool_id": "b"}',
        '{"type": "external.tool.invoke", "tool_id": "a", "type": "hasp.data.read"}',
        '{"type": "external.tool.invoke", "tool_id": "a", "constraints": {"room": 1, "room": [1, 2]}}',
    ],
)
def test_a_grant_that_says_two_things_at_once_is_malformed(shared_clinic: Clinic, idle_agent: str, grant: str):
    answer = shared_clinic.http.post(
        f"/v1/agents/{idle_agent}/credentials",
        content=f'{{"name": "Twice", "granted_scopes": [{grant}]}}',
        headers={"content-type": "application/json"},
    )
    check(answer, 400, "MALFORMED_JSON")


def test_a_type_of_grant_that_the_agent_may_not_carry_is_refused_whoever_issues(shared_clinic: Clinic):
    agent_id = register(shared_clinic, allowed_scope_types=["hasp.data.read", "agent.delegate"])
    issue(shared_clinic, agent_id, READ)
    refused = agents.request(shared_clinic, agent_id, READ, FIND)
    check(refused, 422, "INVALID_SCOPE_TYPE", "granted_scopes[1].type")
    parent = equip(shared_clinic, delegation(agent_id), READ, FIND)
    check(parent.delegate(agent_id, READ, FIND), 422, "INVALID_SCOPE_TYPE", "granted_scopes[1].type")
    assert parent.delegate(agent_id, READ).status_code == 201
    nothing = register(shared_clinic, allowed_scope_types=[])
    check(agents.request(shared_clinic, nothing, READ), 422, "INVALID_SCOPE_TYPE", "granted_scopes[0].type")


def test_an_archived_agent_gets_no_credential_from_anybody(shared_clinic: Clinic):
    agent_id = register(shared_clinic)
    parent = equip(shared_clinic, delegation(agent_id), FIND)
    shared_clinic.http.post(f"/v1/agents/{agent_id}/archive")
    check(agents.request(shared_clinic, agent_id), 422, "AGENT_ARCHIVED")
    check(parent.delegate(agent_id, FIND), 422, "AGENT_ARCHIVED")


def test_a_repeated_issue_with_the_same_key_is_one_credential_with_one_token(clinic: Clinic):
    agent_id = register(clinic)
    body = {"name": "Night shift", "granted_scopes": [FIND]}
    path = f"/v1/agents/{agent_id}/credentials"
    first, second = (clinic.http.post(path, json=body, headers={"idempotency-key": "one"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json() == second.json()
    assert len(clinic.get(path)) == 1
    other = clinic.http.post(path, json=body | {"name": "Day shift"}, headers={"idempotency-key": "one"})
    check(other, 422, "IDEMPOTENCY_KEY_REUSED")


# Reading -------------------------------------------------------------------------------------------------------------


def test_credentials_are_listed_by_status_and_in_pages(clinic: Clinic):
    agent_id = register(clinic)
    path = f"/v1/agents/{agent_id}/credentials"
    expiring = issue(clinic, agent_id, expires_at=in_days(2 / 86400))
    revoked, *active = (issue(clinic, agent_id) for _ in range(4))
    revoked.revoke(reason="Lost.")
    equip(clinic)
    expiring.outlive()
    ids = [each.id for each in active][::-1]

    def listed(**parameters: Any) -> list[str]:
        return [each["id"] for each in clinic.get(path, **parameters)]

    assert listed() == listed(status="active") == ids
    assert listed(status="revoked") == [revoked.id]
    assert listed(status="expired") == [expiring.id]
    assert listed(status="all") == [*ids, revoked.id, expiring.id]
    first = clinic.http.get(path, params={"limit": 2}).json()
    assert (first["meta"]["has_more"], len(first["data"])) == (True, 2)
    second = clinic.http.get(path, params={"limit": 2, "cursor": first["meta"]["next_cursor"]}).json()
    assert [each["id"] for each in first["data"] + second["data"]] == ids
    assert (second["meta"]["has_more"], second["meta"]["next_cursor"]) == (False, None)
    for parameters, param in (({"status": "asleep"}, "status"), ({"limit": 0}, "limit"), ({"limit": 201}, "limit")):
        check(clinic.http.get(path, params=parameters), 422, "VALIDATION_FAILED", param)
    for each in clinic.get(path, status="all"):
        assert set(each) == FIELDS
        assert clinic.get(f"{path}/{each['id']}") == {"credential": each}
    statuses = {each["id"]: each["status"] for each in clinic.get(path, status="all")}
    assert statuses == {**dict.fromkeys(ids, "active"), revoked.id: "revoked", expiring.id: "expired"}


def test_the_last_use_is_shown(clinic: Clinic):
    held = equip(clinic)
    assert clinic.get(held.path)["credential"]["last_used_at"] is None
    assert held.is_accepted()
    held.authorize(**FIND)

    def used() -> Any:
        return clinic.get(held.path)["credential"]["last_used_at"]

    wait_until(lambda: used() is not None, seconds=15)
    assert abs((datetime.fromisoformat(used()) - datetime.now(UTC)).total_seconds()) < 60


def test_another_organizations_or_another_agents_credential_is_not_found(clinic: Clinic, open_clinic: OpenClinic):
    held, stranger = equip(clinic), open_clinic()
    other_agent = register(clinic)
    calls: list[Callable[[Clinic, str], httpx.Response]] = [
        lambda who, path: who.http.get(path),
        lambda who, path: who.http.post(f"{path}/revoke", json={}),
    ]
    for call in calls:
        check(call(stranger, held.path), 404, "RESOURCE_NOT_FOUND")
        check(call(clinic, f"/v1/agents/{other_agent}/credentials/{held.id}"), 404, "RESOURCE_NOT_FOUND")
        check(call(clinic, f"/v1/agents/{held.agent_id}/credentials/{ULID}"), 404, "RESOURCE_NOT_FOUND")
        check(call(clinic, f"/v1/agents/{held.agent_id}/credentials/nonsense"), 404, "RESOURCE_NOT_FOUND")
    check(stranger.http.get(f"/v1/agents/{held.agent_id}/credentials"), 404, "RESOURCE_NOT_FOUND")
    assert held.is_accepted()


def test_the_token_is_shown_once_and_kept_nowhere(suite: Suite, clinic: Clinic):
    """Answers, audit, logs of every process, every column of every database."""
    agent_id, other = register(clinic), register(clinic)
    parent = issue(clinic, agent_id, delegation(other), FIND, description="Amaryllis")
    child = parent.delegated(other, FIND, name="Marigold Quince")
    trial = issue(clinic, agent_id, FIND, test_mode=True)
    again = clinic.http.post(
        f"/v1/agents/{agent_id}/credentials",
        json={"name": "Kept for a repetition", "granted_scopes": [FIND]},
        headers={"idempotency-key": "kept"},
    ).json()["data"]["token"]
    for held in (parent, child, trial):
        held.authorize(**FIND, arguments={"room": 5})
        held.send("GET", "/v1/models")
        held.send("POST", "/v1/ai/chat", json={"message": "Hello", "stream": False})
    reading = [clinic.get(f"/v1/agents/{each}/credentials", status="all") for each in (agent_id, other)]
    reading += [clinic.get(held.path) for held in (parent, child, trial)]
    child.revoke(reason="Rowan and Hawthorn")
    check(child.send("GET", "/v1/models"), 401, "INVALID_API_KEY")
    wait_until(lambda: len(clinic.audit(action="agent.credential_revoked")) == 1)
    tokens = [parent.token, child.token, trial.token, again]
    secrets = [*tokens, *(token[-43:] for token in tokens)]
    assert found(secrets, json.dumps(reading)) == []
    audit = json.dumps(clinic.audit())
    assert found([*secrets, "Amaryllis", "Marigold", "Rowan"], audit) == []
    logs = "\n".join(path.read_text(errors="replace") for path in log_files(suite))
    assert found([*secrets, "Amaryllis", "Marigold", "Rowan"], logs) == []
    for service in SERVICES:
        assert leaks_in_database(suite, service, secrets) == {}


# Delegation ----------------------------------------------------------------------------------------------------------


def chain(clinic: Clinic, length: int) -> list[Held]:
    """A credential of a human and, one below the other, what was delegated from it."""
    ids = [register(clinic) for _ in range(length + 1)]
    grants = [FIND, *(delegation(each, max_chain_depth=3) for each in ids[1:])]
    links = [issue(clinic, ids[0], *grants)]
    for each in ids[1:]:
        links.append(links[-1].delegated(each, *grants))
    return links


def test_a_delegated_credential_tells_the_whole_path_to_the_human(clinic: Clinic):
    links = chain(clinic, 3)
    path = [clinic.user_id]
    for depth, link in enumerate(links):
        path.append(link.id)
        shown = link.shown
        assert (shown["chain_depth"], shown["delegation_path"]) == (depth, path)
        assert shown["delegating_user_id"] == clinic.user_id
        assert shown["parent_credential_id"] == (links[depth - 1].id if depth else None)
        assert link.is_accepted()
    wait_until(lambda: len(clinic.audit(action="agent.credential_delegated")) == 3)
    delegated = {entry["entity_id"]: entry for entry in clinic.audit(action="agent.credential_delegated")}
    for parent, child in pairwise(links):
        entry = delegated[child.id]
        assert (entry["entity_type"], entry["user_id"]) == ("credential", clinic.user_id)
        assert entry["actor"] == {
            "type": "agent",
            "id": parent.agent_id,
            "credential_id": parent.id,
            "delegation_path": parent.shown["delegation_path"],
        }
    (issued,) = clinic.audit(action="agent.credential_issued")
    assert (issued["entity_id"], issued["actor"]["type"], issued["user_id"]) == (links[0].id, "api_key", clinic.user_id)


def test_a_fourth_delegation_is_too_deep(shared_clinic: Clinic):
    ids = [register(shared_clinic) for _ in range(5)]
    grants = [FIND, *(delegation(each, max_chain_depth=3) for each in ids[1:])]
    link = issue(shared_clinic, ids[0], *grants)
    for each in ids[1:4]:
        link = link.delegated(each, *grants)
    check(link.delegate(ids[4], FIND), 422, "CHAIN_DEPTH_EXCEEDED")


@pytest.mark.parametrize("permitted", [1, 2])
def test_a_chain_ends_where_the_grant_says(shared_clinic: Clinic, permitted: int):
    ids = [register(shared_clinic) for _ in range(permitted + 2)]
    grants = [FIND, *(delegation(each, max_chain_depth=permitted) for each in ids[1:])]
    link = issue(shared_clinic, ids[0], *grants)
    for each in ids[1:-1]:
        link = link.delegated(each, *grants)
    error = check(link.delegate(ids[-1], FIND), 422, "CHAIN_DEPTH_EXCEEDED")
    assert error["details"] == {"max_chain_depth": permitted}


def test_only_a_grant_to_that_very_agent_permits_delegation(shared_clinic: Clinic):
    named, other = register(shared_clinic), register(shared_clinic)
    for held in (equip(shared_clinic, FIND), equip(shared_clinic, delegation(other), FIND)):
        check(held.delegate(named, FIND), 403, "DELEGATION_NOT_PERMITTED")
    check(equip(shared_clinic, delegation(ULID), FIND).delegate(ULID, FIND), 404, "RESOURCE_NOT_FOUND")


NARROW: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("another tool", tool("a"), tool("b")),
    ("a rate where none was", tool("a", rate_limit=10), tool("a")),
    ("a higher rate", tool("a", rate_limit=10), tool("a", rate_limit=11)),
    ("no constraint", tool("a", constraints={"room": 1}), tool("a")),
    ("another value", tool("a", constraints={"room": 1}), tool("a", constraints={"room": 2})),
    ("another type of value", tool("a", constraints={"room": 1}), tool("a", constraints={"room": True})),
    ("a star", tool("a", constraints={"room": "a"}), tool("a", constraints={"room": "*"})),
    ("more values", tool("a", constraints={"room": [1, 2]}), tool("a", constraints={"room": [1, 3]})),
    ("a nested value", tool("a", constraints={"at": {"room": 1}}), tool("a", constraints={"at": {"floor": 1}})),
    ("a literal for a variable", tool("a", constraints={"by": "{{delegating_user.email}}"}), tool("a", constraints={"by": "x"})),
    ("every app", READ, {"type": "hasp.data.read", "entities": ["patient"]}),
    ("another app", READ, READ | {"app_id": "billing"}),
    ("every entity", READ, {"type": "hasp.data.read", "app_id": "ehr"}),
    ("another entity", READ, READ | {"entities": ["patient", "invoice"]}),
    ("no filter", READ | {"filters": {"ward": "a"}}, READ),
    ("writing for reading", READ, {"type": "hasp.data.write", "app_id": "ehr", "entities": ["patient"]}),
    (
        "another field",
        {"type": "hasp.data.write", "fields": ["text"]},
        {"type": "hasp.data.write", "fields": ["text", "signed"]},
    ),
    ("a longer chain", delegation(ULID, max_chain_depth=2), delegation(ULID, max_chain_depth=3)),
    ("another agent", delegation(ULID), delegation("01ARZ3NDEKTSV4RRFFQ69G5FAW")),
    ("another role", {"type": "human.escalate", "to_role": "nurse"}, {"type": "human.escalate", "to_role": "doctor"}),
    ("any role", {"type": "human.escalate", "to_role": "nurse"}, {"type": "human.escalate"}),
    (
        "another channel",
        {"type": "human.escalate", "channels": ["pager"]},
        {"type": "human.escalate", "channels": ["pager", "mail"]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("held", "asked"), [row[1:] for row in NARROW], ids=[row[0] for row in NARROW])
def test_nobody_delegates_more_than_they_hold(shared_clinic: Clinic, held: dict[str, Any], asked: dict[str, Any]):
    agent_id = register(shared_clinic)
    parent = equip(shared_clinic, delegation(agent_id), FIND, held)
    check(parent.delegate(agent_id, FIND, asked), 422, "SCOPE_EXCEEDS_PARENT", "granted_scopes[1]")
    assert parent.delegate(agent_id, FIND, held).status_code == 201


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        (tool("a"), tool("a", rate_limit=5, constraints={"room": 1})),
        (tool("a", constraints={"room": [1, 2]}), tool("a", constraints={"room": 2, "floor": 1})),
        (
            tool("a", constraints={"by": "{{delegating_user.email}}"}),
            tool("a", constraints={"by": "{{delegating_user.email}}"}),
        ),
        ({"type": "hasp.data.read"}, READ | {"filters": {"ward": "a"}}),
        (READ, READ | {"entities": ["visit"]}),
        ({"type": "human.escalate"}, {"type": "human.escalate", "to_role": "nurse", "channels": ["pager"]}),
    ],
)
def test_less_may_be_delegated(shared_clinic: Clinic, held: dict[str, Any], asked: dict[str, Any]):
    agent_id = register(shared_clinic)
    assert equip(shared_clinic, delegation(agent_id), held).delegated(agent_id, asked).is_accepted()


def test_a_delegated_credential_ends_no_later_than_its_parent(shared_clinic: Clinic):
    agent_id = register(shared_clinic, default_expiry_hours=720)
    parent = equip(shared_clinic, delegation(agent_id), FIND, expires_at=in_days(1))
    check(parent.delegate(agent_id, FIND, expires_at=in_days(1.01)), 422, "EXPIRY_EXCEEDS_PARENT", "expires_at")
    check(parent.delegate(agent_id, FIND, expires_at=in_days(-1)), 422, "EXPIRY_IN_PAST", "expires_at")
    assert parent.delegated(agent_id, FIND).expires_at == parent.expires_at
    assert parent.delegated(agent_id, FIND, expires_at=parent.shown["expires_at"]).expires_at == parent.expires_at
    sooner = parent.delegated(agent_id, FIND, expires_at=in_days(0.5))
    assert sooner.expires_at < parent.expires_at


def test_a_delegated_credential_runs_no_more_at_once_than_its_parent(shared_clinic: Clinic):
    agent_id = register(shared_clinic)
    few = equip(shared_clinic, delegation(agent_id), FIND, max_concurrent_invocations=3)
    assert few.delegated(agent_id, FIND).shown["max_concurrent_invocations"] == 3
    assert few.delegated(agent_id, FIND, max_concurrent_invocations=2).shown["max_concurrent_invocations"] == 2
    check(
        few.delegate(agent_id, FIND, max_concurrent_invocations=4),
        422,
        "SCOPE_EXCEEDS_PARENT",
        "max_concurrent_invocations",
    )
    many = equip(shared_clinic, delegation(agent_id), FIND, max_concurrent_invocations=50)
    assert many.delegated(agent_id, FIND).shown["max_concurrent_invocations"] == 10


def test_what_a_test_mode_credential_delegates_is_test_mode(shared_clinic: Clinic):
    agent_id = register(shared_clinic)
    parent = equip(shared_clinic, delegation(agent_id), FIND, test_mode=True)
    assert parent.delegated(agent_id, FIND).token.startswith("hasp_agent_test_")
    assert parent.delegate(agent_id, FIND, test_mode=False).status_code == 422


def test_an_agent_of_another_organization_is_not_found_by_a_delegating_one(
    shared_clinic: Clinic, open_clinic: OpenClinic
):
    foreign = register(open_clinic())
    held = equip(shared_clinic, delegation(foreign), FIND)
    check(held.delegate(foreign, FIND), 404, "RESOURCE_NOT_FOUND")


# Revocation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["drain", "kill"])
def test_a_revoked_root_takes_all_its_descendants_along_at_once(clinic: Clinic, policy: str):
    ids = [register(clinic) for _ in range(4)]
    grants = [FIND, *(delegation(each, max_chain_depth=3) for each in ids[1:])]
    root = issue(clinic, ids[0], *grants, revocation_policy=policy)
    links = [root]
    for each in ids[1:]:
        links.append(links[-1].delegated(each, *grants, revocation_policy="drain"))
    bystander = issue(clinic, ids[1], FIND)
    sibling = links[1].delegated(ids[3], FIND)
    below = [*links[1:], sibling]
    assert all(each.is_accepted() for each in (*links, sibling))
    answer = clinic.http.post(f"{root.path}/revoke", json={"reason": "Lost."})
    assert [each.is_accepted() for each in (*links, sibling)] == [False] * 5
    data = answer.json()["data"]
    assert answer.status_code == 200, answer.text
    assert set(data) == {"credential", "cascade_revoked_credential_ids"}
    assert sorted(data["cascade_revoked_credential_ids"]) == sorted(each.id for each in below)
    assert set(data["credential"]) == FIELDS
    assert (data["credential"]["status"], data["credential"]["id"]) == ("revoked", root.id)
    assert data["credential"]["revoked_at"] is not None
    assert data["credential"]["revocation_reason"] == "Lost."
    assert bystander.is_accepted()
    for each in below:
        assert clinic.get(each.path)["credential"]["status"] == "revoked"
    wait_until(lambda: len(clinic.audit(action="agent.credential_revoked")) == 5)
    time.sleep(0.5)
    entries = {entry["entity_id"]: entry for entry in clinic.audit(action="agent.credential_revoked")}
    assert set(entries) == {each.id for each in (*links, sibling)}
    assert len(clinic.audit(action="agent.credential_revoked")) == 5
    listed = json.dumps(entries[root.id]["metadata"])
    assert all(each.id in listed for each in below)
    assert "Lost" not in json.dumps(list(entries.values()))


def test_revoking_in_the_middle_leaves_what_is_above(clinic: Clinic):
    links = chain(clinic, 3)
    assert sorted(links[1].revoke()["cascade_revoked_credential_ids"]) == sorted(each.id for each in links[2:])
    assert [each.is_accepted() for each in links] == [True, False, False, False]


def test_revoking_twice_is_one_event(clinic: Clinic):
    held = equip(clinic)
    first, second = held.revoke(reason="One."), held.revoke(reason="Two.")
    assert first["credential"] == second["credential"] | {"last_used_at": first["credential"]["last_used_at"]}
    assert second["cascade_revoked_credential_ids"] == []
    wait_until(lambda: clinic.audit(action="agent.credential_revoked") != [])
    time.sleep(0.5)
    assert len(clinic.audit(action="agent.credential_revoked")) == 1


def test_a_reason_that_is_too_long_is_refused(shared_clinic: Clinic):
    held = equip(shared_clinic)
    check(
        shared_clinic.http.post(f"{held.path}/revoke", json={"reason": "x" * 501}), 422, "VALIDATION_FAILED", "reason"
    )
    assert held.is_accepted()
    assert shared_clinic.http.post(f"{held.path}/revoke").status_code == 200


@pytest.mark.parametrize("how", ["revoke", "archive"])
def test_nobody_slips_through_who_is_issued_a_credential_at_that_moment(clinic: Clinic, how: str):
    """Delegations and issues race with the end of what they come from: what was made before ends too, the rest is refused."""
    agent_id, below = register(clinic), register(clinic)
    root = issue(clinic, agent_id, FIND, delegation(below))
    stop = threading.Event()

    def delegating() -> list[Held]:
        made: list[Held] = []
        with clinic.http_with(root.token) as http:
            while not stop.is_set():
                body = {"name": "In a hurry", "granted_scopes": [FIND]}
                answer = http.post(f"/v1/agents/{below}/credentials", json=body)
                if answer.status_code != 201:
                    check(answer, 401, "INVALID_API_KEY")
                    return made
                made.append(Held(clinic, answer.json()["data"]["credential"], answer.json()["data"]["token"]))
        return made

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(delegating) for _ in range(6)]
        try:
            wait_until(lambda: len(clinic.get(f"/v1/agents/{below}/credentials")) > 20)
            if how == "revoke":
                ended = set(root.revoke()["cascade_revoked_credential_ids"])
            else:
                answer = clinic.http.post(f"/v1/agents/{agent_id}/archive").json()["data"]
                ended = set(answer["revoked_credential_ids"]) - {root.id}
            # Those that ask from now on are refused, which ends the threads.
            made = [each for thread in running for each in thread.result(10)]
        finally:
            stop.set()
    assert ended == {each.id for each in made}
    assert [each.is_accepted() for each in (root, *made)] == [False] * (len(made) + 1)
    assert clinic.get(f"/v1/agents/{below}/credentials") == []


def test_rotation_by_overlap(shared_clinic: Clinic):
    """The new one works before the old one is revoked, and goes on afterwards."""
    agent_id = register(shared_clinic)
    old, new = issue(shared_clinic, agent_id), issue(shared_clinic, agent_id)
    assert old.is_accepted()
    assert new.is_accepted()
    old.revoke()
    assert not old.is_accepted()
    assert new.is_accepted()


# Who gets in ---------------------------------------------------------------------------------------------------------


def test_every_token_that_is_not_in_force_meets_one_and_the_same_401(clinic: Clinic):
    expired, revoked, alive = equip(clinic, expires_at=in_days(2 / 86400)), equip(clinic), equip(clinic)
    assert expired.is_accepted()
    assert revoked.is_accepted()
    revoked.revoke()
    expired.outlive()
    tokens = {
        "expired": expired.token,
        "revoked": revoked.token,
        "unknown": "hasp_agent_" + "A" * 43,
        "unknown test": "hasp_agent_test_" + "A" * 43,
        "short": "hasp_agent_" + "A" * 42,
        "long": alive.token + "A",
        "cut": alive.token[:-1],
        "other prefix": alive.token.replace("hasp_agent_", "hasp_agent_test_"),
        "upper case": alive.token.upper(),
        "no body": "hasp_agent_",
    }
    messages = set()
    for path in ("/v1/ai/messages/" + ULID, "/v1/agents", "/v1/usage", "/v1/compliance/baa"):
        for kind, token in tokens.items():
            answer = clinic.http.get(path, headers={"authorization": f"Bearer {token}"})
            error = check(answer, 401, "INVALID_API_KEY")
            messages.add((error["message"], error.get("param"), str(error.get("details"))))
            assert token not in answer.text, kind
    assert len(messages) == 1
    assert alive.is_accepted()


def test_the_token_is_taken_from_both_headers(shared_clinic: Clinic):
    held = equip(shared_clinic)
    with shared_clinic.http_with(None) as http:
        assert http.get("/v1/models", headers={"x-api-key": held.token}).status_code == 200
        answer = http.post("/v1/invocations", json={"action": FIND}, headers={"x-api-key": held.token})
        assert answer.status_code == 201, answer.text


CONTRACT = read_contract(Path(__file__).parents[2] / "gateway" / "descriptors.pb")


AGENTS = {method.name: method.access.agents for method in METHODS if method.access is not None}
"""What the contract says of agents: 0 refused, 1 admitted beside keys, 2 admitted alone."""


def paths(*wanted: int) -> list[tuple[str, str]]:
    """(method, path) of every route with such a word on agents."""
    routes = [route for route in CONTRACT.routes if AGENTS[f"/{route.rpc}"] in wanted]
    return [(route.method, VARIABLE.sub(ULID, route.template)) for route in routes]


def test_an_agent_is_admitted_to_inference_delegation_and_its_own_invocations_alone():
    assert set(paths(1, 2)) == {
        ("POST", "/v1/ai/chat"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", f"/v1/ai/messages/{ULID}"),
        ("GET", "/v1/models"),
        ("GET", f"/v1/models/{ULID}"),
        ("POST", f"/v1/agents/{ULID}/credentials"),
        ("POST", "/v1/invocations"),
        ("GET", f"/v1/invocations/{ULID}"),
        ("POST", f"/v1/invocations/{ULID}/complete"),
    }
    assert len(paths(0)) > 20


@pytest.mark.parametrize(("method", "path"), paths(0), ids=" ".join)
def test_agents_are_refused_on_every_other_path(shared_clinic: Clinic, worker: Held, method: str, path: str):
    answer = worker.send(method, path, json=None if method in ("GET", "DELETE") else {})
    check(answer, 403, "AGENT_NOT_PERMITTED")


@pytest.mark.parametrize(("method", "path"), paths(2), ids=" ".join)
def test_api_keys_are_refused_where_agents_alone_are_admitted(shared_clinic: Clinic, method: str, path: str):
    answer = shared_clinic.http.request(method, path, json=None if method == "GET" else {})
    check(answer, 403, "AGENT_NOT_PERMITTED")


@pytest.fixture(scope="module")
def worker(shared_clinic: Clinic) -> Held:
    return equip(shared_clinic)


def test_no_right_of_an_agent_reaches_into_another_organization(worker: Held, open_clinic: OpenClinic):
    stranger = open_clinic()
    message = stranger.message("Hello").json()["id"]
    check(worker.send("GET", f"/v1/ai/messages/{message}"), 404, "RESOURCE_NOT_FOUND")
    theirs = equip(stranger).authorize(**FIND).json()["data"]["invocation"]["id"]
    check(worker.send("GET", f"/v1/invocations/{theirs}"), 404, "RESOURCE_NOT_FOUND")
    refused = worker.send("POST", f"/v1/invocations/{theirs}/complete", json={"outcome": "succeeded"})
    check(refused, 404, "RESOURCE_NOT_FOUND")


def test_the_agreement_is_asked_of_agents_too(open_clinic: OpenClinic):
    clinic = open_clinic(baa=False)
    held = equip(clinic)
    body = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
    check(held.send("POST", "/v1/messages", json=body), 402, "BAA_REQUIRED")
    clinic.sign_baa()
    assert held.send("POST", "/v1/messages", json=body).status_code == 200
