"""Keys across the whole suite: what one service issues every other accepts, and what it revokes every other refuses at once."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cli.organizations import SCOPES
from tests.e2e import sse
from tests.e2e.clinic import MODEL, Clinic, wait_until
from tests.e2e.conftest import OpenClinic

PATHS = ("/v1/api_keys", "/v1/usage", "/v1/compliance/baa", "/v1/models")
"""One for each service."""


def create(clinic: Clinic, **more: Any) -> dict[str, Any]:
    response = clinic.http.post("/v1/api_keys", json={"name": "another", "scopes": list(SCOPES), **more})
    assert response.status_code == 201, response.text
    return response.json()["data"]


def statuses(http: httpx.Client) -> list[int]:
    return [http.get(path).status_code for path in PATHS]


@pytest.mark.parametrize("form", ["wa_live", "hasp_key_live"])
def test_a_new_key_is_accepted_by_every_service_in_both_headers(shared_clinic: Clinic, form: str):
    key = create(shared_clinic, format=form)
    assert key["plaintext"].startswith(f"{form}_")
    with shared_clinic.http_with(key["plaintext"]) as http:
        assert statuses(http) == [200] * 4
    with shared_clinic.http_with(None) as http:
        http.headers["x-api-key"] = key["plaintext"]
        assert statuses(http) == [200] * 4


def test_a_revoked_key_is_refused_by_every_service_at_once(shared_clinic: Clinic):
    for _ in range(5):
        key = create(shared_clinic)
        with shared_clinic.http_with(key["plaintext"]) as http:
            assert statuses(http) == [200] * 4
            revoked = shared_clinic.http.delete(f"/v1/api_keys/{key['id']}")
            assert revoked.json()["data"]["id"] == key["id"]
            assert statuses(http) == [401] * 4


def test_under_load_no_request_that_begins_after_the_revocation_is_accepted(shared_clinic: Clinic):
    key = create(shared_clinic)
    accepted: list[float] = []
    refused: list[float] = []
    failures: list[int] = []
    stop = threading.Event()

    def use(path: str) -> None:
        with shared_clinic.http_with(key["plaintext"]) as http:
            while not stop.is_set():
                began = time.monotonic()
                status = http.get(path).status_code
                if status in (200, 401):
                    (accepted if status == 200 else refused).append(began)
                else:
                    failures.append(status)

    users = [threading.Thread(target=use, args=(path,)) for path in PATHS]
    for user in users:
        user.start()
    try:
        wait_until(lambda: len(accepted) > 40, seconds=30)
        shared_clinic.http.delete(f"/v1/api_keys/{key['id']}")
        returned = time.monotonic()
        wait_until(lambda: len(refused) > 40, seconds=30)
    finally:
        stop.set()
        for user in users:
            user.join()
    assert failures == []
    assert max(accepted) < returned


def test_an_expired_key_is_refused_by_every_service(shared_clinic: Clinic):
    key = create(shared_clinic, expires_at=(datetime.now(UTC) + timedelta(seconds=3)).isoformat())
    with shared_clinic.http_with(key["plaintext"]) as http:
        assert statuses(http) == [200] * 4
        time.sleep(3)
        assert statuses(http) == [401] * 4


@pytest.mark.parametrize("surface", ["native", "anthropic"])
def test_a_running_stream_ends_when_its_key_is_revoked(open_clinic: OpenClinic, surface: str):
    clinic = open_clinic()
    key = create(clinic)
    text = "Go on.[[sim:say=abcdefgh]][[sim:repeat=200]][[sim:chunk=4]][[sim:interval_ms=100]]"
    path, body = "/v1/ai/chat", {"message": text}
    if surface == "anthropic":
        path = "/v1/messages"
        body = {"model": MODEL, "max_tokens": 1000, "stream": True, "messages": [{"role": "user", "content": text}]}
    ended: list[float] = []

    def revoke() -> None:
        clinic.http.delete(f"/v1/api_keys/{key['id']}")
        ended.append(time.monotonic())

    revoking = threading.Timer(1.5, revoke)
    revoking.start()
    with clinic.http_with(key["plaintext"]) as http, http.stream("POST", path, json=body) as response:
        assert response.status_code == 200
        events = list(sse.read(response.iter_raw()))
    over = time.monotonic()
    revoking.join()
    assert over - ended[0] < 1
    names = [event.name for event in events]
    if surface == "native":
        assert names[-2:] == ["run.cancel_requested", "run.cancelled"]
    else:
        assert names[-1] == "error"
        assert "message_stop" not in names


def test_creating_and_revoking_are_in_the_audit_log_without_names(clinic: Clinic):
    key = create(clinic, name="Marigold Quince's laptop")
    clinic.http.delete(f"/v1/api_keys/{key['id']}")

    def entries() -> list[Any]:
        return clinic.audit(entity_type="api_key", entity_id=key["id"])

    wait_until(lambda: len(entries()) == 2)
    assert [entry["action"] for entry in entries()] == ["api_key.revoked", "api_key.created"]
    assert "Marigold" not in str(entries())


def test_the_last_use_is_shown(clinic: Clinic):
    key = create(clinic)
    assert key["last_used_at"] is None
    with clinic.http_with(key["plaintext"]) as http:
        http.get("/v1/api_keys")
    deadline = time.monotonic() + 15
    shown = None
    while shown is None and time.monotonic() < deadline:
        time.sleep(0.5)
        listed = clinic.http.get("/v1/api_keys").json()["data"]
        (shown,) = [each["last_used_at"] for each in listed if each["id"] == key["id"]]
    assert shown is not None
