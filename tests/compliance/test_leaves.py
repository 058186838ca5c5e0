import hashlib
import json
import math
import string
from dataclasses import replace
from typing import Any

import orjson
import pytest
import rfc8785
from google.protobuf.struct_pb2 import Struct
from hasp.compliance.v1.audit_intake_service_pb2 import AuditEvent
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.access import OrgId
from services.chassis.errors import ValidationFailed
from services.compliance import wire
from services.compliance.domain import events
from services.compliance.domain.leaves import MAX_INTEGER, Actor, canonical, event_of, leaf_hash, pieces
from tests.compliance.support import event

ACME = OrgId("01J0000000000000000000ACME")

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def test_the_hash_of_a_leaf_is_that_of_rfc_6962() -> None:
    # The vectors of the reference implementation of Certificate Transparency (testdata of trillian and certificate-transparency).
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"\x00").hex() == "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"


def test_canonical_json_is_that_of_rfc_8785() -> None:
    # §3.2.3: properties are sorted by their UTF-16 code units. §3.2.2.2: escapes.
    told = json.loads(
        '{"\\u20ac": "Euro Sign", "\\r": "Carriage Return", "\\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",'
        ' "\\ud83d\\ude00": "Emoji: Grinning Face", "\\u0080": "Control", "\\u00f6": "Latin Small Letter O With Diaeresis"}'
    )
    assert list(json.loads(canonical(told)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]
    assert canonical({"b": '\b\t\n\f\r"\\/\x0f\x7f', "a": [None, True, -0, 56]}) == (
        b'{"a":[null,true,0,56],"b":"\\b\\t\\n\\f\\r\\"\\\\/\\u000f\x7f"}'
    )


@given(st.dictionaries(texts, values))
def test_canonical_json_is_what_the_reference_library_writes(told: dict[str, object]) -> None:
    assert canonical(told) == rfc8785.dumps(told)  # pyright: ignore[reportArgumentType]


@given(
    metadata=st.dictionaries(texts, values),
    seq=st.integers(0, 2**53 - 1),
    user_id=st.none() | texts,
    credential_id=st.none() | texts,
    path=st.lists(texts, max_size=3),
)
def test_a_leaf_is_one_canonical_object_whatever_its_seq(
    metadata: dict[str, object], seq: int, user_id: str | None, credential_id: str | None, path: list[str]
) -> None:
    told = event(ACME, metadata=metadata, user_id=user_id, actor=Actor("agent", "a", credential_id, tuple(path)))
    leaf = pieces(told).at(seq)
    assert leaf == rfc8785.dumps(json.loads(leaf))
    assert json.loads(leaf)["seq"] == seq
    assert event_of(leaf) == told


def test_the_layout_of_a_leaf_is_the_documented_one() -> None:
    told = event(ACME, id="01J00000000000000000000EVT", ip_address=None)
    leaf = pieces(told).at(7)
    assert leaf == (
        b'{"action":"api_key.created","actor":{"id":"01J0000000000000000000ADMN","type":"api_key"},'
        b'"created_at":"2026-05-11T12:00:00.000+00:00","entity_id":"01J00000000000000000000KEY","entity_type":"api_key",'
        b'"id":"01J00000000000000000000EVT","ip_address":null,"metadata":{"count":3,"scopes":["ai:chat"]},'
        b'"org_id":"01J0000000000000000000ACME","request_id":"req_01J00000000000000000000REQ","seq":7,'
        b'"user_id":"01J0000000000000000000VSER","v":1}'
    )
    assert leaf_hash(leaf) == hashlib.sha256(b"\x00" + leaf).digest()
    assert "credential_id" not in orjson.loads(leaf)["actor"]


def told_with(metadata: dict[str, Any]) -> AuditEvent:
    values = Struct()
    values.update(metadata)
    return AuditEvent(
        id="01J00000000000000000000EVT",
        org_id=ACME,
        action="record.created",
        entity_type="record",
        entity_id="x",
        actor_type="system",
        actor_id="billing",
        metadata=values,
        occurred_at_ms=1_778_500_800_123,
    )


def test_whole_numbers_of_the_wire_become_integers() -> None:
    told = wire.event(told_with({"count": 3.0, "nested": {"list": [1, -2, None, True, "x"]}}))
    assert canonical(told.metadata) == b'{"count":3,"nested":{"list":[1,-2,null,true,"x"]}}'
    assert told.created_at.isoformat() == "2026-05-11T12:00:00.123000+00:00"


@pytest.mark.parametrize("number", [0.5, -3.25, math.inf, -math.inf, math.nan, 2.0**53, -(2.0**60)])
def test_a_number_that_is_not_whole_is_refused(number: float) -> None:
    with pytest.raises(ValidationFailed) as refused:
        wire.event(told_with({"nested": [{"number": number}]}))
    assert refused.value.param == "metadata"


@pytest.mark.parametrize(
    ("param", "changed"),
    [
        ("id", {"id": "1"}),
        ("id", {"id": "01j00000000000000000000evt"}),
        ("org_id", {"org_id": ""}),
        ("org_id", {"org_id": "*"}),
        ("action", {"action": "created"}),
        ("action", {"action": "Key.Created"}),
        ("action", {"action": "a." + "b" * 100}),
        ("actor_type", {"actor": Actor("root", "x")}),
        ("actor_id", {"actor": Actor("system", "")}),
        ("entity_type", {"entity_type": ""}),
        ("entity_id", {"entity_id": "a\x00b"}),
        ("entity_id", {"entity_id": "a" * 101}),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused_by_the_name_of_its_field(param: str, changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        events.check(replace(event(ACME), **changed))
    assert refused.value.param == param


def test_an_event_of_any_length_of_text_fits_its_bounds() -> None:
    long = event(ACME, metadata=dict.fromkeys(string.ascii_letters, "x" * 1000))
    events.check_size(pieces(long))
    with pytest.raises(ValidationFailed):
        events.check_size(pieces(event(ACME, metadata={"x": "x" * events.MAX_LEAF})))
