import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import ValidationFailed
from services.identity.domain.actions import parse_action
from services.identity.domain.grants import parse_grants
from services.identity.wire.values import plain, plain_value, struct

json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), json, max_size=3))
def test_an_object_arrives_as_it_was_sent(sent: dict[str, Any]) -> None:
    assert plain(struct(sent)) == sent
    assert plain(struct(sent)) == json_format.MessageToDict(struct(sent))


def test_whole_numbers_arrive_as_floats_and_what_was_not_given_as_null() -> None:
    assert type(plain(struct({"n": 8}))["n"]) is float
    assert plain_value(Value()) is None
    assert plain(Struct(fields={"a": Value()})) == {"a": None}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_know_is_refused_by_its_place(number: float) -> None:
    sent = {"type": "external.tool.invoke", "tool_id": "t"}
    with pytest.raises(ValidationFailed) as refused:
        parse_grants([plain(struct({**sent, "constraints": {"a": [number]}}))])
    assert refused.value.param == "granted_scopes[0].constraints.a[0]"
    with pytest.raises(ValidationFailed) as refused:
        parse_action(plain(struct({**sent, "arguments": {"a": number}})))
    assert refused.value.param == "action.arguments"
