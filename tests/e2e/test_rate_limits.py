"""Rate limits as callers meet them: what every answer says of them, and how a refused caller gets through."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx
import pytest

from cli.suite import Suite
from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.conftest import OpenClinic
from tests.e2e.envelope import check
from tests.e2e.rates import let_pass, limit_of, names

PHI = "Patient Margaret Whitfield, SSN 536-22-8812."
Send = Callable[[Clinic, str], httpx.Response]


@pytest.fixture(scope="module")
def limited(suite: Suite) -> Iterator[Clinic]:
    """500 requests and 500,000 tokens a minute, 50,000 requests a day."""
    clinic = Clinic.open(suite, plan="growth")
    yield clinic
    clinic.close()


def native(clinic: Clinic, text: str) -> httpx.Response:
    return clinic.chat(text)


def native_stream(clinic: Clinic, text: str) -> httpx.Response:
    return clinic.chat(text, stream=True)


def compatible(clinic: Clinic, text: str) -> httpx.Response:
    return clinic.message(text)


def compatible_stream(clinic: Clinic, text: str) -> httpx.Response:
    return clinic.message(text, stream=True)


def count_tokens(clinic: Clinic, text: str) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    return clinic.http.post("/v1/messages/count_tokens", json=body)


ALL: tuple[Send, ...] = (native, native_stream, compatible, compatible_stream, count_tokens)


@pytest.mark.parametrize("send", ALL)
def test_every_answer_tells_of_the_limits(limited: Clinic, send: Send):
    """Whatever the provider does."""
    statuses = {
        "": 200, "status=400": 400, "status=413": 413, "status=401": 502, "cut": 502, "garbage": 502, "status=529": 503,
    }  # fmt: skip
    with ThreadPoolExecutor(len(statuses)) as callers:
        answers = list(callers.map(lambda direction: send(limited, f"Hello[[sim:{direction}]]"), statuses))
    # A native stream has begun before its provider is asked.
    expected = [200] * len(statuses) if send is native_stream else list(statuses.values())
    assert [answer.status_code for answer in answers] == expected
    for answer in answers:
        assert (limit_of(answer.headers, "requests").limit, limit_of(answer.headers, "tokens").limit) == (500, 500_000)


@pytest.mark.parametrize("send", ALL)
def test_a_refusal_after_the_limits_tells_of_them(open_clinic: OpenClinic, send: Send):
    clinic = open_clinic(plan="growth")
    clinic.put("/v1/ai/settings", phi_mode="block")
    answers = [send(clinic, PHI)]
    clinic.put("/v1/usage/budget", spend_cap=0)
    if send is not count_tokens:
        answers.append(send(clinic, "Hello"))
    assert [answer.status_code for answer in answers][:1] == [403]
    for used, answer in enumerate(answers, start=1):
        assert limit_of(answer.headers, "requests").remaining == 500 - used
        assert limit_of(answer.headers, "tokens").limit == 500_000


def use_up(clinic: Clinic) -> None:
    """The 60 requests of the developer plan."""
    with ThreadPoolExecutor(6) as callers:
        answers = list(callers.map(lambda _: count_tokens(clinic, "Hello"), range(60)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(limit_of(answer.headers, "requests").remaining for answer in answers) == list(range(60))


def test_a_refused_caller_is_told_when_to_come_back_and_is_not_counted(open_clinic: OpenClinic):
    clinic = open_clinic(plan="developer")
    use_up(clinic)
    waits: list[int] = []
    for send in (*ALL, *ALL):
        refused = send(clinic, "Hello")
        error = check(refused, 429, "RATE_LIMITED", retryable=True)
        details = error.get("details") or error["hasp_details"]
        waits.append(int(refused.headers["Retry-After"]))
        assert details == {"retry_after_seconds": waits[-1]}
        assert limit_of(refused.headers, "requests").remaining == 0
        assert limit_of(refused.headers, "tokens").remaining == 100_000
    # Ten more that had been counted would have to pass out too.
    assert 0 < waits[-1] <= 61
    assert waits == sorted(waits, reverse=True)
    _, other = clinic.new_key("ai:chat")
    with clinic.http_with(other) as http:
        answer = http.post("/v1/ai/chat", json={"message": "Hello", "stream": False})
    assert (answer.status_code, limit_of(answer.headers, "requests").remaining) == (200, 59)


def test_whoever_waits_as_long_as_told_gets_through(open_clinic: OpenClinic):
    clinic = open_clinic(plan="developer")
    use_up(clinic)
    let_pass(clinic, 57)
    refused = clinic.chat("Hello")
    assert refused.status_code == 429
    time.sleep(int(refused.headers["Retry-After"]))
    assert clinic.chat("Hello").status_code == 200


def test_the_sdk_waits_by_itself(open_clinic: OpenClinic):
    clinic = open_clinic(plan="developer")
    use_up(clinic)
    let_pass(clinic, 57)
    seen: list[int] = []
    watched = anthropic.DefaultHttpxClient(event_hooks={"response": [lambda each: seen.append(each.status_code)]})
    with anthropic.Anthropic(base_url=clinic.suite.base_url, api_key=clinic.key, http_client=watched) as sdk:
        turns: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hello"}]
        sdk.messages.create(model=MODEL, max_tokens=50, messages=turns)
    assert seen == [429, 200]


def test_an_organizations_tokens_are_one_limit_for_all_its_keys(open_clinic: OpenClinic):
    clinic = open_clinic(plan="developer")
    keys = [clinic.new_key("ai:chat")[1] for _ in range(3)]

    def use(key: str, tokens: int) -> httpx.Response:
        text = f"[[sim:say=Yes]][[sim:output_tokens={tokens}]]"
        with clinic.http_with(key) as http:
            body = {"model": MODEL, "max_tokens": tokens, "messages": [{"role": "user", "content": text}]}
            return http.post("/v1/messages", json=body)

    for settled, key in enumerate(keys[:2], start=1):
        assert use(key, 45_000).status_code == 200
        clinic.wait_until_settled(settled)
    refused = use(keys[2], 20_000)
    check(refused, 429, "RATE_LIMITED", retryable=True)
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert limit_of(refused.headers, "requests").remaining == 60
    left = limit_of(refused.headers, "tokens").remaining
    # What was used has taken the place of the bounds.
    assert left == 100_000 - clinic.get("/v1/usage")["credits"]["used"]
    answer = use(keys[2], 5_000)
    assert answer.status_code == 200
    assert limit_of(answer.headers, "tokens").remaining < left - 5_000


def test_a_plan_without_limits_tells_of_none(shared_clinic: Clinic):
    for send in ALL:
        answer = send(shared_clinic, "Hello")
        assert (answer.status_code, names(answer.headers)) == (200, set())
