"""kill -9 at random moments under load: nothing is lost, nothing is doubled, nothing is mispriced.

The provider fails meanwhile, customers leave before they were answered, a month ends, and an organization is at its cap.
"""

import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from cli.suite import Suite
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.upstream import Upstream
from tests.faults import books, provider
from tests.faults.books import Books
from tests.faults.customers import Customers
from tests.faults.months import clinic_whose_month_ends

EVERYBODY = ("inference", "billing", "compliance", "identity", "edge", "postgres")
SETTLING = ("billing", "inference", "postgres")
CAP = 6_000
SAMPLE = 500
"""Of the answered requests, whose records are read over the API too."""


@dataclass(frozen=True)
class Storm:
    """`pause`: seconds between two kills. It lasts until both numbers are reached and the month has ended `month` seconds after its beginning."""

    victims: tuple[str, ...]
    kills: int
    requests: int
    clients: int
    pause: tuple[float, float]
    month: int


@pytest.mark.parametrize(
    "storm",
    [
        pytest.param(Storm(EVERYBODY, 6, 250, 16, (0.2, 1.2), 15), id="each-once", marks=[pytest.mark.timeout(900)]),
        pytest.param(
            Storm(SETTLING, 30, 10_000, 64, (2, 8), 90),
            id="ten-thousand-requests",
            marks=[pytest.mark.long, pytest.mark.timeout(3600)],
        ),
        pytest.param(
            Storm(EVERYBODY, 1000, 10_000, 24, (0.2, 1.2), 600),
            id="a-thousand",
            marks=[pytest.mark.long, pytest.mark.timeout(4 * 3600)],
        ),
    ],
)
def test_random_kills_lose_and_double_nothing(suite: Suite, storm: Storm):
    month_end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=storm.month)
    clinic = clinic_whose_month_ends(suite, month_end)
    capped = Clinic.open(suite)
    capped.put("/v1/usage/budget", spend_cap=CAP)
    upstream = Upstream(suite.simulator_url)
    some = storm.clients // 8
    customers = Customers(clinic, storm.clients - some)
    spenders = Customers(capped, some, seed=2, directions="[[sim:output_tokens=250]]", capped=True)
    began = time.monotonic()
    with customers.asking(), spenders.asking():
        cap, kills = burn(suite, storm, month_end, upstream, customers, capped)
    show(storm, kills, time.monotonic() - began, {"at the month's end": customers, "at the cap": spenders})
    assert customers.misbehaviour + spenders.misbehaviour == []
    assert len(customers.answered) > 5 * storm.kills, customers.outcomes
    assert spenders.outcomes["AI_CREDITS_EXHAUSTED"] + spenders.outcomes["BUDGET_EXCEEDED"] > 0
    final = check_books(suite, clinic, upstream, customers)
    check_month(clinic, final, month_end)
    check_cap(capped, check_books(suite, capped, upstream, spenders), cap)
    for each in (clinic, capped, upstream):
        each.close()


def burn(
    suite: Suite, storm: Storm, month_end: datetime, upstream: Upstream, customers: Customers, capped: Clinic
) -> tuple[int, Counter[str]]:
    """Kill until it is enough. The spenders' cap, which is raised whenever it was reached, and who was killed how often."""
    dice, cap, kills = random.Random(20260401), CAP, Counter[str]()
    while (
        kills.total() < storm.kills
        or customers.served < storm.requests
        or datetime.now(UTC) < month_end + timedelta(seconds=2)
    ):
        cap = raised(capped, cap)
        time.sleep(dice.uniform(*storm.pause))
        # Each at least once, then as they come.
        number = kills.total()
        victim = storm.victims[number] if number < len(storm.victims) else dice.choice(storm.victims)
        suite.kill(victim)
        time.sleep(dice.uniform(0, 0.3))
        suite.restart(victim)
        kills[victim] += 1
        # The provider remembers only the newest.
        upstream.received()
    time.sleep(1)
    return cap, kills


def raised(capped: Clinic, cap: int) -> int:
    """The cap that holds from now on. One that may have been set without a confirmation counts."""
    try:
        if capped.http.get("/v1/usage").json()["data"]["credits"]["used"] >= cap:
            cap += CAP
        capped.http.put("/v1/usage/budget", json={"spend_cap": cap})
    except (httpx.HTTPError, KeyError):
        pass  # whatever was killed last is not back yet
    return cap


def show(storm: Storm, kills: Counter[str], seconds: float, groups: dict[str, Customers]) -> None:
    print(
        f"\n{storm.clients} clients, {kills.total()} kills {dict(kills)}, {seconds:.0f} s, load average {os.getloadavg()[0]:.1f}"
    )
    for name, customers in groups.items():
        asked = Counter(each.mood.name for each in customers.asked if each.mood.directions)
        print(f"{name}: {len(customers.asked)} requests, {customers.served} of them let in: {dict(customers.outcomes)}")
        print(f"  troubled: {dict(asked)}")


def check_books(suite: Suite, clinic: Clinic, upstream: Upstream, customers: Customers) -> Books:
    """Ledger, records, settlements and audit entries tell one story, and it is the one that customers and provider know."""
    wait_until(lambda: clinic.http.get("/v1/usage").status_code == 200, seconds=30)
    # Records of dead processes are ended by living ones, and what everybody owes is delivered.
    wait_until(lambda: not books.running(suite) and books.owed(suite) == 0, seconds=120)
    assert Books.read(suite, clinic.org_id).disagreements() == []
    # What is still held belongs to requests that died before they left: nobody knows of them but billing.
    books.let_ten_minutes_pass(suite)
    wait_until(lambda: not Books.read(suite, clinic.org_id).reserved, seconds=30)
    final = Books.read(suite, clinic.org_id)
    assert books.differences(suite) == []
    settled = sum(row["cycle_start"] == final.cycles[-1]["cycle_start"] for row in final.settlement.values())
    usage = clinic.get("/v1/usage")
    assert (usage["credits"]["reserved"], usage["requests"]["total"]) == (0, settled)
    show_tags(final, customers)
    check_customers(clinic, upstream, customers, final)
    provider.check(clinic, upstream, final, {each.word for each in customers.asked})
    seqs = [entry["seq"] for entry in clinic.audit()]
    assert seqs == list(range(len(seqs) - 1, -1, -1))
    return final


def show_tags(final: Books, customers: Customers) -> None:
    acknowledged = {(each.request_id or "").removeprefix("req_") for each in customers.answered}
    acknowledged &= final.settlement.keys()
    print(
        f"acknowledged: {len(acknowledged)}, {sum(final.settlement[each]['credits'] for each in acknowledged)} credits"
    )
    for basis in ("reported", "counted", "unknown"):
        rows = final.tagged(basis)
        others = rows.keys() - acknowledged
        print(
            f"{basis}: {len(rows)} settlements, {sum(row['credits'] for row in rows.values())} credits;"
            f" of them not acknowledged {len(others)}, {sum(rows[each]['credits'] for each in others)} credits"
        )
    print(
        f"dispatched and refused by the provider, or never sent: {len(final.record.keys() - final.settlement.keys())}"
    )


def check_customers(clinic: Clinic, upstream: Upstream, customers: Customers, final: Books) -> None:
    """Who was answered finds the answer in its record, was billed, and was sent on exactly once."""
    seen = Counter(provider.word_in(each.body) for each in upstream.received())
    for place, asked in enumerate(customers.answered):
        assert asked.request_id is not None
        ulid = asked.request_id.removeprefix("req_")
        assert final.record[ulid]["status"] == "completed"
        assert final.settlement[ulid]["basis"] == "reported"
        if place % max(1, len(customers.answered) // SAMPLE) == 0:
            assert clinic.record(ulid)["content"] == [{"type": "text", "text": asked.answer}]
    assert [asked.word for asked in customers.answered if seen[asked.word] != 1] == []


def check_month(clinic: Clinic, final: Books, month_end: datetime) -> None:
    """Both months have their requests, and together they have all of them."""
    assert final.cycles[-1]["cycle_start"] == month_end
    used = {row["cycle_start"]: row["used"] for row in final.cycles}
    settled = Counter[datetime]()
    for row in final.settlement.values():
        settled[row["cycle_start"]] += row["credits"]
    assert dict(settled) == {start: used for start, used in used.items() if used}
    assert len(settled) == 2, "nothing was settled on one side of the month's end"
    total = 0
    for cycle in final.cycles:
        period = {"start": cycle["cycle_start"].isoformat(), "end": cycle["cycle_end"].isoformat()}
        total += clinic.get("/v1/usage", **period)["requests"]["total"]
        print(f"cycle of {cycle['cycle_start']}: {used[cycle['cycle_start']]} credits")
    assert total == len(final.settlement)


def check_cap(capped: Clinic, final: Books, cap: int) -> None:
    """However often it was raised after it had been reached, it was passed by no more than one request."""
    used, largest = final.credits, max(final.bound.values(), default=Decimal(0))
    print(f"cap {cap}, used {used}, the largest request {largest}")
    assert used < cap + largest
    assert capped.get("/v1/usage")["credits"]["used"] == float(used)
