"""Failures as the unmodified Python SDK raises them: its own exception classes."""

import time
from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.conftest import PATIENCE, OpenClinic
from tests.e2e.rates import limit_of
from tests.e2e.upstream import Upstream

HELLO: Any = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


def sdk(clinic: Clinic, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=clinic.suite.base_url, api_key=key)


def check(error: anthropic.APIStatusError, status: int, kind: str, code: str) -> Any:
    """The error's shape; returns `hasp_details`."""
    body: Any = error.body
    assert (error.status_code, error.type, body["error"]["hasp_code"]) == (status, kind, code)
    assert body["type"] == "error"
    assert body["error"]["message"]
    assert body["request_id"] == error.request_id == error.response.headers["x-request-id"]
    assert error.request_id is not None
    assert error.request_id.startswith("req_")
    if status not in (502, 503, 504) and code != "RATE_LIMITED":
        assert error.response.headers["x-should-retry"] == "false"
    return body["error"].get("hasp_details")


@pytest.mark.parametrize(
    "key",
    [
        "wa_live_" + "0" * 32,
        "hasp_key_live_" + "A" * 32,
        "hasp_agent_" + "a" * 43,
        "sk-ant-api03-of-the-provider",
        "nonsense",
    ],
)
def test_an_unknown_key_is_an_authentication_error(shared_clinic: Clinic, upstream: Upstream, key: str):
    with sdk(shared_clinic, key) as client, pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(**HELLO)
    check(caught.value, 401, "authentication_error", "INVALID_API_KEY")
    assert upstream.received() == []


def test_a_key_without_the_scope_is_denied(shared_clinic: Clinic, upstream: Upstream):
    _, reader = shared_clinic.new_key("control:read")
    with sdk(shared_clinic, reader) as client, pytest.raises(anthropic.PermissionDeniedError) as caught:
        client.messages.create(**HELLO)
    assert check(caught.value, 403, "permission_error", "MISSING_SCOPE") == {"required_scope": "ai:chat"}
    assert upstream.received() == []


def create(clinic: Clinic) -> None:
    clinic.sdk.messages.create(**HELLO)


def stream(clinic: Clinic) -> None:
    with clinic.sdk.messages.stream(**HELLO) as running:
        running.until_done()


def count_tokens(clinic: Clinic) -> None:
    clinic.sdk.messages.count_tokens(model=MODEL, messages=HELLO["messages"])


@pytest.mark.parametrize("call", [create, stream, count_tokens])
def test_without_an_agreement_payment_is_required(
    open_clinic: OpenClinic, upstream: Upstream, call: Callable[[Clinic], None]
):
    clinic = open_clinic(baa=False)
    with pytest.raises(anthropic.PaymentRequiredError) as caught:
        call(clinic)
    assert check(caught.value, 402, "permission_error", "BAA_REQUIRED")["baa_url"]
    assert upstream.received() == []


def test_an_unknown_model_is_not_found(shared_clinic: Clinic):
    with pytest.raises(anthropic.NotFoundError) as caught:
        shared_clinic.sdk.models.retrieve("claude-none")
    check(caught.value, 404, "not_found_error", "RESOURCE_NOT_FOUND")


def test_opus_needs_the_opt_in(clinic: Clinic, upstream: Upstream):
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        clinic.sdk.messages.create(**{**HELLO, "model": "claude-opus-4-6"})
    check(caught.value, 403, "permission_error", "OPUS_NOT_ENABLED")
    assert upstream.received() == []
    clinic.put("/v1/usage/budget", opus_enabled=True)
    assert clinic.sdk.messages.create(**{**HELLO, "model": "claude-opus-4-6"}).model == "claude-opus-4-6"


def test_a_parameter_that_the_provider_does_not_have_is_a_bad_request(shared_clinic: Clinic, upstream: Upstream):
    with pytest.raises(anthropic.BadRequestError) as caught:
        shared_clinic.sdk.messages.create(**HELLO, extra_body={"store": True})
    check(caught.value, 400, "invalid_request_error", "UNSUPPORTED_PARAMETER")
    assert upstream.received() == []


def test_phi_in_a_tool_schema_is_a_bad_request(shared_clinic: Clinic, upstream: Upstream):
    tool: Any = {
        "name": "call_patient",
        "description": "Calls patient Margaret Whitfield, SSN 536-22-8812.",
        "input_schema": {"type": "object"},
    }
    with pytest.raises(anthropic.BadRequestError) as caught:
        shared_clinic.sdk.messages.create(**HELLO, tools=[tool])
    details = check(caught.value, 400, "invalid_request_error", "PHI_IN_TOOL_SCHEMA")
    assert details["tool"] == "tools[0]"  # its name might be PHI itself
    assert "US_SSN" in details["entity_types"]
    assert "Whitfield" not in str(caught.value.body)
    assert upstream.received() == []


def test_phi_in_block_mode_is_denied(clinic: Clinic, upstream: Upstream):
    clinic.put("/v1/ai/settings", phi_mode="block")
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        clinic.ask("Patient Margaret Whitfield, SSN 536-22-8812.")
    details = check(caught.value, 403, "permission_error", "PHI_BLOCKED")
    assert details["reason"] == "phi"
    assert {"PERSON", "US_SSN"} <= set(details["entity_types"])
    assert details["path"].startswith("messages[0].content")
    assert upstream.received() == []
    assert clinic.get("/v1/usage")["credits"]["reserved"] == 0
    clinic.ask("Which doses are usual for ibuprofen?")


def test_a_used_up_cap_is_a_rate_limit_error(clinic: Clinic, upstream: Upstream):
    clinic.put("/v1/usage/budget", spend_cap=0)
    with pytest.raises(anthropic.RateLimitError) as caught:
        clinic.sdk.messages.create(**HELLO)
    check(caught.value, 429, "rate_limit_error", "BUDGET_EXCEEDED")
    native = clinic.chat("Hello")
    assert (native.status_code, native.json()["error"]["code"]) == (402, "AI_CREDITS_EXHAUSTED")
    assert native.json()["error"]["details"]["cycle_reset_at"].endswith("+00:00")
    assert upstream.received() == []


def test_the_plans_requests_a_minute_are_a_rate_limit_error(open_clinic: OpenClinic):
    clinic = open_clinic(plan="developer")
    count = {"model": MODEL, "messages": HELLO["messages"]}
    answers = [clinic.http.post("/v1/messages/count_tokens", json=count) for _ in range(61)]
    answer = next(each for each in answers if each.status_code != 200)
    assert answer.status_code == 429
    assert answers.index(answer) == 60
    assert {each.headers["x-ratelimit-limit-requests"] for each in answers} == {"60"}
    remaining = [int(each.headers["x-ratelimit-remaining-requests"]) for each in answers]
    assert remaining == sorted(remaining, reverse=True)
    assert remaining[-1] == 0
    error = answer.json()["error"]
    assert (error["hasp_code"], error["type"]) == ("RATE_LIMITED", "rate_limit_error")
    assert int(answer.headers["retry-after"]) == error["hasp_details"]["retry_after_seconds"] > 0


@pytest.mark.parametrize(
    ("directive", "raised", "status", "kind", "code"),
    [
        ("status=400", anthropic.BadRequestError, 400, "invalid_request_error", "VALIDATION_FAILED"),
        ("status=413", anthropic.APIStatusError, 413, "request_too_large", "REQUEST_TOO_LARGE"),
        ("status=401", anthropic.InternalServerError, 502, "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("status=403", anthropic.InternalServerError, 502, "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("status=404", anthropic.InternalServerError, 502, "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("status=500", anthropic.InternalServerError, 502, "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("garbage", anthropic.InternalServerError, 502, "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("cut", anthropic.InternalServerError, 502, "api_error", "INFERENCE_UPSTREAM_FAILURE"),
        ("status=429", anthropic.InternalServerError, 503, "overloaded_error", "INFERENCE_UNAVAILABLE"),
        ("status=503", anthropic.InternalServerError, 503, "overloaded_error", "INFERENCE_UNAVAILABLE"),
        ("status=529", anthropic.InternalServerError, 503, "overloaded_error", "INFERENCE_UNAVAILABLE"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_failing_provider_is_raised_as_documented(
    clinic: Clinic,
    directive: str,
    raised: type[anthropic.APIStatusError],
    status: int,
    kind: str,
    code: str,
    streaming: bool,
):
    client = clinic.sdk.with_options(max_retries=0)
    request: Any = {
        **HELLO,
        "messages": [{"role": "user", "content": f"Patient Rosalind Pemberton coughs.\n[[sim:{directive}]]"}],
    }
    with pytest.raises(raised) as caught:
        client.messages.create(**request, stream=streaming)
    check(caught.value, status, kind, code)
    if status == 400:
        assert "[PERSON_1]" in caught.value.message
    assert "Pemberton" not in caught.value.message
    if directive.startswith("status"):
        assert clinic.wait_until_settled(0)["credits"]["used"] == 0


def test_a_silent_provider_is_a_timeout(open_clinic: OpenClinic):
    clinic = open_clinic(plan="growth")
    started = time.monotonic()
    with pytest.raises(anthropic.InternalServerError) as caught:
        clinic.sdk.with_options(max_retries=0).messages.create(
            **{**HELLO, "messages": [{"role": "user", "content": "Hello[[sim:hang]]"}]}
        )
    check(caught.value, 504, "timeout_error", "UPSTREAM_TIMEOUT")
    assert PATIENCE <= time.monotonic() - started < PATIENCE + 3
    assert limit_of(caught.value.response.headers, "requests").remaining == 499
    native = clinic.chat("Hello[[sim:hang]]")
    assert (native.status_code, native.json()["error"]["code"]) == (504, "UPSTREAM_TIMEOUT")
    assert limit_of(native.headers, "requests").remaining == 498
    assert native.json()["error"]["retryable"] is True


def test_the_providers_retry_after_is_handed_on(clinic: Clinic):
    answer = clinic.message("Hello[[sim:status=529]][[sim:retry_after=1]]")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    native = clinic.chat("Hello[[sim:status=529]][[sim:retry_after=1]]")
    assert (native.status_code, native.json()["error"]["retryable"]) == (503, True)


def test_the_providers_passing_overload_is_not_noticed(clinic: Clinic, upstream: Upstream):
    upstream.script({"status": 529}, {})
    assert clinic.ask("Hello").stop_reason == "end_turn"
    clinic.wait_until_settled(1)


def test_an_error_in_the_middle_of_a_stream_is_raised_after_its_first_events(clinic: Clinic):
    seen: list[str] = []
    content = "Tell me of Desmond Hollingsworth, please.\n[[sim:midstream_error=6]][[sim:chunk=4]]"
    stream = clinic.sdk.messages.create(**{**HELLO, "messages": [{"role": "user", "content": content}]}, stream=True)
    with pytest.raises(anthropic.APIStatusError) as caught:
        seen.extend(event.type for event in stream)
    assert seen[0] == "message_start"
    assert "content_block_delta" in seen
    assert caught.value.type == "overloaded_error"
    clinic.wait_until_settled(1)
