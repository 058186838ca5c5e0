"""Who gets in: keys, scopes and the agreement, each effective on the very next request."""

import json
import time
from typing import Any

import httpx
import pytest

from tests.e2e import sse
from tests.e2e.clinic import MODEL, Clinic, wait_until
from tests.e2e.conftest import OpenClinic
from tests.e2e.upstream import Upstream


def chat_with(clinic: Clinic, key: str) -> httpx.Response:
    with clinic.http_with(key) as http:
        return http.post("/v1/ai/chat", json={"message": "Hello", "stream": False})


def test_the_gate_lifts_on_the_next_request(open_clinic: OpenClinic, upstream: Upstream):
    clinic = open_clinic(baa=False)
    refused = clinic.chat("Hello")
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "BAA_REQUIRED")
    assert refused.json()["error"]["type"] == "payment_required"
    assert refused.json()["error"]["details"]["baa_url"]
    status = clinic.get("/v1/compliance/baa")
    assert (status["status"], status["acceptance"]) == ("unsigned", None)
    assert status["signing"] == {"method": "POST", "path": "/v1/compliance/baa/acceptances"}
    assert set(status["template"]) == {"version", "title", "sha256", "body_markdown", "effective_at"}
    signed = clinic.sign_baa().json()["data"]
    assert clinic.chat("Hello").status_code == 200
    status = clinic.get("/v1/compliance/baa")
    assert (status["status"], status["acceptance"]["id"]) == ("active", signed["id"])
    assert signed["template_sha256"] == status["template"]["sha256"]
    assert len(upstream.received()) == 1


def test_a_revoked_key_is_refused_at_once(shared_clinic: Clinic):
    for _ in range(10):
        key_id, plaintext = shared_clinic.new_key("ai:chat")
        assert chat_with(shared_clinic, plaintext).status_code == 200
        revoked = shared_clinic.http.delete(f"/v1/api_keys/{key_id}")
        assert (revoked.status_code, revoked.json()["data"]["id"]) == (200, key_id)
        refused = chat_with(shared_clinic, plaintext)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "INVALID_API_KEY")
        assert shared_clinic.http.delete(f"/v1/api_keys/{key_id}").status_code == 404


@pytest.mark.parametrize("surface", ["native", "anthropic"])
def test_a_running_stream_ends_when_its_key_is_revoked(clinic: Clinic, upstream: Upstream, surface: str):
    key_id, plaintext = clinic.new_key("ai:chat")
    text = "[[sim:say=Once upon a time ]][[sim:repeat=50]][[sim:interval_ms=100]]"
    path, body = "/v1/ai/chat", {"message": text}
    if surface == "anthropic":
        path = "/v1/messages"
        body = {"model": MODEL, "max_tokens": 1000, "stream": True, "messages": [{"role": "user", "content": text}]}
    with clinic.http_with(plaintext) as http, http.stream("POST", path, json=body) as response:
        events = sse.read(response.iter_bytes())
        for _ in range(6):
            next(events)
        assert clinic.http.delete(f"/v1/api_keys/{key_id}").status_code == 200
        revoked = time.monotonic()
        rest = list(events)
    assert time.monotonic() - revoked < 1
    names = [event.name for event in rest]
    if surface == "native":
        assert names[-2:] == ["run.cancel_requested", "run.cancelled"]
    else:
        assert names[-1] == "error"
        assert "message_stop" not in names
    assert upstream.wait_for_outcome("abandoned", 2.0).events < 40
    assert clinic.record(response.headers["x-request-id"])["status"] == "cancelled"
    clinic.wait_until_settled(1)


@pytest.mark.parametrize("form", ["wa_live", "hasp_key_live"])
def test_both_forms_of_a_key_work_in_both_headers(shared_clinic: Clinic, form: str):
    _, plaintext = shared_clinic.new_key("ai:chat", format=form)
    assert plaintext.startswith(f"{form}_")
    assert chat_with(shared_clinic, plaintext).status_code == 200
    with shared_clinic.http_with(None) as http:
        body = {"message": "Hello", "stream": False}
        assert http.post("/v1/ai/chat", json=body, headers={"x-api-key": plaintext}).status_code == 200
        assert http.post("/v1/ai/chat", json=body).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/ai/chat", "ai:chat"),
        ("POST", "/v1/messages", "ai:chat"),
        ("POST", "/v1/messages/count_tokens", "ai:chat"),
        ("GET", "/v1/models", "ai:chat"),
        ("GET", "/v1/ai/messages/01ARZ3NDEKTSV4RRFFQ69G5FAV", "ai:chat"),
        ("GET", "/v1/ai/settings", "control:read"),
        ("PUT", "/v1/ai/settings", "control:write"),
        ("GET", "/v1/api_keys", "control:read"),
        ("POST", "/v1/api_keys", "control:write"),
        ("DELETE", "/v1/api_keys/01ARZ3NDEKTSV4RRFFQ69G5FAV", "control:write"),
        ("GET", "/v1/usage", "control:read"),
        ("GET", "/v1/usage/budget", "control:read"),
        ("PUT", "/v1/usage/budget", "control:write"),
        ("GET", "/v1/compliance/baa", "control:read"),
        ("POST", "/v1/compliance/baa/acceptances", "control:write"),
        ("GET", "/v1/audit", "control:read"),
        ("GET", "/v1/agents", "control:read"),
        ("POST", "/v1/agents", "control:write"),
        ("GET", "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV", "control:read"),
        ("PATCH", "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV", "control:write"),
        ("POST", "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV/archive", "control:write"),
        ("POST", "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV/reactivate", "control:write"),
        ("GET", "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV/credentials", "control:read"),
        ("POST", "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV/credentials", "control:write"),
        ("GET", "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV/credentials/01ARZ3NDEKTSV4RRFFQ69G5FAV", "control:read"),
        (
            "POST",
            "/v1/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV/credentials/01ARZ3NDEKTSV4RRFFQ69G5FAV/revoke",
            "control:write",
        ),
        ("GET", "/v1/webhooks", "control:webhooks"),
    ],
)
def test_each_path_needs_its_scope(shared_clinic: Clinic, method: str, path: str, scope: str):
    others = [each for each in ("ai:chat", "control:read", "control:write", "control:webhooks") if each != scope]
    _, plaintext = shared_clinic.new_key(*others)
    with shared_clinic.http_with(plaintext) as http:
        answer = http.request(method, path, json=None if method in ("GET", "DELETE") else {})
    error = answer.json()["error"]
    assert answer.status_code == 403, answer.text
    assert (error.get("code") or error["hasp_code"]) == "MISSING_SCOPE"
    assert (error.get("details") or error["hasp_details"]) == {"required_scope": scope}


def test_a_key_gives_no_scope_that_it_does_not_hold(shared_clinic: Clinic):
    _, plaintext = shared_clinic.new_key("control:write")
    with shared_clinic.http_with(plaintext) as http:
        answer = http.post("/v1/api_keys", json={"name": "more", "scopes": ["control:write", "ai:chat"]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "SCOPE_ESCALATION")
        assert http.post("/v1/api_keys", json={"name": "same", "scopes": ["control:write"]}).status_code == 201


def test_every_effect_has_its_audit_entry(open_clinic: OpenClinic):
    clinic = open_clinic(baa=False)
    signed = clinic.sign_baa()
    key_id, plaintext = clinic.new_key("ai:chat")
    clinic.http.delete(f"/v1/api_keys/{key_id}")
    clinic.put("/v1/usage/budget", spend_cap=1_000_000)
    clinic.put("/v1/usage/budget", spend_cap=1_000_000)
    message = clinic.message("Hello").json()

    def entries(entity_id: str | None = None, **filters: Any) -> list[Any]:
        return clinic.audit(**filters, **({"entity_id": entity_id} if entity_id else {}))

    wait_until(lambda: len(entries(action="budget.updated")) == 1)
    wait_until(lambda: len(entries(entity_id=key_id)) == 2)
    assert [entry["action"] for entry in entries(entity_id=key_id)] == ["api_key.revoked", "api_key.created"]
    acceptance = signed.json()["data"]
    wait_until(lambda: clinic.http.get(f"/v1/audit/{acceptance['audit_entry_id']}").status_code == 200)
    ulid = message["id"].removeprefix("msg_")
    wait_until(lambda: any(entry["request_id"] == f"req_{ulid}" for entry in entries()))
    everything = entries()
    seqs = [entry["seq"] for entry in everything]
    assert seqs == list(range(len(seqs) - 1, -1, -1))
    for entry in everything:
        assert {
            "id",
            "seq",
            "action",
            "entity_type",
            "entity_id",
            "user_id",
            "actor",
            "ip_address",
            "request_id",
        } <= set(entry)
        assert len(entry["integrity_hash"]) == 64
    for secret in (clinic.key, plaintext, "Quentin Marlowe", "privacy@clinic.example"):
        assert secret not in json.dumps(everything)


def test_the_models_of_another_plan_are_the_same(open_clinic: OpenClinic):
    """The catalogue is one file; what a plan limits is requests and tokens."""
    listed = [model["id"] for model in open_clinic(plan="developer").http.get("/v1/models").json()["data"]]
    assert MODEL in listed
