"""Server-sent events through the edge: each chunk at once, none held back, none compressed."""

import json
import time
from collections.abc import Iterator

import httpx

from tests.gateway.edge import Edge
from tests.gateway.wire import REQUEST_ID, scenario

CHUNKS = 25
INTERVAL = 0.03
PROMPT = 0.02
"""Seconds within which a chunk must have crossed the edge; a missing TCP_NODELAY alone costs 0.04."""


def delays(response: httpx.Response) -> Iterator[float]:
    """Seconds between the sending of each event in the backend, a thread of this process, and its arrival here."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield time.monotonic() - json.loads(line[6:])["sent"]


def test_each_chunk_arrives_as_soon_as_it_is_sent(client: httpx.Client) -> None:
    # A busy machine delays a chunk now and then, or most of one stream; an edge that holds back delays those of every stream.
    taken = min((taken_by_chunks(client) for _ in range(3)), key=lambda taken: taken[int(CHUNKS * 0.8)])
    assert taken[int(CHUNKS * 0.8)] < PROMPT, taken
    print(f"median {taken[CHUNKS // 2] * 1000:.1f} ms, slowest {taken[-1] * 1000:.1f} ms")


def taken_by_chunks(client: httpx.Client) -> list[float]:
    """Seconds, sorted."""
    headers = scenario(chunks=CHUNKS, interval=INTERVAL) | {"accept-encoding": "gzip"}
    with client.stream("POST", "/v1/messages", json={"stream": True}, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in response.headers
        assert "content-length" not in response.headers
        assert REQUEST_ID.fullmatch(response.headers["request-id"])
        taken = sorted(delays(response))
    assert len(taken) == CHUNKS
    return taken


def test_a_stream_outlives_the_timeout_of_other_calls(impatient: Edge) -> None:
    headers = scenario(chunks=3, interval=impatient.settings.unary_timeout)
    with impatient.client.stream("POST", "/v1/messages", json={}, headers=headers) as response:
        assert len(list(delays(response))) == 3


def test_a_failure_before_the_first_chunk_is_an_error_and_no_stream(client: httpx.Client) -> None:
    headers = scenario(code=14, message="No.", reason="INFERENCE_UNAVAILABLE", initial={"retry-after": "5"})
    response = client.post("/v1/messages", json={"stream": True}, headers=headers)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/json"
    assert response.headers["retry-after"] == "5"
    assert response.json()["error"]["type"] == "overloaded_error"


def test_one_json_message_of_a_stream_is_plain_json(client: httpx.Client) -> None:
    response = client.post("/v1/ai/chat", json={"message": "hello"})
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "success": True,
        "data": "hello",
        "meta": {"request_id": response.headers["x-request-id"]},
    }


def test_a_client_that_leaves_ends_the_call_in_the_service(client: httpx.Client, edge: Edge) -> None:
    headers = scenario(chunks=10_000, interval=0.01)
    with client.stream("POST", "/v1/messages", json={}, headers=headers) as response:
        next(response.iter_lines())
    deadline = time.monotonic() + 2
    while edge.statistics("^cluster.inference.upstream_rq_active$")["cluster.inference.upstream_rq_active"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
