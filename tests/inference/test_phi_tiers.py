"""How thoroughly the guard reads is a setting of the deployment, and what was read by one tier is not taken for another's."""

import time
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from services.chassis.access import Principal
from services.inference.clients.presidio import PoolSettings, PresidioPool, Tier
from services.inference.clients.presidio.analyzer import engine as presidio
from services.inference.clients.presidio.analyzer import person_ner
from services.inference.config import Settings
from services.inference.domain.phi import Span
from tests.inference.conftest import House, Refused
from tests.inference.test_phi_quality import UNSEEN
from tests.inference.test_records import get, told
from tests.phi_eval.documents import data_sets

PLAIN = "The wound is clean. She sleeps well."
TEXT = f"{PLAIN} Today Zbigniew Okonkwo-Lindqvist walked."


def places(span: Span) -> tuple[int, int]:
    return span.start, span.end


def read_by_the_model(note: str, *, gated: bool) -> list[str]:
    read: list[str] = []

    def ner(text: str) -> Iterator[tuple[int, int, str]]:
        read.extend(text.splitlines())
        return iter(())

    assert person_ner.detect(note, ner, gated=gated) == []
    return read


def test_the_gate_lets_through_what_gives_reason_to_look_and_strict_reads_the_whole_too():
    suspicious = "Today Zbigniew Okonkwo-Lindqvist walked."
    assert read_by_the_model(PLAIN, gated=True) == []
    assert read_by_the_model(PLAIN, gated=False) == [PLAIN]
    assert read_by_the_model(TEXT, gated=True) == [suspicious]
    assert read_by_the_model(TEXT, gated=False) == [TEXT, suspicious]


def test_a_more_thorough_tier_covers_whatever_a_faster_one_does():
    engines = [presidio.build(tier) for tier in (Tier.FAST, Tier.STANDARD, Tier.STRICT)]
    texts = [each.text for found in data_sets([UNSEEN]).values() for each in found[:4]]
    covered = [
        {
            (n, at)
            for n, text in enumerate(texts)
            for span in presidio.detect(engine, text)
            for at in range(*places(span))
        }
        for engine in engines
    ]
    assert len(covered[0]) > 500
    assert covered[1] >= covered[0]
    assert covered[2] >= covered[1]


def test_fast_loads_no_model_and_finds_what_is_labelled():
    engine = presidio.build(Tier.FAST)
    text = "Patient: John Smith, MRN 4827193, SSN 536-22-8812, mail j.smith@example.org."
    found = presidio.detect(engine, text)
    assert [text[span.start : span.end] for span in found] == [
        "John Smith",
        "4827193",
        "536-22-8812",
        "j.smith@example.org",
    ]
    assert "ner" not in {span.recognizer for span in presidio.detect(engine, TEXT)}
    with pytest.raises(RuntimeError, match="not loaded"):
        _ = engine.nlp_engine.ner  # pyright: ignore[reportAttributeAccessIssue]


async def test_a_pool_reads_by_its_tier_and_its_memory_is_its_own():
    pools = {tier: PresidioPool(PoolSettings(workers=1, tier=tier)) for tier in Tier}
    assert len({pool.policy for pool in pools.values()}) == 3
    assert len({pool._cache.key(b"k" * 32, TEXT) for pool in pools.values()}) == 3
    fast = pools[Tier.FAST]
    await fast.start()
    (found,) = await fast.detect(["MRN 4827193. " + TEXT], time.monotonic() + 20, b"k" * 32)
    await fast.stop()
    assert found[0].entity_type == "MEDICAL_RECORD_NUMBER"
    assert "ner" not in {span.recognizer for span in found}


async def test_the_record_and_the_audit_log_name_the_policy(house: House, alice: Principal) -> None:
    body = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": [{"role": "user", "content": "John Smith"}]}
    ulid = (await house.create(alice, body)).json["id"].removeprefix("msg_")
    assert (await get(house, alice, ulid))["phi"]["policy"] == "0 twin"
    await house.count(alice, {name: body[name] for name in ("model", "messages")})
    tool = {"name": "find", "description": "Finds John Smith.", "input_schema": {"type": "object"}}
    with pytest.raises(Refused):
        await house.create(alice, body | {"tools": [tool]})
    await house.eventually(lambda: len(house.agreements.events) == 3)
    assert "inference.blocked" in house.agreements.actions()
    assert {told(event)["phi_policy"] for event in house.agreements.events.values()} == {"0 twin"}


def test_the_tier_is_a_setting(monkeypatch: pytest.MonkeyPatch):
    needed = ("LISTEN", "DATABASE_URL")
    for name in (*(f"HASP_INFERENCE_{each}" for each in needed), "HASP_TLS_DIR", "HASP_KEK_FILE", "HASP_CATALOGUE"):
        monkeypatch.setenv(name, "x")
    for name in ("HASP_IDENTITY_ADDRESS", "HASP_COMPLIANCE_ADDRESS", "HASP_BILLING_ADDRESS", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "x")
    assert Settings().phi_tier is Tier.STANDARD  # pyright: ignore[reportCallIssue]
    monkeypatch.setenv("HASP_PHI_TIER", "strict")
    assert Settings().phi_tier is Tier.STRICT  # pyright: ignore[reportCallIssue]
    monkeypatch.setenv("HASP_PHI_TIER", "off")
    with pytest.raises(ValidationError):
        Settings()  # pyright: ignore[reportCallIssue]
