import base64
import json
from datetime import datetime, timedelta
from itertools import product

import pytest

from services.chassis.access import OrgId
from services.chassis.errors import ValidationFailed
from services.compliance.domain import webhooks
from services.compliance.domain.event_names import AUDITED, PUBLISHED, SUBSCRIBABLE, TEST, group_of
from services.compliance.domain.leaves import Actor, Entry
from services.compliance.domain.webhooks import Audience, Endpoint, Occurrence, WantedEndpoint, audited
from tests.compliance.support import NOON, event

URL = "https://hooks.example.com/hasp"
ORG = OrgId("01J0000000000000000000C0RG")


def endpoint(endpoint_id: str, *events: str, app_id: str | None = None, active: bool = True) -> Endpoint:
    return Endpoint(endpoint_id, app_id, URL, events, None, active, NOON)


def occurrence(name: str, *, app_id: str | None = None, at: datetime = NOON) -> Occurrence:
    return Occurrence("01J000000000000000000EVENT", name, at, {}, app_id=app_id)


@pytest.mark.parametrize("name", sorted(SUBSCRIBABLE))
def test_a_subscription_to_one_name_wants_what_the_name_covers_and_nothing_else(name: str) -> None:
    audience = Audience([endpoint("it", name)])
    covered = {
        "*": AUDITED | PUBLISHED,
        group_of(name): {each for each in AUDITED | PUBLISHED if group_of(each) == name},
    }.get(name, {name})
    assert {each for each in AUDITED | PUBLISHED if audience.of(occurrence(each))} == covered


def test_several_names_are_one_delivery() -> None:
    audience = Audience([endpoint("it", "*", "agent.*", "agent.archived")])
    assert audience.of(occurrence("agent.archived")) == ["it"]


def test_a_group_ends_at_the_first_dot() -> None:
    assert Audience([endpoint("it", "agent.*")]).of(occurrence("agents.archived")) == []
    assert Audience([endpoint("it", "api_key.*")]).of(occurrence("api.key")) == []


@pytest.mark.parametrize(("of_endpoint", "of_event"), list(product((None, "ehr", "billing"), repeat=2)))
def test_an_application_hears_of_its_own_events(of_endpoint: str | None, of_event: str | None) -> None:
    audience = Audience([endpoint("it", "*", app_id=of_endpoint)])
    heard = audience.of(occurrence("record.created", app_id=of_event))
    assert heard == (["it"] if of_endpoint in (None, of_event) else [])


def test_what_happened_before_the_registration_is_not_told() -> None:
    audience = Audience([endpoint("it", "*")])
    assert audience.of(occurrence("agent.archived", at=NOON - timedelta(milliseconds=1))) == []
    assert audience.of(occurrence("agent.archived", at=NOON)) == ["it"]


def test_a_disabled_endpoint_wants_nothing() -> None:
    assert Audience([endpoint("it", "*", active=False)]).of(occurrence("agent.archived")) == []


def test_a_registration_counts_from_its_millisecond_on() -> None:
    precise = NOON + timedelta(microseconds=1999)
    assert webhooks.registered(precise) == NOON + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "name",
    ["", "agent", "agent.", ".*", "**", "agent.*.x", "*.archived", "agents.*", "Agent.archived", TEST, " *", "*\x00"],
)
def test_an_unknown_name_is_refused_where_it_stands(name: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        WantedEndpoint(URL, ("agent.archived", name))
    assert refused.value.param == "events[1]"


@pytest.mark.parametrize("text", ["two\nlines", "a\x00b", "tab\t", "\u202egnp", "\ud800", "\x7f"])
@pytest.mark.parametrize("param", ["description", "app_id"])
def test_texts_are_one_printable_line(param: str, text: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        WantedEndpoint(URL, ("*",), **{param: text})
    assert refused.value.param == param


def test_texts_in_any_script_are_taken() -> None:
    assert WantedEndpoint(URL, ("*",), app_id="电子病历", description="Für die Aufnahme – „Süd“ 🩺").events == ("*",)


def test_a_secret_is_32_random_bytes() -> None:
    made = {webhooks.new_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


def test_the_body_of_an_entry_is_canonical_and_says_everything_but_the_address() -> None:
    happened = event(
        ORG, actor=Actor("agent", "AGENT", "CREDENTIAL", ("USER", "CREDENTIAL")), metadata={"größe": 3, "b": [1]}
    )
    body = audited(Entry(happened, 7, b"\x01" * 32)).body()
    assert (
        body
        == (
            '{"app_id":null,"data":{"actor":{"credential_id":"CREDENTIAL","delegation_path":["USER","CREDENTIAL"],"id":"AGENT","type":"agent"},'
            f'"entity_id":"{happened.entity_id}","entity_type":"api_key","integrity_hash":"{"01" * 32}","metadata":{{"b":[1],"größe":3}},'
            f'"request_id":"{happened.request_id}","seq":7,"user_id":"{happened.user_id}"}},"entity_key":"{happened.entity_id}",'
            f'"event":"api_key.created","id":"{happened.id}","timestamp":"2026-05-11T12:00:00+00:00"}}'
        ).encode()
    )
    assert happened.ip_address is not None
    assert happened.ip_address not in body.decode()


def test_the_body_of_a_published_event_has_what_was_told() -> None:
    told = Occurrence(
        "01J000000000000000000EVENT",
        "record.created",
        NOON + timedelta(milliseconds=5),
        {"n": 1},
        app_id="ehr",
        entity_key="k",
    )
    assert json.loads(told.body()) == {
        "id": "01J000000000000000000EVENT",
        "event": "record.created",
        "app_id": "ehr",
        "entity_key": "k",
        "timestamp": "2026-05-11T12:00:00.005+00:00",
        "data": {"n": 1},
    }


def test_an_entry_without_its_place_is_not_told() -> None:
    with pytest.raises(ValueError, match="place"):
        audited(Entry(event(ORG), None, None))
