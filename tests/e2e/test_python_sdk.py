"""A clinic's backend with the unmodified Anthropic Python SDK: only the base URL and the key are ours."""

import base64
from typing import Any

import anthropic
import pytest

from tests.e2e.clinic import MODEL, Clinic, said
from tests.e2e.people import Patient
from tests.e2e.upstream import Upstream

LOOKUP: Any = {
    "name": "lookup_patient",
    "description": "Finds a patient by name.",
    "input_schema": {
        "type": "object",
        "properties": {"patient_name": {"type": "string"}, "mrn": {"type": "string"}},
        "required": ["patient_name"],
    },
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
IMAGE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}


def turns(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_a_message_comes_back_with_the_name_that_never_left(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient
):
    message = shared_clinic.ask(patient.sentence)
    assert said(message) == f"You wrote: {patient.sentence}"
    assert patient.found_in(upstream.text) == []
    assert "[PERSON_1]" in upstream.text
    assert (message.type, message.role, message.model, message.stop_reason) == (
        "message",
        "assistant",
        MODEL,
        "end_turn",
    )
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_ids_of_one_request_carry_the_same_ulid(shared_clinic: Clinic):
    message = shared_clinic.ask("Good morning")
    assert message.id.startswith("msg_")
    ulid = message.id.removeprefix("msg_")
    assert len(ulid) == 26
    assert message._request_id == f"req_{ulid}"
    assert message.to_dict()["meta"] == {"request_id": f"req_{ulid}"}


def test_the_provider_gets_our_key_and_not_the_clinics(shared_clinic: Clinic, upstream: Upstream):
    shared_clinic.ask("Good morning")
    received = upstream.the_only()
    assert shared_clinic.key not in str(received.headers)
    assert "simulated" in (received.headers.get("x-api-key", "") + received.headers.get("authorization", ""))


def test_a_stream_accumulates_to_the_same_message(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    content = f"{patient.sentence}\n[[sim:chunk=3]]"
    with shared_clinic.sdk.messages.stream(model=MODEL, max_tokens=1000, messages=turns(content)) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == said(message) == f"You wrote: {patient.sentence}"
    assert patient.found_in(upstream.text) == []
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 1
    assert shared_clinic.record(message.id)["status"] == "completed"


async def test_the_async_client_works_alike(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    async with anthropic.AsyncAnthropic(base_url=shared_clinic.suite.base_url, api_key=shared_clinic.key) as client:
        message = await client.messages.create(model=MODEL, max_tokens=1000, messages=turns(patient.sentence))
        assert said(message) == f"You wrote: {patient.sentence}"
        async with client.messages.stream(model=MODEL, max_tokens=1000, messages=turns(patient.sentence)) as stream:
            assert said(await stream.get_final_message()) == f"You wrote: {patient.sentence}"
    assert patient.found_in(upstream.text) == []


def test_the_raw_events_come_in_the_providers_order(shared_clinic: Clinic, patient: Patient):
    stream = shared_clinic.sdk.messages.create(
        model=MODEL, max_tokens=1000, messages=turns(f"{patient.name} coughs"), stream=True
    )
    kinds = [event.type for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


@pytest.mark.parametrize("streaming", [False, True])
def test_a_tool_is_called_with_the_real_name_and_its_result_goes_back_masked(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient, streaming: bool
):
    question = f"Find patient {patient.name}, MRN {patient.mrn}.\n[[sim:chunk=2]]"
    request: Any = {
        "model": MODEL,
        "max_tokens": 1000,
        "tools": [LOOKUP],
        "tool_choice": {"type": "tool", "name": "lookup_patient"},
    }
    if streaming:
        with shared_clinic.sdk.messages.stream(**request, messages=turns(question)) as stream:
            first = stream.get_final_message()
    else:
        first = shared_clinic.sdk.messages.create(**request, messages=turns(question))
    assert first.stop_reason == "tool_use"
    (call,) = [block for block in first.content if block.type == "tool_use"]
    assert call.input == {"patient_name": patient.name, "mrn": patient.mrn}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": f"{patient.name}, phone {patient.phone}"}
    second = shared_clinic.sdk.messages.create(
        model=MODEL,
        max_tokens=1000,
        tools=[LOOKUP],
        messages=[*turns(question), first.to_param(), *turns([result])],
    )
    assert said(second) == f"The tool returned: {patient.name}, phone {patient.phone}"
    assert patient.found_in(upstream.text) == []


def test_an_image_is_refused_by_default_and_passes_when_the_clinic_says_so(clinic: Clinic, upstream: Upstream):
    content = [IMAGE, {"type": "text", "text": "What is this?"}]
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        clinic.ask(content)
    assert caught.value.status_code == 403
    error: Any = caught.value.body
    assert error["error"]["type"] == "permission_error"
    assert error["error"]["hasp_code"] == "PHI_BLOCKED"
    assert error["error"]["hasp_details"]["reason"] == "unscannable"
    assert error["error"]["hasp_details"]["path"] == "messages[0].content[0]"
    assert upstream.received() == []
    assert clinic.put("/v1/ai/settings", image_policy="pass")["image_policy"] == "pass"
    assert "image/png" in said(clinic.ask(content))
    assert upstream.the_only().json["messages"][0]["content"][0] == IMAGE


@pytest.mark.parametrize("blocks", [False, True])
def test_the_system_prompt_is_masked_and_restored(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient, blocks: bool
):
    system: Any = f"You speak with {patient.name}, MRN {patient.mrn}."
    if blocks:
        system = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
    message = shared_clinic.ask("Who am I?[[sim:echo=system]]", system=system)
    assert said(message) == f"My instructions are: You speak with {patient.name}, MRN {patient.mrn}."
    assert patient.found_in(upstream.text) == []


def test_cache_control_reaches_the_provider_and_its_usage_comes_back(clinic: Clinic, patient: Patient):
    system: Any = [
        {
            "type": "text",
            "text": f"Notes of {patient.name}. " + "Be brief. " * 40,
            "cache_control": {"type": "ephemeral"},
        }
    ]
    first, second = (clinic.ask("Hello", system=system).usage for _ in range(2))
    assert first.cache_creation_input_tokens
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens


def test_signed_thinking_passes_untouched_in_both_directions(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient
):
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    asked = turns(f"How is {patient.name}?")
    request: Any = {"model": MODEL, "max_tokens": 4000, "thinking": thinking}
    with shared_clinic.sdk.messages.stream(**request, messages=asked) as stream:
        first = stream.get_final_message()
    thought, text = first.content
    assert thought.type == "thinking"
    assert thought.thinking == "The user wrote: How is [PERSON_1]?"
    assert text.to_dict()["text"] == f"You wrote: How is {patient.name}?"
    # The provider verifies the signature: a changed byte would be its 400.
    second = shared_clinic.sdk.messages.create(
        **request, messages=[*asked, first.to_param(), *turns(f"And does {patient.name} sleep?")]
    )
    assert said(second) == f"You wrote: And does {patient.name} sleep?"
    assert patient.found_in(upstream.text) == []


def test_tokens_are_counted_on_masked_text_for_nothing(clinic: Clinic, upstream: Upstream, patient: Patient):
    counted = clinic.sdk.messages.count_tokens(
        model=MODEL, messages=turns(patient.sentence), system=f"About {patient.name}", tools=[LOOKUP]
    )
    assert counted.input_tokens > 10
    assert upstream.the_only().path == "/v1/messages/count_tokens"
    assert patient.found_in(upstream.text) == []
    usage = clinic.get("/v1/usage")
    assert (usage["credits"]["used"], usage["credits"]["reserved"], usage["requests"]["total"]) == (0, 0, 0)


def test_the_models_are_those_of_the_catalogue(shared_clinic: Clinic):
    listed = {model.id: model for model in shared_clinic.sdk.models.list()}
    assert {"claude-haiku-4-5", "claude-sonnet-4-6"} <= set(listed)
    model = shared_clinic.sdk.models.retrieve(MODEL)
    assert (model.id, model.type) == (MODEL, "model")
    assert model.display_name
    assert model.created_at.tzinfo is not None


def test_a_text_document_is_masked_and_an_unreadable_one_is_removed(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient
):
    readable = {
        "type": "document",
        "title": "Visit",
        "source": {"type": "text", "media_type": "text/plain", "data": patient.sentence},
    }
    unreadable = {
        "type": "document",
        "source": {
            "type": "base64",
            "media_type": "application/pdf",
            "data": base64.b64encode(f"%PDF-1.7 broken {patient.name}".encode()).decode(),
        },
    }
    message = shared_clinic.ask([readable, unreadable, {"type": "text", "text": "Sum it up."}])
    assert patient.sentence in said(message)
    assert patient.found_in(upstream.text) == []
    assert "[DOCUMENT_REMOVED]" in upstream.text
    assert base64.b64encode(patient.name.encode())[:8].decode() not in upstream.text


def test_stop_sequences_and_metadata_reach_the_provider(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    message = shared_clinic.ask(
        "[[sim:say=one END two]]", stop_sequences=["END"], metadata={"user_id": f"patient {patient.name}"}
    )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert upstream.the_only().json["stop_sequences"] == ["END"]
    assert patient.found_in(upstream.text) == []


def test_max_tokens_ends_the_answer(shared_clinic: Clinic):
    message = shared_clinic.ask("[[sim:say=abcdefghijkl]]", max_tokens=2)
    assert (message.stop_reason, said(message)) == ("max_tokens", "abcdefgh")
