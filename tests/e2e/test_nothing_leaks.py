"""The promise: what was sent as PHI is seen by the caller and in its record, and nowhere else."""

import base64
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cli.databases import SERVICES
from cli.suite import Suite
from tests.e2e.clinic import MODEL, Clinic, said, wait_until
from tests.e2e.people import Patient
from tests.e2e.upstream import Upstream

TOOL: Any = {"name": "note", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}


def turns_with(patient: Patient) -> list[dict[str, Any]]:
    """The patient in every kind of block that can carry text, in every role."""
    document = {
        "type": "document",
        "title": f"Visit of {patient.name}",
        "context": f"MRN {patient.mrn}",
        "source": {"type": "text", "media_type": "text/plain", "data": patient.sentence},
    }
    parts = {
        "type": "document",
        "source": {"type": "content", "content": [{"type": "text", "text": f"SSN {patient.ssn} of {patient.name}"}]},
    }
    found = {
        "type": "search_result",
        "source": f"https://records.example/p?name={patient.first}%20{patient.last}&ssn={patient.ssn}",
        "title": f"Chart of {patient.name}",
        "content": [{"type": "text", "text": patient.sentence}],
    }
    split = [
        {"type": "text", "text": f"Call {patient.name[:-3]}"},
        {"type": "text", "text": f"{patient.name[-3:]} now."},
    ]
    call = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "note",
        "input": {"text": patient.sentence, "nested": [{"deep": {"patient": patient.name, "mrn": int(patient.mrn)}}]},
    }
    inside = json.dumps({"patient": patient.name, "phones": [patient.phone], "ssn": patient.ssn})
    results = [
        {
            "type": "tool_result",
            "tool_use_id": "toolu_1",
            "content": [{"type": "text", "text": inside}, {**document, "title": f"Of {patient.name}"}],
        },
        {"type": "text", "text": f"As {patient.email} wrote: {patient.sentence}"},
    ]
    return [
        {"role": "user", "content": [document, parts, found, *split]},
        {"role": "assistant", "content": [{"type": "text", "text": f"I note {patient.sentence}"}, call]},
        {"role": "user", "content": results},
    ]


@pytest.mark.parametrize("how", ["create", "stream", "count_tokens"])
def test_no_block_of_a_message_carries_phi_to_the_provider(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient, how: str
):
    request: Any = {
        "model": MODEL,
        "messages": turns_with(patient),
        "system": [{"type": "text", "text": f"You care for {patient.name}, born {patient.born}."}],
        "tools": [TOOL],
    }
    if how == "count_tokens":
        assert shared_clinic.sdk.messages.count_tokens(**request).input_tokens > 0
    else:
        request |= {"max_tokens": 4000, "stream": how == "stream", "stop_sequences": [f"bye {patient.name}"]}
        request["metadata"] = {"user_id": patient.email}
        answer = shared_clinic.http.post("/v1/messages", json=request)
        assert answer.status_code == 200, answer.text
    received = upstream.the_only()
    assert patient.found_in(received.body) == []
    assert patient.found_in(json.dumps(received.headers)) == []
    assert base64.b64encode(patient.name.encode()).decode()[:10] not in received.body
    assert patient.mrn not in received.body


@pytest.mark.parametrize("how", ["plain", "stream"])
def test_the_native_surface_sends_no_phi(shared_clinic: Clinic, upstream: Upstream, patient: Patient, how: str):
    answer = shared_clinic.http.post(
        "/v1/ai/chat",
        json={"message": patient.sentence, "system": f"About {patient.name}.", "stream": how == "stream"},
    )
    assert answer.status_code == 200, answer.text
    assert patient.found_in(upstream.the_only().body) == []


def test_the_record_shows_both_sides(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    message = shared_clinic.ask(patient.sentence)
    ulid = message.id.removeprefix("msg_")
    records = [shared_clinic.record(each) for each in (ulid, f"msg_{ulid}", f"req_{ulid}")]
    assert records[0] == records[1] == records[2]
    record = records[0]
    assert set(record) == {
        "id", "request_id", "message_id", "surface", "status", "model", "provider_message_id", "stop_reason",
        "conversation_id", "messages", "content", "store", "usage", "phi", "audit", "latency_ms", "created_at",
        "completed_at",
    }  # fmt: skip
    assert (record["id"], record["request_id"], record["message_id"]) == (ulid, f"req_{ulid}", f"msg_{ulid}")
    assert (record["surface"], record["status"], record["model"]) == ("anthropic", "completed", MODEL)
    assert record["provider_message_id"].startswith("msg_01")
    assert record["stop_reason"] == "end_turn"
    assert patient.sentence in json.dumps(record["messages"])
    assert record["content"] == [{"type": "text", "text": said(message)}]
    assert record["usage"]["input_tokens"] == message.usage.input_tokens
    phi = record["phi"]
    assert (phi["mode"], phi["action"]) == ("redact", "redacted")
    assert phi["redaction_count"] == len(phi["redactions"]) >= 6
    assert patient.found_in(json.dumps(phi)) == []
    for redaction in phi["redactions"]:
        assert {"path", "entity_type", "placeholder", "score", "recognizer", "category"} <= set(redaction)
        assert 0 <= redaction["start"] < redaction["end"] <= len(patient.sentence)
        assert redaction["path"].startswith("messages[0].content")
        assert redaction["placeholder"] in upstream.text
    assert set(record["latency_ms"]) == {"phi", "upstream", "total"}
    assert record["latency_ms"]["total"] >= record["latency_ms"]["upstream"] >= 0
    wait_until(lambda: bool(shared_clinic.record(ulid)["audit"]["entry_ids"]))
    for entry_id in shared_clinic.record(ulid)["audit"]["entry_ids"]:
        wait_until(lambda entry_id=entry_id: shared_clinic.http.get(f"/v1/audit/{entry_id}").status_code == 200)


def test_another_clinics_record_is_not_found(shared_clinic: Clinic, clinic: Clinic, patient: Patient):
    message = shared_clinic.ask(patient.sentence)
    answer = clinic.http.get(f"/v1/ai/messages/{message.id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")
    assert patient.found_in(answer.text) == []


def test_logs_audit_and_databases_hold_neither_phi_nor_keys(
    suite: Suite, clinic: Clinic, patient: Patient, upstream: Upstream
):
    """After every kind of request and refusal: each byte that the suite has put anywhere is searched."""
    clinic.ask(patient.sentence)
    clinic.chat(patient.sentence)
    clinic.chat(patient.sentence, stream=True)
    clinic.http.post("/v1/messages", json={"model": MODEL, "max_tokens": 4000, "messages": turns_with(patient)})
    for status in (400, 500, 529):
        clinic.message(f"{patient.sentence}\n[[sim:status={status}]]")
    clinic.message(f"{patient.sentence}\n[[sim:midstream_error]]", stream=True)
    clinic.message(patient.sentence, max_tokens=f"{patient.name}")
    clinic.message(patient.sentence, model=patient.name)
    clinic.message(patient.sentence, tools=[{**TOOL, "description": patient.sentence}])
    clinic.http.get(f"/v1/ai/messages/{patient.last}")
    clinic.http.post("/v1/ai/chat", content=f'{{"message": "{patient.sentence}"'.encode())
    clinic.put("/v1/ai/settings", default_system=patient.sentence)
    clinic.put("/v1/ai/settings", phi_mode="block")
    assert clinic.message(patient.sentence).status_code == 403
    _, plaintext = clinic.new_key("ai:chat")
    secrets = [*patient.secrets, clinic.key, clinic.key[-32:], plaintext, plaintext[-32:]]
    wait_until(lambda: len(clinic.audit()) >= 8)
    audit = clinic.audit()
    assert {entry["action"] for entry in audit} >= {"api_key.created"}
    assert found(secrets, json.dumps(audit)) == []
    assert patient.found_in(upstream.text) == []
    leaks = {str(path): found(secrets, path.read_text(errors="replace")) for path in log_files(suite)}
    assert {path: hits for path, hits in leaks.items() if hits} == {}
    for service in SERVICES:
        assert leaks_in_database(suite, service, secrets) == {}


def log_files(suite: Suite) -> list[Path]:
    files = [path for path in suite.places.logs.rglob("*") if path.is_file()]
    assert {"inference.log", "edge.log"} <= {path.name for path in files}
    return files


def found(secrets: list[str], text: str) -> list[str]:
    lowered = text.lower()
    return [secret for secret in secrets if secret.lower() in lowered]


def leaks_in_database(suite: Suite, service: str, secrets: list[str]) -> dict[str, list[str]]:
    """Table → the secrets found in its rows, as text or as bytes."""
    leaks = {}
    spellings = {secret: (secret, secret.encode().hex()) for secret in secrets}
    with psycopg.connect(suite.admin_url, dbname=service, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert tables
        for schema, table in tables:
            name = sql.Identifier(schema, table)
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} AS t").format(name)).fetchall()
            text = "\n".join(row for (row,) in rows).lower()
            hits = [secret for secret, ways in spellings.items() if any(way.lower() in text for way in ways)]
            if hits:
                leaks[table] = hits
    return leaks
