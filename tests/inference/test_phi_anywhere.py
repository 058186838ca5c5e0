"""Whatever shape a request has, nothing that the scanner finds in it is left in what goes out."""

import asyncio
import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.inference.domain.phi import Guard, PhiRefusal, Policy
from tests.inference.phi_fakes import PatternDetector

SECRET = "536-22-8812"
plain = st.text(max_size=12)
secret = st.one_of(
    st.just(SECRET),
    plain.map(lambda around: f"{around} {SECRET}\n{around}"),
    st.just(json.dumps({"a": [f"x {SECRET}"], SECRET: json.dumps({"deep": SECRET})})),
)
text = st.one_of(plain, secret, st.just("[SSN_1]"), st.just("[1, 2"), st.just('{"a": "\\ud83d"}'))
keys = st.sampled_from(
    [
        "type",
        "text",
        "content",
        "input",
        "source",
        "data",
        "id",
        "name",
        "title",
        "signature",
        "thinking",
        "cache_control",
        "x",
        SECRET,
    ]
)
kinds = st.sampled_from(
    [
        "text",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "thinking",
        "search_result",
        "web_search_tool_result",
        "redacted_thinking",
        "new",
    ]
)
values = st.recursive(
    st.one_of(text, kinds, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=14,
)
blocks = st.builds(lambda kind, rest: {**rest, "type": kind}, kinds, st.dictionaries(keys, values, max_size=5))
contents = st.one_of(text, st.lists(st.one_of(blocks, values), max_size=4))
requests = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": contents}), max_size=3
        )
    },
    optional={
        "system": contents,
        "metadata": st.dictionaries(st.sampled_from(["user_id", "x"]), values, max_size=2),
        "stop_sequences": st.lists(text, max_size=2),
        "tools": st.lists(st.dictionaries(keys, values, max_size=3), max_size=2),
        "mcp_servers": values,
        "never_heard_of": values,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests)
def test_nothing_found_is_left(body: dict[str, Any]):
    before = copy.deepcopy(body)
    detector = PatternDetector()
    policy = Policy(image_policy="pass")
    done, said = None, ""
    try:
        done = asyncio.run(
            Guard(detector, detector).scan_messages(body, policy=policy, org_key=b"k" * 32, deadline=1.0)
        )
    except PhiRefusal as refusal:
        said = f"{refusal} {vars(refusal)}"
    assert SECRET not in said
    if done is None:
        return
    assert body == before
    sent = json.dumps({key: value for key, value in done.request.items() if key != "tools"})
    assert SECRET not in sent
    assert SECRET not in str([vars_of(redaction) for redaction in done.redactions])


def vars_of(redaction: Any) -> tuple[Any, ...]:
    return redaction.path, redaction.entity_type, redaction.placeholder, redaction.recognizer
