"""kill -9 of every process at random moments under load: nothing is lost, nothing is doubled, nothing is mispriced."""

import random
import time
from collections import Counter
from typing import Any

import pytest

from cli.suite import Suite
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.upstream import Upstream
from tests.faults.customers import Asked, Customers

VICTIMS = ("inference", "billing", "compliance", "identity", "edge", "postgres")


@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    "kills", [pytest.param(12, id="a-dozen"), pytest.param(1000, id="a-thousand", marks=[pytest.mark.long])]
)
def test_random_kills_lose_and_double_nothing(suite: Suite, kills: int):
    clinic = Clinic.open(suite)
    upstream = Upstream(suite.simulator_url)
    dice = random.Random(20260401)
    customers = Customers(clinic)
    with customers.asking():
        time.sleep(1)
        for number in range(kills):
            # Each at least once, then as they come.
            victim = VICTIMS[number % len(VICTIMS)] if number < len(VICTIMS) else dice.choice(VICTIMS)
            time.sleep(dice.uniform(0.2, 1.2))
            suite.kill(victim)
            time.sleep(dice.uniform(0, 0.3))
            suite.restart(victim)
        time.sleep(1)
    assert customers.misbehaviour == []
    assert len(customers.answered) > 5 * kills, Counter(asked.broken or asked.refused for asked in customers.asked)
    check_books(clinic, upstream, customers)
    clinic.close()
    upstream.close()


def check_books(clinic: Clinic, upstream: Upstream, customers: Customers) -> None:
    """Records, settlements and audit entries tell one and the same story, and it is the one the customers know."""
    wait_until(lambda: clinic.http.get("/v1/usage").status_code == 200, seconds=30)
    wait_until(lambda: clinic.get("/v1/usage")["credits"]["reserved"] == 0, seconds=90)
    records = all_records(clinic, customers.asked)
    assert {record["status"] for record in records.values()} <= {"completed", "failed", "cancelled"}
    for asked in customers.answered:
        assert asked.request_id is not None
        record = records[asked.request_id]
        assert record["status"] == "completed"
        assert record["content"] == [{"type": "text", "text": asked.answer}]
    seen = Counter(word for each in upstream.received() for word in [word_in(each.body)])
    doubled = [asked.word for asked in customers.answered if seen[asked.word] != 1]
    assert doubled == []
    booked = [record for record in records.values() if record["usage"]["sonnet_equivalent_tokens"] > 0]
    wait_until(lambda: clinic.settled_requests() >= len(booked), seconds=30)
    usage = clinic.get("/v1/usage")
    assert usage["requests"]["total"] == len(booked)
    assert usage["credits"]["used"] == sum(record["usage"]["sonnet_equivalent_tokens"] for record in booked)
    wait_until(lambda: every_record_has_its_entries(clinic, records), seconds=30)
    entries = Counter((entry["request_id"], entry["action"]) for entry in inference_entries(clinic))
    assert [key for key, count in entries.items() if count > 1] == []


def all_records(clinic: Clinic, asked: list[Asked]) -> dict[str, Any]:
    """By request id: those that a customer saw, and those that only the audit log knows."""
    ids = {each.request_id for each in asked if each.request_id}
    ids |= {entry["request_id"] for entry in inference_entries(clinic)}
    records = {}
    for request_id in ids:
        answer = clinic.http.get(f"/v1/ai/messages/{request_id}")
        assert answer.status_code in (200, 404)
        if answer.status_code == 200:
            records[request_id] = answer.json()["data"]
    return records


def inference_entries(clinic: Clinic) -> list[Any]:
    return [entry for entry in clinic.audit() if entry["entity_type"] == "inference_record"]


def every_record_has_its_entries(clinic: Clinic, records: dict[str, Any]) -> bool:
    known = {entry["id"] for entry in clinic.audit()}
    return all(
        set(record["audit"]["entry_ids"]) <= known and record["audit"]["entry_ids"] for record in records.values()
    )


def word_in(body: str) -> str:
    """The customer's word in a request's newest text."""
    return body.rpartition(" says ")[2].partition(".")[0]
