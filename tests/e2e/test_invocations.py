"""Agents ask before they act: authorize, run, complete, through the edge."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cli.databases import SERVICES
from cli.suite import Suite
from tests.e2e.agents import Held, delegation, equip, issue, register, tool
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.envelope import check
from tests.e2e.people import Patient
from tests.e2e.test_nothing_leaks import found, leaks_in_database, log_files

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
FIELDS = {"id", "status", "matched_grant", "filters", "expires_at", "outcome"}
FIND = tool("calendar.find_slots")
READ: dict[str, Any] = {"type": "hasp.data.read"}
WRITE: dict[str, Any] = {"type": "hasp.data.write"}
ESCALATE: dict[str, Any] = {"type": "human.escalate"}


def authorized(held: Held, **action: Any) -> dict[str, Any]:
    """The invocation."""
    answer = held.authorize(**action)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["invocation"]


def complete(held: Held, invocation: dict[str, Any], outcome: str = "succeeded") -> httpx.Response:
    return held.send("POST", f"/v1/invocations/{invocation['id']}/complete", json={"outcome": outcome})


def test_an_action_is_authorized_run_and_completed(shared_clinic: Clinic):
    held = equip(shared_clinic, FIND)
    answer = held.authorize(**FIND, arguments={"day": "monday"})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert set(body) == {"success", "data", "meta"}
    assert body["meta"] == {"request_id": answer.headers["x-request-id"]}
    assert set(body["data"]) == {"invocation"}
    invocation = body["data"]["invocation"]
    assert set(invocation) == FIELDS
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", invocation["id"])
    assert (invocation["status"], invocation["outcome"], invocation["filters"]) == ("authorized", None, None)
    assert invocation["matched_grant"] == FIND
    ends = datetime.fromisoformat(invocation["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(minutes=15)) < timedelta(seconds=30)
    path = f"/v1/invocations/{invocation['id']}"
    assert held.send("GET", path).json()["data"] == {"invocation": invocation}
    done = complete(held, invocation)
    assert done.status_code == 200, done.text
    ended = invocation | {"status": "completed", "outcome": "succeeded"}
    assert done.json()["data"] == {"invocation": ended}
    assert held.send("GET", path).json()["data"] == {"invocation": ended}
    assert complete(held, invocation).json()["data"] == {"invocation": ended}
    check(complete(held, invocation, "failed"), 409, "CONCURRENT_MODIFICATION")
    failed = authorized(held, **FIND)
    assert complete(held, failed, "failed").json()["data"]["invocation"]["outcome"] == "failed"


MATCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (FIND, FIND),
    (tool("a", constraints={"room": [1, 2]}), tool("a", arguments={"room": 2, "day": "monday"})),
    (tool("a", constraints={"room": [1, 2]}), tool("a", arguments={"room": [2, 1]})),
    (tool("a", constraints={"at": {"floor": 1}}), tool("a", arguments={"at": {"floor": 1, "wing": "b"}})),
    (tool("a", constraints={"open": True, "by": None}), tool("a", arguments={"open": True, "by": None})),
    (READ, READ | {"app_id": "ehr", "entities": ["patient"]}),
    (READ | {"app_id": "ehr", "entities": ["a", "b"]}, READ | {"app_id": "ehr", "entities": ["b"]}),
    (READ | {"filters": {"ward": "a"}}, READ | {"filters": {"ward": "a", "open": True}}),
    (READ | {"filters": {"ward": "a"}}, READ),
    (WRITE | {"entities": ["note"], "fields": ["text"]}, WRITE | {"entities": ["note"], "fields": ["text"]}),
    (delegation(ULID), delegation(ULID)),
    (ESCALATE | {"to_role": "nurse"}, ESCALATE | {"to_role": "nurse", "channels": ["pager"]}),
]
MISSES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (FIND, tool("calendar.delete")),
    (FIND, tool("Calendar.find_slots")),
    (FIND, READ),
    (tool("*"), tool("calendar.find_slots")),
    (tool("a", constraints={"room": 1}), tool("a")),
    (tool("a", constraints={"room": 1}), tool("a", arguments={"room": 2})),
    (tool("a", constraints={"room": 1}), tool("a", arguments={"room": "1"})),
    (tool("a", constraints={"room": 1}), tool("a", arguments={"room": True})),
    (tool("a", constraints={"room": [1, 2]}), tool("a", arguments={"room": []})),
    (tool("a", constraints={"room": [1, 2]}), tool("a", arguments={"room": [1, 3]})),
    (tool("a", constraints={"room": "*"}), tool("a", arguments={"room": "b"})),
    (tool("a", constraints={"at": {"floor": 1}}), tool("a", arguments={"at": {"wing": "b"}})),
    (tool("a", constraints={"by": "{{delegating_user.id}}"}), tool("a", arguments={"by": "{{delegating_user.id}}"})),
    (READ | {"app_id": "ehr"}, READ),
    (READ | {"entities": ["a"]}, READ),
    (READ | {"entities": ["a"]}, READ | {"entities": ["a", "b"]}),
    (READ | {"filters": {"ward": "a"}}, READ | {"filters": {"ward": "b"}}),
    (WRITE | {"fields": ["text"]}, WRITE | {"fields": ["text", "signed"]}),
    (delegation(ULID), delegation("01ARZ3NDEKTSV4RRFFQ69G5FAW")),
    (ESCALATE | {"to_role": "nurse"}, ESCALATE),
    (ESCALATE | {"channels": ["pager"]}, ESCALATE | {"channels": ["mail"]}),
]


@pytest.mark.parametrize(("grant", "action"), MATCHES, ids=str)
def test_what_a_grant_says_is_authorized(shared_clinic: Clinic, grant: dict[str, Any], action: dict[str, Any]):
    # Any grant will do, and the first that matches is named.
    held = equip(shared_clinic, tool("something_else"), grant, grant)
    assert authorized(held, **action)["matched_grant"] == grant


@pytest.mark.parametrize(("grant", "action"), MISSES, ids=str)
def test_what_no_grant_says_is_refused(shared_clinic: Clinic, grant: dict[str, Any], action: dict[str, Any]):
    error = check(equip(shared_clinic, grant).authorize(**action), 403, "TOOL_NOT_IN_SCOPE")
    named = {"tool_id": action["tool_id"]} if "tool_id" in action else {"type": action["type"]}
    assert error["details"] == named


def test_the_filters_come_back_with_the_delegating_user_in_them(clinic: Clinic):
    filters = {
        "clinician": "{{delegating_user.email}}",
        "note": "seen by {{delegating_user.id}} ({{delegating_user.role}})",
        "ward": ["a", "{{delegating_user.role}}"],
        "open": True,
        "level": {"least": 3},
    }
    below = register(clinic)
    grant = READ | {"entities": ["visit"], "filters": filters}
    root = equip(clinic, delegation(below), grant)
    for held in (root, root.delegated(below, grant)):
        invocation = authorized(held, **READ, entities=["visit"])
        assert invocation["filters"] == {
            "clinician": clinic.email,
            "note": f"seen by {clinic.user_id} (owner)",
            "ward": ["a", "owner"],
            "open": True,
            "level": {"least": 3},
        }
        # The grant is shown as it was given.
        assert invocation["matched_grant"] == grant
        assert held.send("GET", f"/v1/invocations/{invocation['id']}").json()["data"]["invocation"] == invocation
        mine = {"entities": ["visit"], "filters": {"clinician": clinic.email}}
        assert authorized(held, **READ, **mine)["filters"]["clinician"] == clinic.email
        theirs = {"entities": ["visit"], "filters": {"clinician": "somebody@else.example"}}
        check(held.authorize(**READ, **theirs), 403, "TOOL_NOT_IN_SCOPE")


def test_a_constraint_names_the_delegating_user(clinic: Clinic):
    held = equip(clinic, tool("mail", constraints={"to": "{{delegating_user.email}}"}))
    assert held.authorize(**tool("mail"), arguments={"to": clinic.email}).status_code == 201
    for other in ("{{delegating_user.email}}", "somebody@else.example", ""):
        check(held.authorize(**tool("mail"), arguments={"to": other}), 403, "TOOL_NOT_IN_SCOPE")


@pytest.mark.parametrize(
    ("action", "param"),
    [
        ({}, "action.type"),
        ({"type": "hasp.data.delete"}, "action.type"),
        ({"type": 5}, "action.type"),
        ({"type": "external.tool.invoke"}, "action.tool_id"),
        (tool(""), "action.tool_id"),
        (tool("x" * 256), "action.tool_id"),
        (tool("x", mood="cheerful"), "action.mood"),
        (tool("x", rate_limit=5), "action.rate_limit"),
        (tool("x", arguments="all"), "action.arguments"),
        (READ | {"entities": []}, "action.entities"),
        (READ | {"entities": ["a", 5]}, "action.entities[1]"),
        (READ | {"fields": ["a"]}, "action.fields"),
        (READ | {"filters": []}, "action.filters"),
        ({"type": "agent.delegate"}, "action.to_agent_id"),
        (ESCALATE | {"to_role": 5}, "action.to_role"),
    ],
    ids=str,
)
def test_an_action_is_read_strictly(worker: Held, action: dict[str, Any], param: str):
    answer = worker.send("POST", "/v1/invocations", json={"action": action})
    check(answer, 422, "VALIDATION_FAILED", param)


@pytest.fixture(scope="module")
def worker(shared_clinic: Clinic) -> Held:
    return equip(shared_clinic, FIND, max_concurrent_invocations=1000)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 422, "VALIDATION_FAILED", "action"),
        ({"action": None}, 422, "VALIDATION_FAILED", "action"),
        ({"action": "calendar"}, 400, "MALFORMED_JSON", None),
    ],
)
def test_an_authorization_needs_an_action(worker: Held, body: Any, status: int, code: str, param: str | None):
    check(worker.send("POST", "/v1/invocations", json=body), status, code, param)


@pytest.mark.parametrize(
    "action",
    [
        '{"type": "external.tool.invoke", "tool_id": "calendar.find_slots", "tool_id": "calendar.delete"}',
        '{"type": "external.tool.invoke", "tool_id": "calendar.find_slots", "arguments": {"room": 1, "room": 2}}',
    ],
)
def test_an_action_that_says_two_things_at_once_is_malformed(worker: Held, action: str):
    answer = worker.clinic.http.post(
        "/v1/invocations",
        content=f'{{"action": {action}}}',
        headers={"authorization": f"Bearer {worker.token}", "content-type": "application/json"},
    )
    check(answer, 400, "MALFORMED_JSON")


@pytest.mark.parametrize("body", [{}, {"outcome": ""}, {"outcome": "perhaps"}, {"outcome": None}])
def test_an_outcome_is_one_of_two(worker: Held, body: Any):
    path = f"/v1/invocations/{authorized(worker, **FIND)['id']}"
    check(worker.send("POST", f"{path}/complete", json=body), 422, "VALIDATION_FAILED", "outcome")
    assert worker.send("GET", path).json()["data"]["invocation"]["status"] == "authorized"


def test_an_invocation_is_the_very_credentials_own(clinic: Clinic):
    agent_id = register(clinic)
    below = register(clinic)
    held = issue(clinic, agent_id, FIND, delegation(below))
    invocation = authorized(held, **FIND)
    others = (issue(clinic, agent_id, FIND), equip(clinic, FIND), held.delegated(below, FIND))
    for other in others:
        check(other.send("GET", f"/v1/invocations/{invocation['id']}"), 404, "RESOURCE_NOT_FOUND")
        check(complete(other, invocation), 404, "RESOURCE_NOT_FOUND")
    for unknown in (ULID, "nonsense"):
        check(held.send("GET", f"/v1/invocations/{unknown}"), 404, "RESOURCE_NOT_FOUND")
        check(complete(held, {"id": unknown}), 404, "RESOURCE_NOT_FOUND")
    assert complete(held, invocation).status_code == 200


def refused_for_now(answer: httpx.Response, code: str) -> int:
    """Seconds to wait, as the header says them."""
    error = check(answer, 429, code, retryable=True)
    seconds = int(answer.headers["retry-after"])
    assert seconds >= 1
    assert error["details"].get("retry_after_seconds", seconds) == seconds
    return seconds


def test_no_more_run_at_once_than_the_credential_says(shared_clinic: Clinic):
    held = equip(shared_clinic, FIND, max_concurrent_invocations=2)
    first, _ = authorized(held, **FIND), authorized(held, **FIND)
    refused_for_now(held.authorize(**FIND), "CONCURRENCY_LIMIT_REACHED")
    # What is not in scope is not a matter of room.
    check(held.authorize(**READ), 403, "TOOL_NOT_IN_SCOPE")
    complete(held, first)
    authorized(held, **FIND)
    refused_for_now(held.authorize(**FIND), "CONCURRENCY_LIMIT_REACHED")


def test_the_limit_holds_when_many_ask_at_once(shared_clinic: Clinic):
    held = equip(shared_clinic, FIND, max_concurrent_invocations=5)
    barrier = threading.Barrier(16)

    def ask(_: int) -> list[int]:
        barrier.wait()
        return [held.authorize(**FIND).status_code for _ in range(5)]

    with ThreadPoolExecutor(16) as pool:
        statuses = [status for each in pool.map(ask, range(16)) for status in each]
    assert sorted(statuses) == [201] * 5 + [429] * 75


def test_a_rate_is_used_up_and_tells_when_to_come_back(shared_clinic: Clinic):
    held = equip(shared_clinic, tool("a", rate_limit=2), tool("b"))
    for _ in range(2):
        complete(held, authorized(held, **tool("a")))
    seconds = refused_for_now(held.authorize(**tool("a")), "RATE_LIMITED")
    assert 3500 < seconds <= 3661
    authorized(held, **tool("b"))


def test_a_further_grant_helps_when_the_rate_of_the_first_is_used_up(shared_clinic: Clinic):
    grants = tool("a", rate_limit=1), tool("a", rate_limit=1, constraints={"room": 1})
    held = equip(shared_clinic, *grants)
    matched = [authorized(held, **tool("a"), arguments={"room": 1})["matched_grant"] for _ in range(2)]
    assert matched == list(grants)
    refused_for_now(held.authorize(**tool("a"), arguments={"room": 1}), "RATE_LIMITED")


def test_delegating_does_not_multiply_a_rate(shared_clinic: Clinic):
    below = register(shared_clinic)
    root = equip(shared_clinic, tool("a", rate_limit=3), delegation(below))
    one, two = (root.delegated(below, tool("a", rate_limit=2)) for _ in range(2))
    authorized(one, **tool("a"))
    authorized(one, **tool("a"))
    refused_for_now(one.authorize(**tool("a")), "RATE_LIMITED")
    authorized(two, **tool("a"))
    refused_for_now(two.authorize(**tool("a")), "RATE_LIMITED")
    refused_for_now(root.authorize(**tool("a")), "RATE_LIMITED")


def test_a_repeated_authorization_with_the_same_key_takes_one_slot(shared_clinic: Clinic):
    held = equip(shared_clinic, FIND, max_concurrent_invocations=1)
    headers = {"authorization": f"Bearer {held.token}", "idempotency-key": "one"}
    first, second = (
        shared_clinic.http.post("/v1/invocations", json={"action": FIND}, headers=headers) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    refused_for_now(held.authorize(**FIND), "CONCURRENCY_LIMIT_REACHED")


def test_a_drained_credential_completes_what_runs_and_does_nothing_else(clinic: Clinic):
    below = register(clinic)
    held = equip(clinic, FIND, delegation(below), revocation_policy="drain")
    first, second = authorized(held, **FIND), authorized(held, **FIND)
    held.revoke()
    refusals = [
        held.authorize(**FIND),
        held.delegate(below, FIND),
        held.send("GET", f"/v1/invocations/{first['id']}"),
        held.send("GET", f"/v1/ai/messages/{ULID}"),
        held.send("POST", "/v1/ai/chat", json={"message": "Hello", "stream": False}),
        held.send("GET", "/v1/agents"),
    ]
    for refusal in refusals:
        check(refusal, 401, "INVALID_API_KEY")
    for invocation in (first, second):
        done = complete(held, invocation)
        assert done.status_code == 200, done.text
        assert done.json()["data"]["invocation"]["status"] == "completed"
    # With the last one the credential has ended altogether.
    check(complete(held, first), 401, "INVALID_API_KEY")
    wait_until(lambda: len(clinic.audit(action="agent.invocation_completed")) == 2)
    assert clinic.audit(action="agent.invocation_cancelled") == []


@pytest.mark.parametrize("how", ["revoked", "archived", "root revoked", "drained and then archived"])
def test_what_a_killed_credential_runs_is_cancelled(clinic: Clinic, how: str):
    agent_id = register(clinic)
    root = equip(clinic, FIND, delegation(agent_id))
    if how == "root revoked":
        held = root.delegated(agent_id, FIND, revocation_policy="drain")
    else:
        held = issue(clinic, agent_id, FIND, revocation_policy="kill" if how == "revoked" else "drain")
    running = [authorized(held, **FIND) for _ in range(2)]
    done = authorized(held, **FIND)
    complete(held, done)
    if how == "root revoked":
        root.revoke()
    elif how == "revoked":
        held.revoke()
    else:
        if how == "drained and then archived":
            held.revoke()
        clinic.http.post(f"/v1/agents/{agent_id}/archive").raise_for_status()
    for invocation in running:
        check(complete(held, invocation), 401, "INVALID_API_KEY")
    wait_until(lambda: len(clinic.audit(action="agent.invocation_cancelled")) == 2)
    entries = clinic.audit(action="agent.invocation_cancelled")
    assert {entry["entity_id"] for entry in entries} == {invocation["id"] for invocation in running}
    for entry in entries:
        assert entry["entity_type"] == "invocation"
        assert entry["metadata"]["reason"] == "revoked"
        assert (entry["actor"]["type"], entry["user_id"]) == ("api_key", clinic.user_id)


def test_an_invocation_ends_with_its_credential(clinic: Clinic):
    """The token is refused then; the log tells the end of what still ran."""
    held = equip(clinic, FIND, expires_at=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())
    invocation = authorized(held, **FIND)
    assert invocation["expires_at"] == held.shown["expires_at"]
    held.outlive()
    check(complete(held, invocation), 401, "INVALID_API_KEY")
    wait_until(lambda: clinic.audit(action="agent.invocation_cancelled") != [], seconds=20)
    (entry,) = clinic.audit(action="agent.invocation_cancelled")
    assert (entry["entity_id"], entry["metadata"]["reason"]) == (invocation["id"], "expired")


def test_every_step_is_in_the_audit_log_and_no_argument_is_anywhere(suite: Suite, clinic: Clinic, patient: Patient):
    below = register(clinic)
    root = equip(clinic, FIND, delegation(below))
    held = root.delegated(below, FIND)
    arguments = {"patient": patient.name, "about": {patient.last: [patient.sentence, {"mrn": patient.mrn}]}}
    first = authorized(held, **FIND, arguments=arguments)
    complete(held, first)
    headers = {"authorization": f"Bearer {held.token}", "idempotency-key": "kept"}
    kept = clinic.http.post("/v1/invocations", json={"action": FIND | {"arguments": arguments}}, headers=headers)
    assert kept.status_code == 201, kept.text
    made_up = f"call_{patient.last}".lower()
    check(held.authorize(**tool(made_up), arguments=arguments), 403, "TOOL_NOT_IN_SCOPE")
    check(held.authorize(**READ, entities=[patient.name]), 403, "TOOL_NOT_IN_SCOPE")
    check(held.authorize(**FIND, **{patient.last: 1}), 422, "VALIDATION_FAILED")
    check(held.authorize(type=patient.name), 422, "VALIDATION_FAILED")
    wait_until(lambda: len(clinic.audit(action="agent.tool_denied")) == 2)
    wait_until(lambda: len(clinic.audit(action="agent.tool_authorized")) == 2)
    wait_until(lambda: len(clinic.audit(action="agent.invocation_completed")) == 1)
    actor = {
        "type": "agent",
        "id": held.agent_id,
        "credential_id": held.id,
        "delegation_path": [clinic.user_id, root.id, held.id],
    }
    by_action = {action: clinic.audit(action=f"agent.{action}") for action in ("tool_authorized", "tool_denied")}
    ended = clinic.audit(action="agent.invocation_completed")
    for entry in (*by_action["tool_authorized"], *by_action["tool_denied"], *ended):
        assert (entry["actor"], entry["user_id"]) == (actor, clinic.user_id)
    assert {entry["metadata"]["tool_id"] for entry in by_action["tool_authorized"]} == {"calendar.find_slots"}
    assert [entry["metadata"].get("listed") for entry in by_action["tool_denied"]] == [None, False]
    assert (ended[0]["entity_id"], ended[0]["metadata"]["outcome"]) == (first["id"], "succeeded")
    secrets = [*patient.secrets, made_up]
    assert found(secrets, json.dumps(clinic.audit())) == []
    logs = "\n".join(path.read_text(errors="replace") for path in log_files(suite))
    assert found(secrets, logs) == []
    for service in SERVICES:
        assert leaks_in_database(suite, service, secrets) == {}


def test_an_authorization_that_begins_after_the_revocation_is_never_given(shared_clinic: Clinic):
    held = equip(shared_clinic, FIND, max_concurrent_invocations=1000, revocation_policy="kill")
    given: list[float] = []
    refused: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        with shared_clinic.http_with(held.token) as http:
            while not stop.is_set():
                began = time.monotonic()
                status = http.post("/v1/invocations", json={"action": FIND}).status_code
                assert status in (201, 401)
                (given if status == 201 else refused).append(began)

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask) for _ in range(6)]
        try:
            wait_until(lambda: len(given) > 60, seconds=30)
            held.revoke()
            returned = time.monotonic()
            wait_until(lambda: len(refused) > 60, seconds=30)
        finally:
            stop.set()
        for each in asking:
            each.result()
    assert max(given) < returned
