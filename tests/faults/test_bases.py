"""How what was used is known, from the client to the provider and back into the ledger: reported, counted, unknown, and told too late."""

from collections.abc import Iterator
from decimal import Decimal

import httpx
import psycopg
import pytest

from cli.suite import Suite
from tests.e2e.clinic import MODEL, Clinic, wait_until
from tests.e2e.upstream import Upstream
from tests.faults import books
from tests.faults.books import Books

# The first of them waits for eight processes to start.
pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

TALK = "Go on.[[sim:say=abcdefgh]][[sim:repeat=50]][[sim:chunk=4]][[sim:interval_ms=50]]"
"""Five seconds, a token every 50 ms."""


@pytest.fixture
def upstream(replicated: Suite) -> Iterator[Upstream]:
    upstream = Upstream(replicated.simulator_url)
    yield upstream
    upstream.close()


def settled(suite: Suite, clinic: Clinic) -> tuple[str, int, int, Decimal]:
    """Basis, input, output and credits of the only settlement, on which all the books agree, the audit log among them."""
    clinic.wait_until_settled(1)
    wait_until(lambda: books.owed(suite) == 0, seconds=20)
    read = Books.read(suite, clinic.org_id)
    assert read.disagreements() == []
    ((ulid, row),) = read.settlement.items()
    (entry,) = [each for each in clinic.audit() if each["entity_id"] == ulid]
    assert entry["metadata"]["basis"] == row["basis"]
    assert clinic.get("/v1/usage")["credits"]["reserved"] == 0
    return row["basis"], row["input_tokens"], row["output_tokens"], row["credits"]


def leave_in_the_middle(clinic: Clinic) -> int:
    """Tokens of the text that had come by then."""
    turns = [{"role": "user", "content": TALK}]
    body = {"model": MODEL, "max_tokens": 1000, "stream": True, "messages": turns}
    seen = b""
    with clinic.http.stream("POST", "/v1/messages", json=body) as response:
        for piece in response.iter_raw():
            seen += piece
            if (deltas := seen.count(b'"text_delta"')) >= 10:
                return deltas
    raise AssertionError("the stream ended by itself")


def test_a_whole_answer_costs_what_the_provider_reported(replicated: Suite, clinic: Clinic, upstream: Upstream):
    assert clinic.message("Go on.[[sim:say=abcdefgh]][[sim:output_tokens=77]]").status_code == 200
    reported = upstream.the_only().usage
    assert reported["output_tokens"] == 77
    tokens = reported["input_tokens"], reported["output_tokens"]
    assert settled(replicated, clinic) == ("reported", *tokens, sum(tokens))


def test_a_stream_left_in_the_middle_costs_what_was_counted_by_then(
    replicated: Suite, clinic: Clinic, upstream: Upstream
):
    received = leave_in_the_middle(clinic)
    basis, input_tokens, output_tokens, cost = settled(replicated, clinic)
    # The provider said what went in, and was stopped before it could say what had come out.
    assert (basis, input_tokens) == ("counted", upstream.the_only().usage["input_tokens"])
    assert received <= output_tokens < 100
    assert cost == input_tokens + output_tokens


def test_what_is_left_before_any_usage_came_costs_its_input_as_bounded(
    replicated: Suite, clinic: Clinic, upstream: Upstream
):
    turns = [{"role": "user", "content": "Hm.[[sim:delay_ms=5000]]"}]
    body = {"model": MODEL, "max_tokens": 500, "messages": turns}
    with pytest.raises(httpx.ReadTimeout):
        clinic.http.post("/v1/messages", json=body, timeout=httpx.Timeout(10, read=1))
    upstream.wait_for_outcome("abandoned")
    basis, input_tokens, output_tokens, _ = settled(replicated, clinic)
    (bound,) = Books.read(replicated, clinic.org_id).bound.values()
    assert (basis, output_tokens) == ("unknown", 0)
    assert 0 < input_tokens <= bound - 500


def test_a_running_stream_keeps_its_reservation_and_is_settled_though_it_lost_it(replicated: Suite, clinic: Clinic):
    body = {"message": TALK, "stream": True}
    with (
        psycopg.connect(replicated.admin_url, dbname="billing", autocommit=True) as billing,
        clinic.http.stream("POST", "/v1/ai/chat", json=body) as response,
    ):

        def expiry() -> float:
            query = "SELECT extract(epoch FROM expires_at) FROM reservations WHERE org_id = %s"
            (found,) = billing.execute(query, (clinic.org_id,)).fetchone() or (0,)
            return float(found)

        pieces = response.iter_raw()
        seen, first = next(pieces), expiry()
        wait_until(lambda: expiry() > first + 1, seconds=5)
        # As if nobody had renewed it for ten minutes: what the sweeper calls then.
        with billing.transaction():
            billing.execute("UPDATE reservations SET expires_at = now() WHERE org_id = %s", (clinic.org_id,))
            held = billing.execute(
                "SELECT release(array_agg(org_id), array_agg(request_id), 'expire', now()) FROM reservations WHERE org_id = %s",
                (clinic.org_id,),
            ).fetchone()
        assert held == (1,)
        assert clinic.get("/v1/usage")["credits"]["reserved"] == 0
        seen += b"".join(pieces)
    assert b"event: run.completed" in seen
    basis, _, output_tokens, cost = settled(replicated, clinic)
    assert (basis, output_tokens) == ("reported", 100)
    assert clinic.get("/v1/usage")["credits"]["used"] == cost
    assert books.differences(replicated) == []
