"""kill -9 of every process at random moments under load: nothing is lost, nothing is doubled, nothing is mispriced."""

import random
import time
from collections import Counter

import pytest

from cli.suite import Suite
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.upstream import Upstream
from tests.faults import books
from tests.faults.books import Books
from tests.faults.customers import Customers

VICTIMS = ("inference", "billing", "compliance", "identity", "edge", "postgres")


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(12, id="a-dozen", marks=[pytest.mark.timeout(900)]),
        pytest.param(1000, id="a-thousand", marks=[pytest.mark.long, pytest.mark.timeout(4 * 3600)]),
    ],
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
    check_books(suite, clinic, upstream, customers)
    clinic.close()
    upstream.close()


def check_books(suite: Suite, clinic: Clinic, upstream: Upstream, customers: Customers) -> None:
    """Records, settlements and audit entries tell one and the same story, and it is the one the customers know."""
    wait_until(lambda: clinic.http.get("/v1/usage").status_code == 200, seconds=30)
    # Records of dead processes are ended by living ones, and what everybody owes is delivered.
    wait_until(lambda: not running(suite, clinic) and books.owed(suite) == 0, seconds=120)
    assert Books.read(suite, clinic.org_id).disagreements() == []
    # What is still held belongs to requests that died before they left: nobody knows of them but billing.
    books.let_ten_minutes_pass(suite)
    wait_until(lambda: not Books.read(suite, clinic.org_id).reserved, seconds=30)
    final = Books.read(suite, clinic.org_id)
    usage = clinic.get("/v1/usage")
    assert (usage["credits"]["reserved"], usage["credits"]["used"]) == (0, float(final.credits))
    assert usage["requests"]["total"] == len(final.settlement)
    check_customers(clinic, upstream, customers, final)
    seqs = [entry["seq"] for entry in clinic.audit()]
    assert seqs == list(range(len(seqs) - 1, -1, -1))


def check_customers(clinic: Clinic, upstream: Upstream, customers: Customers, final: Books) -> None:
    """Who was answered finds the answer in its record, was billed, and was sent on exactly once."""
    seen = Counter(word_in(each.body) for each in upstream.received())
    for asked in customers.answered:
        assert asked.request_id is not None
        ulid = asked.request_id.removeprefix("req_")
        assert final.record[ulid]["status"] == "completed"
        assert final.settlement[ulid]["basis"] == "reported"
        assert clinic.record(ulid)["content"] == [{"type": "text", "text": asked.answer}]
    assert [asked.word for asked in customers.answered if seen[asked.word] != 1] == []


def running(suite: Suite, clinic: Clinic) -> list[str]:
    record = Books.read(suite, clinic.org_id).record
    return [request_id for request_id, row in record.items() if row["status"] == "dispatched"]


def word_in(body: str) -> str:
    """The customer's word in a request's newest text."""
    return body.rpartition(" says ")[2].partition(".")[0]
