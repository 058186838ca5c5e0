"""The same journeys with the unmodified `@anthropic-ai/sdk`: only `baseURL` and `apiKey` are ours."""

from typing import Any

import pytest

from tests.e2e import node_sdk
from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.conftest import OpenClinic
from tests.e2e.people import Patient
from tests.e2e.test_python_sdk import IMAGE, LOOKUP, turns
from tests.e2e.upstream import Upstream


def ask(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 1000, "messages": turns(content), **more}


def text_of(message: Any) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def test_every_kind_of_call_works(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    system = [{"type": "text", "text": f"You care for {patient.name}."}]
    forced: Any = {"tools": [LOOKUP], "tool_choice": {"type": "tool", "name": "lookup_patient"}}
    thinking = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    create, stream, with_system, tool, thought, count, models, model = node_sdk.call(
        shared_clinic.suite.base_url,
        shared_clinic.key,
        ("create", ask(patient.sentence)),
        ("stream", ask(f"{patient.sentence}\n[[sim:chunk=3]]")),
        ("create", ask("Who?[[sim:echo=system]]", system=system)),
        ("stream", ask(f"Find patient {patient.name}, MRN {patient.mrn}.\n[[sim:chunk=2]]", **forced)),
        ("stream", ask(f"How is {patient.name}?", **thinking)),
        ("count_tokens", {"model": MODEL, "messages": turns(patient.sentence)}),
        ("models", {}),
        ("model", {"id": MODEL}),
    )
    assert text_of(create.answer) == f"You wrote: {patient.sentence}"
    assert create.request_id == "req_" + create.answer["id"].removeprefix("msg_")
    assert stream.answer["text"] == text_of(stream.answer["message"]) == f"You wrote: {patient.sentence}"
    assert text_of(with_system.answer) == f"My instructions are: You care for {patient.name}."
    (call,) = [block for block in tool.answer["message"]["content"] if block["type"] == "tool_use"]
    assert call["input"] == {"patient_name": patient.name, "mrn": patient.mrn}
    first, second = thought.answer["message"]["content"]
    assert (first["type"], first["thinking"]) == ("thinking", "The user wrote: How is [PERSON_1]?")
    assert second["text"] == f"You wrote: How is {patient.name}?"
    assert count.answer["input_tokens"] > 10
    assert MODEL in [each["id"] for each in models.answer]
    assert model.answer["id"] == MODEL
    assert patient.found_in(upstream.text) == []


def test_a_tool_round_trip_and_signed_thinking_are_accepted_back(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient
):
    question = f"Use lookup_patient for {patient.name}, MRN {patient.mrn}."
    more: Any = {"max_tokens": 4000, "tools": [LOOKUP], "thinking": {"type": "adaptive"}}
    (first,) = node_sdk.call(shared_clinic.suite.base_url, shared_clinic.key, ("stream", ask(question, **more)))
    content = first.answer["message"]["content"]
    result = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": f"{patient.name} is well."}
    history = [*turns(question), {"role": "assistant", "content": content}, *turns([result])]
    (second,) = node_sdk.call(
        shared_clinic.suite.base_url, shared_clinic.key, ("create", {**ask("", **more), "messages": history})
    )
    assert text_of(second.answer) == f"The tool returned: {patient.name} is well."
    assert patient.found_in(upstream.text) == []


def test_raw_events_come_in_the_providers_order(shared_clinic: Clinic):
    (events,) = node_sdk.call(shared_clinic.suite.base_url, shared_clinic.key, ("events", ask("Hello")))
    kinds = [event["type"] for event in events.answer]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_an_image_is_refused_or_passes_by_policy(clinic: Clinic, upstream: Upstream):
    (refused,) = node_sdk.call(clinic.suite.base_url, clinic.key, ("create", ask([IMAGE])))
    assert (refused.error["class"], refused.error["status"]) == ("PermissionDeniedError", 403)
    assert refused.error["body"]["error"]["hasp_code"] == "PHI_BLOCKED"
    assert upstream.received() == []
    clinic.put("/v1/ai/settings", image_policy="pass")
    (passed,) = node_sdk.call(clinic.suite.base_url, clinic.key, ("create", ask([IMAGE])))
    assert passed.ok


def test_failures_are_its_own_error_classes(shared_clinic: Clinic, open_clinic: OpenClinic):
    base_url = shared_clinic.suite.base_url
    (unknown,) = node_sdk.call(base_url, "wa_live_" + "0" * 32, ("create", ask("Hello")))
    assert (unknown.error["class"], unknown.error["status"]) == ("AuthenticationError", 401)
    assert unknown.error["request_id"].startswith("req_")
    assert unknown.error["body"]["error"]["hasp_code"] == "INVALID_API_KEY"
    capped, unsigned = open_clinic(), open_clinic(baa=False)
    capped.put("/v1/usage/budget", spend_cap=0)
    (spent,) = node_sdk.call(base_url, capped.key, ("create", ask("Hello")))
    assert (spent.error["class"], spent.error["status"]) == ("RateLimitError", 429)
    (gated,) = node_sdk.call(base_url, unsigned.key, ("stream", ask("Hello")))
    assert (gated.error["status"], gated.error["body"]["error"]["hasp_code"]) == (402, "BAA_REQUIRED")
    bad, missing, opus, broken, cut = node_sdk.call(
        base_url,
        shared_clinic.key,
        ("create", ask("Hello", store=True)),
        ("model", {"id": "claude-none"}),
        ("create", {**ask("Hello"), "model": "claude-opus-4-6"}),
        ("create", ask("Hello[[sim:status=500]]")),
        ("stream", ask("Tell me more.[[sim:midstream_error=6]][[sim:chunk=2]]")),
        max_retries=0,
    )
    assert (bad.error["class"], bad.error["status"]) == ("BadRequestError", 400)
    assert (missing.error["class"], missing.error["status"]) == ("NotFoundError", 404)
    assert (opus.error["class"], opus.error["status"]) == ("PermissionDeniedError", 403)
    assert (broken.error["class"], broken.error["status"]) == ("InternalServerError", 502)
    assert (cut.ok, cut.error["is_api_error"], cut.error["type"]) == (False, True, "overloaded_error")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages?beta=true"])
def test_older_clients_that_post_beta_and_an_api_key_header_work(shared_clinic: Clinic, path: str):
    with shared_clinic.http_with(None) as http:
        answer = http.post(
            path,
            json={**ask("Hello"), "temperature": 0.5},
            headers={"x-api-key": shared_clinic.key, "anthropic-version": "2023-06-01"},
        )
    assert answer.status_code == 200, answer.text
