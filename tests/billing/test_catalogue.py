from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.billing.domain.catalogue import Catalogue, Pricing
from services.billing.domain.usage import Tokens, shown
from tests.billing.conftest import CATALOGUE
from tests.billing.requests import HAIKU, OPUS, SONNET

DOCUMENT = orjson.loads(CATALOGUE.read_bytes())
PRICING = Pricing(Catalogue.parse(CATALOGUE.read_bytes()))
counts = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("model", "tokens", "credits_"),
    [
        (SONNET, Tokens(input=18, output=74), "92"),
        (HAIKU, Tokens(input=100, output=1), "33.33"),
        (OPUS, Tokens(input=100, output=1), "505"),
        (SONNET, Tokens(input=0, output=0, cache_read=1), "0.1"),
        (HAIKU, Tokens(input=0, output=0, cache_write=1), "0.4125"),
        (OPUS, Tokens(input=1, output=1, cache_read=1, cache_write=1), "16.75"),
    ],
)
def test_credits_are_sonnet_equivalent_tokens(model: str, tokens: Tokens, credits_: str) -> None:
    assert PRICING.credits(model, tokens) == Decimal(credits_)


@given(st.sampled_from([HAIKU, SONNET, OPUS]), counts, counts, counts, counts)
def test_a_request_never_costs_more_than_its_bound(model: str, input_: int, output: int, read: int, write: int) -> None:
    tokens = Tokens(input=input_, output=output, cache_read=read, cache_write=write)
    bound = PRICING.bound(model, input_tokens=input_ + read + write, max_tokens=output)
    assert PRICING.credits(model, tokens) <= bound


@given(st.sampled_from([HAIKU, SONNET, OPUS]), st.lists(st.tuples(counts, counts, counts, counts), max_size=20))
def test_the_sum_of_requests_costs_what_their_sum_costs(model: str, requests: list[tuple[int, int, int, int]]) -> None:
    each = [PRICING.credits(model, Tokens(*request)) for request in requests]
    together = Tokens(*(sum(kind) for kind in zip(*requests, strict=True))) if requests else Tokens(0, 0)
    assert sum(each) == PRICING.credits(model, together)


@pytest.mark.parametrize(("exact", "whole"), [("0.4999", 0), ("0.5", 1), ("1.5", 2), ("2.5", 3), ("0", 0), ("7", 7)])
def test_credits_are_shown_rounded_half_up(exact: str, whole: int) -> None:
    assert shown(Decimal(exact)) == whole


def test_only_opus_needs_the_opt_in() -> None:
    assert [model for model in (HAIKU, SONNET, OPUS) if PRICING.needs_opus(model)] == [OPUS]


def test_the_plans_are_the_contracts() -> None:
    limits = {plan.id: plan.limits for plan in Catalogue.parse(CATALOGUE.read_bytes()).plans}
    assert {
        name: (of.requests_per_minute, of.requests_per_day, of.tokens_per_minute) for name, of in limits.items()
    } == {
        "developer": (60, 5_000, 100_000),
        "growth": (500, 50_000, 500_000),
        "scale": (2_000, 500_000, 2_000_000),
        "enterprise": (None, None, None),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "new"},
        {"discount": "0.5"},
        {"default_model": "claude-1"},
        {"models": [DOCUMENT["models"][0] | {"credit_ratio": 0.33}]},
        {"models": [DOCUMENT["models"][0] | {"credit_ratio": "-1"}]},
        {"models": [DOCUMENT["models"][0] | {"opt_in": "sonnet"}]},
        {"models": [DOCUMENT["models"][1], DOCUMENT["models"][1]]},
        {"plans": [{"id": "free", "credits_per_cycle": 1}]},
    ],
)
def test_a_catalogue_that_is_not_one_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Catalogue.parse(orjson.dumps(DOCUMENT | wrong))
