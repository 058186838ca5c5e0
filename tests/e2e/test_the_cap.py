"""Used credits never pass the cap by more than one request, however many ask at once."""

import asyncio
from collections import Counter

import httpx
import pytest

from tests.e2e.clinic import MODEL, Clinic

CALLERS = 100


async def all_at_once(clinic: Clinic, path: str, body: dict[str, object]) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=CALLERS)
    headers = {"authorization": f"Bearer {clinic.key}"}
    async with httpx.AsyncClient(
        base_url=clinic.suite.base_url, headers=headers, timeout=60, limits=limits, trust_env=False
    ) as http:
        return await asyncio.gather(*(http.post(path, json=body) for _ in range(CALLERS)))


@pytest.mark.parametrize("surface", ["native", "anthropic"])
async def test_a_hundred_at_once_pass_the_cap_by_at_most_one_request(clinic: Clinic, surface: str):
    text = "[[sim:say=abcd]][[sim:repeat=50]][[sim:delay_ms=50]]"
    cost = clinic.chat(text, max_tokens=60).json()["meta"]["usage"]["sonnet_equivalent_tokens"]
    clinic.wait_until_settled(1)
    # Room for about ten more: far fewer than ask.
    cap = round(cost * 11.5)
    clinic.put("/v1/usage/budget", spend_cap=cap)
    path, body = "/v1/ai/chat", {"message": text, "stream": False, "max_tokens": 60}
    refused = (402, "AI_CREDITS_EXHAUSTED")
    if surface == "anthropic":
        path, refused = "/v1/messages", (429, "BUDGET_EXCEEDED")
        body = {"model": MODEL, "max_tokens": 60, "messages": [{"role": "user", "content": text}]}
    answers = await all_at_once(clinic, path, body)
    outcomes = Counter(answer.status_code for answer in answers)
    assert set(outcomes) == {200, refused[0]}, [answer.text for answer in answers if answer.status_code >= 500]
    for answer in answers:
        if answer.status_code != 200:
            error = answer.json()["error"]
            assert (error.get("code") or error["hasp_code"]) == refused[1]
    usage = clinic.wait_until_settled(1 + outcomes[200])
    assert usage["credits"]["used"] == (1 + outcomes[200]) * cost
    assert usage["credits"]["used"] <= cap + cost
    # Those refused while others only held their bound may try again, until the cap is really reached.
    while clinic.chat(text, max_tokens=60).status_code == 200:
        outcomes[200] += 1
        assert outcomes[200] < 20
        # A settlement follows its answer: until it is booked, the bound of the request before is still held.
        usage = clinic.wait_until_settled(1 + outcomes[200])
    assert cap <= usage["credits"]["used"] <= cap + cost
