"""An organization's own server hears of what happens, over the edge and back: registered, told, verified, rotated, replayed, deleted."""

import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.compliance.receivers import Receiver
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.envelope import check


def register(clinic: Clinic, receiver: Receiver, *events: str, **more: Any) -> dict[str, Any]:
    answer = clinic.http.post("/v1/webhooks", json={"url": f"{receiver.url}/hasp", "events": events, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


def arrived(receiver: Receiver, count: int) -> None:
    wait_until(lambda: len(receiver.received) >= count)


def plain(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def test_an_event_arrives_and_proves_where_it_comes_from(clinic: Clinic, receiver: Receiver):
    endpoint = register(clinic, receiver, "api_key.*", description="Intake")
    started = time.monotonic()
    key_id, _ = clinic.new_key("control:read")
    arrived(receiver, 1)
    print(f"from the answer to the webhook: {(time.monotonic() - started) * 1000:.0f} ms")
    [received] = receiver.received
    event = Webhook(endpoint["secret"]).verify(received.body, received.header)
    assert event == json.loads(received.body)
    assert received.header["x-hasp-signature-256"] == plain(endpoint["secret"], received.body)
    assert received.header["x-hasp-webhook-id"] == received.id
    assert received.header["user-agent"] == "Hasp-Webhook/1.0"
    assert "x-hasp-signature-256-previous" not in received.header
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(received.body.replace(b"api_key", b"app_key"), received.header)
    # It says what the audit log says.
    entry = clinic.get(f"/v1/audit/{event['id']}")
    assert (event["event"], event["entity_key"], event["app_id"]) == ("api_key.created", key_id, None)
    assert (event["timestamp"], event["data"]["seq"]) == (entry["created_at"], entry["seq"])
    assert event["data"]["integrity_hash"] == entry["integrity_hash"]
    assert event["data"]["metadata"] == entry["metadata"]
    assert entry["ip_address"] not in str(event)
    wait_until(lambda: clinic.get(f"/v1/webhooks/{endpoint['id']}/deliveries")[0]["status"] == "delivered")
    [delivery] = clinic.get(f"/v1/webhooks/{endpoint['id']}/deliveries")
    assert (delivery["id"], delivery["event"]) == (received.id, "api_key.created")
    assert (delivery["attempts"], delivery["last_status"], delivery["next_attempt_at"]) == (1, 200, None)
    assert delivery["delivered_at"] >= delivery["created_at"]


def test_events_arrive_in_their_order(clinic: Clinic, receiver: Receiver):
    register(clinic, receiver, "api_key.created")
    ids = [clinic.new_key("control:read")[0] for _ in range(12)]
    arrived(receiver, 12)
    assert [json.loads(each.body)["entity_key"] for each in receiver.received] == ids
    assert len(set(receiver.ids)) == 12


def test_a_replaced_secret_is_believed_beside_the_new_one(clinic: Clinic, receiver: Receiver):
    first = register(clinic, receiver, "api_key.created")
    rotated = clinic.http.post(f"/v1/webhooks/{first['id']}/rotate_secret").json()["data"]
    assert rotated["secret"] != first["secret"]
    clinic.new_key("control:read")
    arrived(receiver, 1)
    [received] = receiver.received
    for secret in (first["secret"], rotated["secret"]):
        Webhook(secret).verify(received.body, received.header)
    assert received.header["x-hasp-signature-256"] == plain(rotated["secret"], received.body)
    assert received.header["x-hasp-signature-256-previous"] == plain(first["secret"], received.body)


def test_a_test_event_and_a_replay_of_it_have_one_id(clinic: Clinic, receiver: Receiver):
    endpoint = register(clinic, receiver, "baa.signed")
    path = f"/v1/webhooks/{endpoint['id']}"
    queued = clinic.http.post(f"{path}/test").json()["data"]
    assert (queued["status"], queued["event"]) == ("pending", "webhook.test")
    arrived(receiver, 1)
    assert receiver.ids == [queued["id"]]
    assert json.loads(receiver.received[0].body)["data"] == {"endpoint_id": endpoint["id"]}
    wait_until(lambda: clinic.get(f"{path}/deliveries")[0]["status"] == "delivered")
    asked = {"endpoint_id": endpoint["id"], "status": "delivered", "since": queued["created_at"]}
    replayed = clinic.http.post("/v1/webhooks/deliveries/bulk-replay", json=asked)
    assert (replayed.status_code, replayed.json()["data"]) == (200, {"replayed": 1})
    arrived(receiver, 2)
    assert receiver.ids == [queued["id"]] * 2
    assert receiver.received[0].body == receiver.received[1].body


def test_a_deleted_endpoint_hears_nothing_more(clinic: Clinic, receiver: Receiver):
    gone = register(clinic, receiver, "api_key.created")
    kept = register(clinic, receiver, "api_key.created")
    assert clinic.http.delete(f"/v1/webhooks/{gone['id']}").json()["data"]["id"] == gone["id"]
    clinic.new_key("control:read")
    arrived(receiver, 1)
    time.sleep(0.5)
    [received] = receiver.received
    Webhook(kept["secret"]).verify(received.body, received.header)
    assert [each["id"] for each in clinic.get("/v1/webhooks")] == [kept["id"]]
    check(clinic.http.get(f"/v1/webhooks/{gone['id']}/deliveries"), 404, "RESOURCE_NOT_FOUND")
    check(clinic.http.delete(f"/v1/webhooks/{gone['id']}"), 404, "RESOURCE_NOT_FOUND")


def test_a_repeated_registration_is_one_endpoint_and_shows_its_secret_again(clinic: Clinic, receiver: Receiver):
    body = {"url": receiver.url, "events": ["*"]}
    first, second = (clinic.http.post("/v1/webhooks", json=body, headers={"idempotency-key": "one"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json() == second.json()
    assert len(clinic.get("/v1/webhooks")) == 1


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["agent.*", "agents.*"]}, "events[1]"),
        ({"description": "x" * 256}, "description"),
    ],
)
def test_a_wrong_registration_is_refused_by_name(shared_clinic: Clinic, changed: dict[str, Any], param: str):
    body = {"url": "https://127.0.0.1/", "events": ["schema.updated"], **changed}
    check(shared_clinic.http.post("/v1/webhooks", json=body), 422, "VALIDATION_FAILED", param)


def test_a_key_without_the_scope_registers_nothing(shared_clinic: Clinic, receiver: Receiver):
    _, key = shared_clinic.new_key("ai:chat", "control:read", "control:write")
    with shared_clinic.http_with(key) as http:
        answer: httpx.Response = http.post("/v1/webhooks", json={"url": receiver.url, "events": ["*"]})
    check(answer, 403, "MISSING_SCOPE")
