"""What the provider says it did, against what was settled for it."""

from typing import Any

from tests.e2e.clinic import Clinic
from tests.e2e.upstream import Received, Upstream
from tests.faults.books import Books

_REPORTED = {
    "input_tokens": "input_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}


def check(clinic: Clinic, upstream: Upstream, final: Books, words: set[str]) -> None:
    """Each settlement is what the provider reported, as far as it did; and what it reported is settled. words: of the clinic's requests."""
    received = upstream.received()
    answers = {each.message_id: each for each in received if each.message_id is not None}
    assert _disagreements(answers, final) == []
    known = {row["provider_message_id"] for row in final.record.values()}
    # Nobody heard of these answers: their request is settled all the same, as unknown.
    unread = {word_in(each.body) for each in answers.values() if each.message_id not in known} & words
    unknown = {_asked_word(clinic, ulid) for ulid in final.tagged("unknown")}
    assert unread - unknown == set()
    seen = {word_in(each.body) for each in received}
    reached = sum(word in seen for word in unknown)
    print(f"of the unknown: {reached} had reached the provider, {len(unknown) - reached} had not")


def word_in(body: str) -> str:
    """The customer's word in a request's newest text."""
    return body.rpartition(" says ")[2].partition(".")[0]


def _disagreements(answers: dict[str, Received], final: Books) -> list[str]:
    found: list[str] = []
    for ulid, settled in final.settlement.items():
        record = final.record[ulid]
        if settled["basis"] == "unknown":
            if (settled["input_tokens"], settled["output_tokens"]) != (record["input_bound"], 0):
                found.append(f"{ulid}: unknown, and settled for {settled}")
            continue
        usage: dict[str, Any] = answers[record["provider_message_id"]].usage
        if any(settled[ours] != usage[theirs] for ours, theirs in _REPORTED.items()):
            found.append(f"{ulid}: the provider counted {usage}, settled was {settled}")
        if settled["basis"] == "reported" and settled["output_tokens"] != usage["output_tokens"]:
            found.append(f"{ulid}: the provider reported {usage}, settled was {settled}")
        if settled["basis"] == "counted" and settled["output_tokens"] < 1:
            found.append(f"{ulid}: nothing was counted")
    return found


def _asked_word(clinic: Clinic, ulid: str) -> str:
    return word_in(clinic.record(ulid)["messages"][-1]["content"])
