"""`Idempotency-Key`: a repeat never runs or bills twice."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.people import Patient
from tests.e2e.upstream import Upstream


@pytest.fixture
def key() -> dict[str, str]:
    return {"idempotency-key": uuid.uuid4().hex}


def test_a_repeated_creation_gives_the_first_answer(clinic: Clinic, key: dict[str, str]):
    body = {"name": "once", "scopes": ["ai:chat"]}
    first, second = (clinic.http.post("/v1/api_keys", json=body, headers=key) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-request-id"] == first.headers["x-request-id"] == first.json()["meta"]["request_id"]
    assert [each["name"] for each in clinic.get("/v1/api_keys")].count("once") == 1
    other = clinic.http.post("/v1/api_keys", json={**body, "name": "other"}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_a_refusal_is_replayed_too(clinic: Clinic, key: dict[str, str]):
    body = {"name": "", "scopes": []}
    first, second = (clinic.http.post("/v1/api_keys", json=body, headers=key) for _ in range(2))
    assert first.status_code == second.status_code == 422


@pytest.mark.parametrize("surface", ["native", "anthropic"])
def test_a_stored_answer_is_rebuilt_from_its_record(
    clinic: Clinic, upstream: Upstream, patient: Patient, key: dict[str, str], surface: str
):
    path, body = "/v1/ai/chat", {"message": patient.sentence, "stream": False}
    if surface == "anthropic":
        path = "/v1/messages"
        body = {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": patient.sentence}]}
    first, second = (clinic.http.post(path, json=body, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-request-id"] == first.headers["x-request-id"]
    assert comparable(second.json()) == comparable(first.json())
    assert len(upstream.received()) == 1
    clinic.wait_until_settled(1)


def comparable(answer: Any) -> Any:
    """What the record keeps of an answer: its ids, words and usage."""
    if "data" in answer:
        return answer["data"], answer["meta"]["request_id"], answer["meta"]["usage"]["output_tokens"]
    return answer["id"], answer["content"], answer["stop_reason"], answer["usage"]["output_tokens"]


@pytest.mark.parametrize("more", [{"stream": True}, {"store": False, "stream": False}])
def test_an_answer_that_is_not_kept_is_not_repeated(
    clinic: Clinic, upstream: Upstream, key: dict[str, str], more: dict[str, object]
):
    body = {"message": "Hello", **more}
    first, second = (clinic.http.post("/v1/ai/chat", json=body, headers=key) for _ in range(2))
    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]["code"]) == (409, "DUPLICATE_REQUEST")
    assert second.json()["error"]["details"]["request_id"] == first.headers["x-request-id"]
    assert len(upstream.received()) == 1
    clinic.wait_until_settled(1)


def test_of_many_at_once_one_runs(clinic: Clinic, upstream: Upstream, key: dict[str, str]):
    body = {"message": "Hello[[sim:delay_ms=300]]", "stream": False}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: clinic.http.post("/v1/ai/chat", json=body, headers=key), range(8)))
    codes = [answer.json().get("error", {}).get("code") for answer in answers]
    assert codes.count(None) >= 1
    assert set(codes) <= {None, "REQUEST_IN_PROGRESS"}
    assert len(upstream.received()) == 1
    clinic.wait_until_settled(1)
