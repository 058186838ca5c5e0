"""The unmodified Python SDK against the simulator: what it parses, and the exception classes it raises."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam, ToolParam

from tests.simulator.conftest import KEY

MODEL = "claude-sonnet-4-6"
LOOKUP: ToolParam = {
    "name": "lookup_patient",
    "description": "Finds a patient.",
    "input_schema": {
        "type": "object",
        "properties": {
            "patient_name": {"type": "string"},
            "mrn": {"type": "string"},
            "limit": {"type": "integer", "minimum": 5},
            "active": {"type": "boolean"},
            "ward": {"enum": ["east", "west"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "contact": {"type": "object", "properties": {"phone": {"type": "string"}}},
        },
        "required": ["patient_name"],
    },
}


@pytest.fixture
def client(simulator_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=simulator_url, api_key=KEY, max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
async def aclient(simulator_url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=simulator_url, api_key=KEY, max_retries=0, timeout=10) as client:
        yield client


def ask(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def create(client: anthropic.Anthropic, text: str, **more: Any) -> anthropic.types.Message:
    return client.messages.create(**{"model": MODEL, "max_tokens": 2000, "messages": ask(text), **more})


def test_a_plain_answer_repeats_what_was_read(client: anthropic.Anthropic):
    message = create(client, "Is [PERSON_1] well?")
    assert message.role == "assistant"
    assert message.stop_reason == "end_turn"
    assert [block.to_dict() for block in message.content] == [
        {"type": "text", "text": "You wrote: Is [PERSON_1] well?"}
    ]
    assert message.usage.input_tokens == 3 + 5
    assert message.usage.output_tokens == 8
    assert message._request_id is not None


def test_the_same_prompt_gets_the_same_words_under_another_id(client: anthropic.Anthropic):
    first, second = create(client, "Hello"), create(client, "Hello")
    assert first.content == second.content
    assert first.id != second.id


def test_a_stream_gives_the_same_message_as_a_plain_answer(client: anthropic.Anthropic):
    plain = create(client, "Is [PERSON_1] well?[[sim:chunk=3]]")
    with client.messages.stream(
        model=MODEL, max_tokens=2000, messages=ask("Is [PERSON_1] well?[[sim:chunk=3]]")
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) == -(-len("You wrote: Is [PERSON_1] well?") // 3)
    assert final.content[0].to_dict() == plain.content[0].to_dict()
    assert final.usage.output_tokens == plain.usage.output_tokens
    assert final.stop_reason == "end_turn"


async def test_the_async_client_streams_in_the_documented_order(aclient: anthropic.AsyncAnthropic):
    stream = await aclient.messages.create(
        model=MODEL, max_tokens=2000, messages=ask("[[sim:say=One two]]"), stream=True
    )
    kinds = [event.type async for event in stream]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_a_forced_tool_is_called_with_the_placeholders_of_the_prompt(client: anthropic.Anthropic):
    message = create(
        client,
        "Find [PERSON_1], phone [PHONE_NUMBER_1], record [MRN_7].",
        tools=[LOOKUP],
        tool_choice={"type": "tool", "name": "lookup_patient"},
    )
    assert message.stop_reason == "tool_use"
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert call.input == {
        "patient_name": "[PERSON_1]",
        "mrn": "[MRN_7]",
        "limit": 5,
        "active": True,
        "ward": "east",
        "tags": ["[PHONE_NUMBER_1]"],
        "contact": {"phone": "[PHONE_NUMBER_1]"},
    }


def test_a_tool_round_trip_streams_its_input_and_reads_the_result(client: anthropic.Anthropic):
    text = "Please use lookup_patient for [PERSON_1].[[sim:chunk=2]]"
    with client.messages.stream(model=MODEL, max_tokens=2000, messages=ask(text), tools=[LOOKUP]) as stream:
        first = stream.get_final_message()
    call = first.content[-1]
    assert call.type == "tool_use"
    assert call.input["patient_name"] == "[PERSON_1]"
    second = client.messages.create(
        model=MODEL,
        max_tokens=2000,
        tools=[LOOKUP],
        messages=[
            *ask(text),
            {"role": "assistant", "content": first.to_param()["content"]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": call.id,
                        "content": [{"type": "text", "text": "[PERSON_1]: 7"}],
                    }
                ],
            },
        ],
    )
    assert second.content[0].to_dict()["text"] == "The tool returned: [PERSON_1]: 7"


def test_two_tools_are_called_at_once_when_directed(client: anthropic.Anthropic):
    other: ToolParam = {"name": "other", "input_schema": {"type": "object"}}
    message = create(client, "[[sim:tool=other]][[sim:tool=lookup_patient]]", tools=[LOOKUP, other])
    assert [block.name for block in message.content if block.type == "tool_use"] == ["other", "lookup_patient"]


def test_thinking_comes_first_and_is_signed(client: anthropic.Anthropic):
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(
        model=MODEL, max_tokens=3000, messages=ask("How is [PERSON_1]?"), thinking=thinking
    ) as stream:
        message = stream.get_final_message()
    thought, text = message.content
    assert thought.type == "thinking"
    assert thought.thinking == "The user wrote: How is [PERSON_1]?"
    assert text.type == "text"
    assert message.usage.output_tokens_details is not None
    turns = [*ask("How is [PERSON_1]?"), message.to_param(), *ask("And now?")]
    client.messages.create(model=MODEL, max_tokens=3000, messages=turns, thinking=thinking)
    thought.thinking = thought.thinking.replace("[PERSON_1]", "John Smith")
    turns = [*ask("How is [PERSON_1]?"), message.to_param(), *ask("And now?")]
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
        client.messages.create(model=MODEL, max_tokens=3000, messages=turns, thinking=thinking)


def test_thinking_may_be_redacted_or_left_out(client: anthropic.Anthropic):
    redacted = create(client, "Hm[[sim:redacted_thinking]]", thinking={"type": "adaptive"})
    assert redacted.content[0].type == "redacted_thinking"
    omitted = create(client, "Hm", thinking={"type": "adaptive", "display": "omitted"})
    assert omitted.content[0].to_dict()["thinking"] == ""


def test_a_stop_sequence_ends_the_answer(client: anthropic.Anthropic):
    message = create(client, "[[sim:say=one END two]]", stop_sequences=["END"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert message.content[0].to_dict()["text"] == "one "


def test_max_tokens_cuts_the_answer(client: anthropic.Anthropic):
    message = create(client, "[[sim:say=abcdefghijkl]]", max_tokens=2)
    assert message.stop_reason == "max_tokens"
    assert message.content[0].to_dict()["text"] == "abcdefgh"
    assert message.usage.output_tokens == 2


def test_a_cached_prefix_is_written_once_and_read_after(client: anthropic.Anthropic):
    system: Any = [{"type": "text", "text": "Be brief. " * 40, "cache_control": {"type": "ephemeral"}}]
    first, second = (create(client, "Hello", system=system).usage for _ in range(2))
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (100, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, 100)
    assert first.input_tokens == second.input_tokens == 3 + 2
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_5m_input_tokens == 100


def test_a_document_with_citations_is_quoted(client: anthropic.Anthropic):
    document: Any = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "[PERSON_1] was seen."},
        "title": "Note",
        "citations": {"enabled": True},
    }
    message = create(client, "", messages=[{"role": "user", "content": [document, {"type": "text", "text": "Read."}]}])
    cited = message.content[-1]
    assert cited.type == "text"
    assert cited.citations is not None
    assert cited.citations[0].cited_text == "[PERSON_1] was seen."


def test_tokens_are_counted_without_an_answer(client: anthropic.Anthropic):
    counted = client.messages.count_tokens(model=MODEL, messages=ask("x" * 400), system="y" * 40)
    assert counted.input_tokens == 100 + 10 + 3


def test_the_models_are_listed_and_found(client: anthropic.Anthropic):
    assert [model.id for model in client.models.list()] == ["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"]
    assert client.models.retrieve(MODEL).display_name == "Claude Sonnet 4.6"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-none")


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_an_error_is_raised_as_its_class(
    client: anthropic.Anthropic, status: int, raised: type[anthropic.APIStatusError], kind: str
):
    with pytest.raises(raised) as caught:
        create(client, f"[[sim:status={status}]][[sim:retry_after=7]]")
    assert caught.value.status_code == status
    assert caught.value.type == kind
    assert caught.value.request_id is not None
    assert caught.value.response.headers["retry-after"] == "7"


def test_an_error_in_the_middle_of_a_stream_is_raised_after_its_first_events(client: anthropic.Anthropic):
    seen = []
    stream = client.messages.create(
        model=MODEL, max_tokens=2000, messages=ask("Hello[[sim:midstream_error=4]]"), stream=True
    )
    with pytest.raises(anthropic.APIStatusError) as caught:
        seen.extend(event.type for event in stream)
    assert seen == ["message_start", "content_block_start", "content_block_delta"]
    assert caught.value.type == "overloaded_error"
