"""The native surface, POST /v1/ai/chat, field for field."""

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.e2e import sse
from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.conftest import OpenClinic
from tests.e2e.people import Patient
from tests.e2e.upstream import Upstream

ULID = r"[0-9A-HJKMNP-TV-Z]{26}"


def stream(clinic: Clinic, message: str, **more: Any) -> tuple[httpx.Response, list[sse.Event]]:
    # `stream` is left out: true is the default.
    with clinic.http.stream("POST", "/v1/ai/chat", json={"message": message, **more}) as response:
        if response.status_code != 200:
            response.read()
            return response, []
        return response, list(sse.read(response.iter_bytes()))


def text_of(events: list[sse.Event]) -> str:
    return "".join(event.data["data"]["delta"]["text"] for event in events if event.name == "message.delta")


def test_a_plain_answer_has_exactly_the_documented_fields(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    response = shared_clinic.chat(patient.sentence)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert set(body) == {"success", "data", "meta"}
    assert body["success"] is True
    assert set(body["data"]) == {"message", "conversation_id"}
    message = body["data"]["message"]
    assert set(message) == {"id", "role", "content"}
    assert (message["role"], message["content"]) == ("assistant", f"You wrote: {patient.sentence}")
    assert re.fullmatch(f"msg_{ULID}", message["id"])
    assert re.fullmatch(f"conv_{ULID}", body["data"]["conversation_id"])
    assert set(body["meta"]) == {"request_id", "usage", "phi"}
    assert body["meta"]["request_id"] == response.headers["x-request-id"] == "req_" + message["id"][4:]
    usage = body["meta"]["usage"]
    assert set(usage) == {"model", "input_tokens", "output_tokens", "sonnet_equivalent_tokens", "cost_usd"}
    assert usage["model"] == MODEL
    assert usage["sonnet_equivalent_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    # $3 and $15 for a million tokens.
    assert usage["cost_usd"] == pytest.approx((3 * usage["input_tokens"] + 15 * usage["output_tokens"]) / 1e6)
    phi = body["meta"]["phi"]
    assert set(phi) == {"mode", "action", "entity_types", "redaction_count", "restored_count"}
    assert (phi["mode"], phi["action"]) == ("redact", "redacted")
    assert {"PERSON", "US_SSN", "PHONE_NUMBER"} <= set(phi["entity_types"])
    assert phi["redaction_count"] == phi["restored_count"] >= 6
    assert patient.found_in(upstream.text) == []


def test_an_answer_without_phi_says_so(shared_clinic: Clinic):
    phi = shared_clinic.chat("Which doses of ibuprofen are usual?").json()["meta"]["phi"]
    assert (phi["action"], phi["entity_types"], phi["redaction_count"], phi["restored_count"]) == ("none", [], 0, 0)


def test_defaults_reach_the_provider(shared_clinic: Clinic, upstream: Upstream):
    shared_clinic.chat("Hello")
    sent = upstream.the_only().json
    assert (sent["model"], sent["max_tokens"]) == (MODEL, 4096)
    assert "store" not in sent
    assert "system" not in sent or not sent["system"]


def test_a_stream_is_the_documented_run(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    response, events = stream(shared_clinic, f"{patient.sentence}\n[[sim:chunk=3]]")
    assert response.headers["content-type"].startswith("text/event-stream")
    names = [event.name for event in events]
    assert names[:3] == ["run.created", "run.started", "message.created"]
    assert names[-3:] == ["message.completed", "usage.updated", "run.completed"]
    assert set(names[3:-3]) == {"message.delta"}
    request_id = response.headers["x-request-id"]
    message_id = "msg_" + request_id[4:]
    for event in events:
        assert set(event.data) == {"id", "object", "type", "api_version", "created", "data"}
        assert event.id == event.data["id"]
        assert re.fullmatch(f"evt_{ULID}", event.data["id"])
        assert (event.data["object"], event.data["type"]) == ("event", event.name)
        assert event.data["api_version"] == "2026-04-01"
        assert isinstance(event.data["created"], int)
    assert len({event.id for event in events}) == len(events)
    data = {event.name: event.data["data"] for event in events}
    statuses = {"run.created": "created", "run.started": "in_progress", "run.completed": "completed"}
    for name, status in statuses.items():
        run = data[name]["object"]
        assert set(run) == {"id", "object", "status", "model", "conversation_id", "created_at"}
        assert (run["id"], run["object"], run["status"], run["model"]) == (request_id, "run", status, MODEL)
        assert datetime.fromisoformat(run["created_at"]).utcoffset() is not None
        assert run["created_at"].endswith("+00:00")
    assert (data["run.started"]["request_id"], data["run.started"]["message_id"]) == (request_id, message_id)
    created, completed = data["message.created"]["object"], data["message.completed"]["object"]
    assert set(created) == set(completed) == {"id", "object", "role", "status", "content"}
    assert (created["id"], created["object"], created["role"]) == (message_id, "message", "assistant")
    assert (completed["status"], completed["content"]) == ("completed", f"You wrote: {patient.sentence}")
    delta = data["message.delta"]
    assert (delta["message_id"], delta["index"], delta["delta"]["type"]) == (message_id, 0, "text_delta")
    assert text_of(events) == f"You wrote: {patient.sentence}"
    assert set(data["usage.updated"]) == {
        "model", "input_tokens", "output_tokens", "sonnet_equivalent_tokens", "cost_usd",
    }  # fmt: skip
    assert data["run.completed"]["phi"]["action"] == "redacted"
    assert data["run.completed"]["phi"]["restored_count"] >= 6
    assert patient.found_in(upstream.text) == []


def test_a_run_is_retrievable_as_soon_as_it_has_started(shared_clinic: Clinic):
    with shared_clinic.http.stream("POST", "/v1/ai/chat", json={"message": "Hello[[sim:delay_ms=600]]"}) as response:
        for event in sse.read(response.iter_bytes()):
            if event.name == "run.started":
                record = shared_clinic.record(event.data["data"]["request_id"])
                assert record["status"] == "dispatched"
    assert shared_clinic.record(response.headers["x-request-id"])["status"] == "completed"


def test_a_conversation_remembers_and_keeps_its_placeholders(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient
):
    first = shared_clinic.chat(f"{patient.name} has a cough.").json()["data"]
    second = shared_clinic.chat(
        f"Is {patient.name} contagious?\n[[sim:echo=all]]", conversation_id=first["conversation_id"]
    ).json()["data"]
    assert second["conversation_id"] == first["conversation_id"]
    sent = upstream.received()[-1].json["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "user"]
    assert str(sent).count("[PERSON_1]") == 3
    assert "[PERSON_2]" not in str(sent)
    assert second["message"]["content"].count(patient.name) == 3
    assert patient.found_in(upstream.text) == []
    _, events = stream(shared_clinic, f"Thank you for {patient.name}.", conversation_id=first["conversation_id"])
    assert text_of(events) == f"You wrote: Thank you for {patient.name}."
    assert len(upstream.received()[-1].json["messages"]) == 5


def test_another_clinics_conversation_is_not_found(
    shared_clinic: Clinic, open_clinic: OpenClinic, upstream: Upstream, patient: Patient
):
    conversation = shared_clinic.chat(f"{patient.name} has a cough.").json()["data"]["conversation_id"]
    before = len(upstream.received())
    for conversation_id in (conversation, "conv_" + "0" * 26):
        answer = open_clinic().chat("Hello", conversation_id=conversation_id)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")
    assert len(upstream.received()) == before


@pytest.mark.parametrize("how", ["store=false", "storage_mode=none"])
def test_contents_are_not_kept_when_nobody_wants_them(open_clinic: OpenClinic, patient: Patient, how: str):
    clinic = open_clinic()
    more: dict[str, Any] = {"store": False} if how == "store=false" else {}
    if how == "storage_mode=none":
        clinic.put("/v1/ai/settings", storage_mode="none")
    answer = clinic.chat(patient.sentence, **more).json()
    assert answer["data"]["message"]["content"] == f"You wrote: {patient.sentence}"
    assert answer["data"]["conversation_id"] is None
    record = clinic.record(answer["meta"]["request_id"])
    assert (record["messages"], record["content"], record["conversation_id"]) == (None, None, None)
    assert record["usage"]["output_tokens"] > 0
    assert patient.found_in(str(record)) == []


def test_the_system_prompt_is_the_requests_or_else_the_organizations(
    clinic: Clinic, upstream: Upstream, patient: Patient
):
    assert clinic.get("/v1/ai/settings")["default_system"] is None
    clinic.put("/v1/ai/settings", default_system=f"You work for Dr. {patient.name}.")
    answer = clinic.chat("Who?[[sim:echo=system]]").json()["data"]["message"]["content"]
    assert answer == f"My instructions are: You work for Dr. {patient.name}."
    own = clinic.chat("Who?[[sim:echo=system]]", system="Be brief.").json()["data"]["message"]["content"]
    assert own == "My instructions are: Be brief."
    assert patient.found_in(upstream.text) == []


def test_placeholders_stay_when_restoration_is_off(clinic: Clinic, patient: Patient):
    clinic.put("/v1/ai/settings", phi_restore=False)
    answer = clinic.chat(f"{patient.name} has a cough.").json()
    assert answer["data"]["message"]["content"] == "You wrote: [PERSON_1] has a cough."
    assert answer["meta"]["phi"]["restored_count"] == 0


def test_text_that_looks_like_a_placeholder_comes_back_as_it_was(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient
):
    sentence = f"Write [PERSON_1] where I mean {patient.name}, and [PERSON_2] where I mean nobody."
    assert shared_clinic.chat(sentence).json()["data"]["message"]["content"] == f"You wrote: {sentence}"
    assert patient.found_in(upstream.text) == []


def test_a_run_that_the_provider_breaks_off_fails_with_object_and_error(clinic: Clinic):
    response, events = stream(clinic, "Tell me a long story.[[sim:cut_after=6]][[sim:chunk=2]]")
    assert response.status_code == 200
    last = events[-1]
    assert last.name == "run.failed"
    assert last.data["data"]["object"]["status"] == "failed"
    assert last.data["data"]["error"]["code"] == "INFERENCE_UPSTREAM_FAILURE"
    assert "run.completed" not in [event.name for event in events]
    record = clinic.record(response.headers["x-request-id"])
    assert record["status"] == "failed"
    assert record["content"]
    clinic.wait_until_settled(1)


def test_a_failure_before_the_run_exists_is_a_plain_error(open_clinic: OpenClinic):
    response, events = stream(open_clinic(baa=False), "Hello")
    assert (response.status_code, events) == (402, [])
    assert response.json()["error"]["code"] == "BAA_REQUIRED"
    assert response.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("surface", ["native", "anthropic"])
def test_the_providers_call_stops_when_the_client_goes(clinic: Clinic, upstream: Upstream, surface: str):
    text = "[[sim:say=Once upon a time ]][[sim:repeat=50]][[sim:interval_ms=100]]"
    path, body = "/v1/ai/chat", {"message": text}
    if surface == "anthropic":
        path = "/v1/messages"
        body = {"model": MODEL, "max_tokens": 1000, "stream": True, "messages": [{"role": "user", "content": text}]}
    with clinic.http.stream("POST", path, json=body) as response:
        request_id = response.headers["x-request-id"]
        seen = sse.read(response.iter_bytes())
        for _ in range(6):
            next(seen)
    assert upstream.wait_for_outcome("abandoned", 2.0).events < 30
    usage = clinic.wait_until_settled(1)
    assert usage["credits"]["used"] > 0
    record = clinic.record(request_id)
    assert record["status"] == "cancelled"
    assert record["content"]
