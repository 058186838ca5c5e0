"""Rate limits hold over replicas, however many callers hammer on them, and outlive the processes that count."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg
import pytest

from cli.suite import Suite
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.rates import let_pass

# Sixteen processes start for them, and a minute has to be used up.
pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

CALLERS = 6
MINUTE = timedelta(minutes=1)


@dataclass
class Hammer:
    """Callers with one key, each with connections of its own, who ask again at once whatever they were told."""

    clinic: Clinic
    pause: float = 0.0
    told: Counter[int] = field(default_factory=Counter)
    """How often each status was answered."""
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def falling(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask_on) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(30)

    def _ask_on(self) -> None:
        with self.clinic.http_with(self.clinic.key) as http:
            while not self._stop.is_set():
                answer = http.post("/v1/ai/chat", json={"message": "Hello", "stream": False})
                assert (answer.status_code == 429) == ("retry-after" in answer.headers)
                self.told[answer.status_code] += 1
                self._stop.wait(self.pause)


def reserved(clinic: Clinic) -> list[datetime]:
    """When each admitted request was admitted, by billing's own books."""
    with psycopg.connect(clinic.suite.admin_url, dbname="billing") as connection:
        query = "SELECT booked_at FROM entries WHERE org_id = %s AND kind = 'reserve' ORDER BY booked_at"
        return [at for (at,) in connection.execute(query, (clinic.org_id,))]


def reservations_asked(suite: Suite, replica: str) -> int:
    return (suite.places.logs / f"{replica}.log").read_text().count("MeteringService/Reserve")


@pytest.fixture
def small(replicated: Suite) -> Iterator[Clinic]:
    """120 requests a minute."""
    clinic = Clinic.open(replicated, plan="developer")
    yield clinic
    clinic.close()


def test_two_minutes_of_hammering_admit_the_limit_twice(replicated: Suite, small: Clinic):
    replicas = ("billing", "billing-2")
    before = {replica: reservations_asked(replicated, replica) for replica in replicas}
    hammer = Hammer(small)
    with hammer.falling():
        # What the first minute does not admit; the rest of it need not be waited for.
        wait_until(lambda: hammer.told[429] > 60, seconds=30)
        assert hammer.told[200] == 120
        let_pass(small, 57)
        # It frees as slowly as it was used up.
        wait_until(lambda: hammer.told[200] >= 240 * 0.99, seconds=40)
        seen = hammer.told[429]
        wait_until(lambda: hammer.told[429] > seen + 60, seconds=30)
    print(f"of {hammer.told.total()} asked were admitted {hammer.told[200]}")
    assert set(hammer.told) == {200, 429}
    assert 240 * 0.99 <= hammer.told[200] <= 240
    assert len(reserved(small)) == hammer.told[200]
    # Both replicas had their part in it.
    assert min(reservations_asked(replicated, replica) - before[replica] for replica in replicas) > 30


def test_dead_replicas_have_forgotten_nothing(replicated: Suite, small: Clinic):
    hammer = Hammer(small)
    with hammer.falling():
        wait_until(lambda: hammer.told[429] > 10, seconds=30)
    for replica in ("billing", "billing-2"):
        replicated.kill(replica)
    replicated.restart("billing", wait=False)
    replicated.restart("billing-2")
    # Inference may still be dialling.
    statuses: list[int] = []
    wait_until(lambda: statuses.append(small.chat("Hello").status_code) or statuses[-1] != 503, seconds=30)
    assert statuses[-1] == 429
    assert len(reserved(small)) == 120


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("plan", "limit", "pause"), [("developer", 120, 0.5), ("growth", 500, 0.1)])
def test_no_minute_of_many_admits_more_than_the_limit(replicated: Suite, plan: str, limit: int, pause: float):
    clinic = Clinic.open(replicated, plan=plan)
    hammer, seconds = Hammer(clinic, pause), 245
    with hammer.falling():
        time.sleep(seconds)
    clinic.close()
    admitted = reserved(clinic)
    most = max(sum(start <= at < start + MINUTE for at in admitted) for start in admitted)
    # From the first to the end, in whole windows of 121 half seconds.
    windows = int(seconds // 60.5)
    print(
        f"of {hammer.told.total()} asked in {seconds} s were admitted {len(admitted)}, at most {most} in any minute of {limit}"
    )
    assert set(hammer.told) == {200, 429}
    assert most <= limit
    assert len(admitted) >= windows * limit * 0.99
