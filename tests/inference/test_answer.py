"""What an answer used, where the provider does not say it."""

import pytest

from services.inference.domain.answer import Answer
from services.inference.domain.usage import Basis


def broken_off(text: str, *, max_tokens: int, reported: int = 1) -> Answer:
    """A stream that ended after its first words."""
    answer = Answer(max_tokens)
    usage = {"input_tokens": 20, "output_tokens": reported}
    answer.heard({"type": "message_start", "message": {"id": "msg_1", "usage": usage}})
    answer.heard({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    answer.settle_count()
    return answer


@pytest.mark.parametrize(("characters", "tokens"), [(0, 1), (4, 1), (5, 2), (400, 100), (404, 100), (10_000, 100)])
def test_what_is_counted_never_exceeds_what_was_asked_for(characters: int, tokens: int):
    usage = broken_off("x" * characters, max_tokens=100).usage
    assert (usage.input_tokens, usage.output_tokens, usage.basis) == (20, tokens, Basis.COUNTED)


def test_what_the_provider_said_is_believed_over_the_count():
    assert broken_off("xxxx", max_tokens=5, reported=7).usage.output_tokens == 7


def test_the_providers_last_word_stands_beside_no_count():
    answer = broken_off("x" * 400, max_tokens=500)
    ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 81}}
    answer.heard(ending)
    answer.settle_count()
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.basis) == (20, 81, Basis.REPORTED)
