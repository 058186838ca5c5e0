"""Budgets as an organization sets them: what a change does on the very next request, and who hears of a threshold."""

import json
import time

import httpx
import pytest

from tests.compliance.receivers import Receiver
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.envelope import check

OPUS = "claude-opus-4-6"
PATH = "/v1/usage/budget"


def use(clinic: Clinic, credits_: int, *, requests: int) -> int:
    """About so many credits in one request, the organization's `requests`th; what is used then."""
    answer = clinic.chat(f"[[sim:say=Yes]][[sim:output_tokens={credits_}]]", max_tokens=credits_)
    assert answer.status_code == 200, answer.text
    return clinic.wait_until_settled(requests)["credits"]["used"]


def test_each_threshold_is_told_once_a_cycle(clinic: Clinic, receiver: Receiver):
    action = "budget.threshold_reached"
    registered = clinic.http.post("/v1/webhooks", json={"url": receiver.url, "events": [action]})
    assert registered.status_code == 201, registered.text
    clinic.put(PATH, spend_cap=10_000, alert_thresholds=[90, 50, 80])
    use(clinic, 4_000, requests=1)
    # One settlement reaches two of them.
    both = use(clinic, 4_400, requests=2)
    wait_until(lambda: len(receiver.received) >= 2)
    # A cap below what is used reaches the third; whatever follows has nothing left to tell.
    clinic.put(PATH, spend_cap=8_000)
    wait_until(lambda: len(receiver.received) >= 3)
    clinic.put(PATH, spend_cap=20_000)
    all_of_it = use(clinic, 11_000, requests=3)
    clinic.put(PATH, alert_thresholds=[50])
    clinic.put(PATH, alert_thresholds=[50, 80, 90])
    assert all_of_it > 0.9 * 20_000
    time.sleep(1.2)  # two rounds of the announcer
    told = [json.loads(each.body) for each in receiver.received]
    metadata = [each["data"]["metadata"] for each in told]
    # Two that were reached at once have no order.
    assert sorted((each["threshold"], each["used"], each["limit"]) for each in metadata) == [
        (50, both, 10_000),
        (80, both, 10_000),
        (90, both, 8_000),
    ]
    assert {each["event"] for each in told} == {action}
    entries = clinic.audit(action=action)
    assert {each["id"] for each in told} == {each["id"] for each in entries}
    assert [each["actor"]["type"] for each in entries] == ["system"] * 3


def test_a_change_touches_what_it_names(clinic: Clinic):
    allotment = clinic.get(PATH)["credits_allotment"]

    def of(cap: int | None, thresholds: list[int], *, opus: bool) -> dict[str, object]:
        return {
            "spend_cap": cap, "alert_thresholds": thresholds, "credits_allotment": allotment, "opus_enabled": opus,
        }  # fmt: skip

    assert clinic.get(PATH) == of(None, [], opus=False)
    everything = of(5_000, [10, 50, 99], opus=True)
    assert clinic.put(PATH, spend_cap=5_000, alert_thresholds=[99, 10, 50], opus_enabled=True) == everything
    assert clinic.put(PATH) == everything
    check(clinic.http.put(PATH, json={"spend_cap": 1, "credits_allotment": 5}), 422, "VALIDATION_FAILED")
    assert clinic.get(PATH) == everything
    assert clinic.put(PATH, opus_enabled=None) == of(5_000, [10, 50, 99], opus=False)
    assert clinic.put(PATH, alert_thresholds=None) == of(5_000, [], opus=False)
    assert clinic.put(PATH, spend_cap=None) == clinic.get(PATH) == of(None, [], opus=False)
    wait_until(lambda: len(clinic.audit(action="budget.updated")) >= 4)
    assert len(clinic.audit(action="budget.updated")) == 4


def test_a_cap_refuses_and_admits_on_the_very_next_request(clinic: Clinic):
    used = use(clinic, 500, requests=1)
    for more in (0, 1, 2):
        clinic.put(PATH, spend_cap=used)
        native = check(clinic.chat("Hello"), 402, "AI_CREDITS_EXHAUSTED")
        end = clinic.get("/v1/usage")["period"]["end"]
        assert native["details"] == {"cycle_reset_at": end}
        compatible = check(clinic.message("Hello"), 429, "BUDGET_EXCEEDED")
        assert compatible["hasp_details"] == {"cycle_reset_at": end}
        clinic.put(PATH, spend_cap=used + 1)
        assert clinic.chat("Hello").status_code == 200
        used = clinic.wait_until_settled(2 + more)["credits"]["used"]


@pytest.mark.parametrize("surface", ["native", "anthropic"])
def test_opus_is_open_exactly_while_it_is_opted_into(clinic: Clinic, surface: str):
    def ask() -> httpx.Response:
        return clinic.chat("Hello", model=OPUS) if surface == "native" else clinic.message("Hello", model=OPUS)

    check(ask(), 403, "OPUS_NOT_ENABLED")
    for _ in range(3):
        clinic.put(PATH, opus_enabled=True)
        assert ask().status_code == 200
        clinic.put(PATH, opus_enabled=False)
        check(ask(), 403, "OPUS_NOT_ENABLED")
