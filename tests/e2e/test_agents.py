"""Agents through the edge: what JSON and query strings can say and a transcoder can lose on the way."""

import itertools
import json
from typing import Any

import httpx
import pytest

from tests.e2e import agents
from tests.e2e.clinic import Clinic
from tests.e2e.envelope import check

NEW: dict[str, Any] = {"default_expiry_hours": 8, "default_revocation_policy": "drain"}
JSON = {"content-type": "application/json"}
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
_numbers = itertools.count()


def post(clinic: Clinic, **settings: Any) -> httpx.Response:
    """Registers an agent of a name of its own."""
    return clinic.http.post("/v1/agents", json={"name": f"Router {next(_numbers)}", **NEW, **settings})


def post_raw(clinic: Clinic, body: str | bytes) -> httpx.Response:
    return clinic.http.post("/v1/agents", content=body, headers=JSON)


def agent_of(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["success"] is True
    assert body["meta"]["request_id"] == answer.headers["x-request-id"]
    return body["data"]["agent"]


@pytest.fixture(scope="module")
def patched(shared_clinic: Clinic) -> str:
    """The path of an agent that these tests change as they like."""
    return f"/v1/agents/{agents.register(shared_clinic, name=f'Patched {next(_numbers)}')}"


def patch(clinic: Clinic, path: str, body: Any) -> httpx.Response:
    """Text is sent as it is, all else as JSON."""
    return clinic.http.patch(path, content=body if isinstance(body, str) else json.dumps(body), headers=JSON)


# Null, absent, empty -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({}, "allowed_scope_types", None),
        ({"allowed_scope_types": None}, "allowed_scope_types", None),
        ({"allowed_scope_types": []}, "allowed_scope_types", []),
        ({"allowed_scope_types": ["human.escalate"]}, "allowed_scope_types", ["human.escalate"]),
        ({}, "description", None),
        ({"description": None}, "description", None),
        ({"description": ""}, "description", ""),
        ({"description": "Für die Nacht\n\t😀"}, "description", "Für die Nacht\n\t😀"),
        ({}, "capabilities", []),
        ({"capabilities": None}, "capabilities", []),
        ({"capabilities": []}, "capabilities", []),
    ],
)
def test_a_registration_keeps_null_absent_and_empty_apart(
    shared_clinic: Clinic, settings: dict[str, Any], field: str, value: Any
):
    made = agent_of(post(shared_clinic, **settings), 201)
    assert field in made
    assert made[field] == value
    assert agent_of(shared_clinic.http.get(f"/v1/agents/{made['id']}")) == made


@pytest.mark.parametrize("before", [{"allowed_scope_types": ["hasp.data.read"], "description": "Text"}, {}])
@pytest.mark.parametrize(
    "change",
    [
        {"allowed_scope_types": None},
        {"allowed_scope_types": []},
        {"allowed_scope_types": ["agent.delegate", "hasp.data.read"]},
        {"description": None},
        {"description": ""},
        {"description": "Ü"},
        {"capabilities": []},
        {"allowed_scope_types": [], "description": None, "capabilities": ["a"]},
        {},
    ],
)
def test_a_patch_changes_exactly_what_it_names(shared_clinic: Clinic, before: dict[str, Any], change: dict[str, Any]):
    made = agent_of(post(shared_clinic, **before), 201)
    path = f"/v1/agents/{made['id']}"
    assert agent_of(patch(shared_clinic, path, change)) == made | change
    assert agent_of(shared_clinic.http.get(path)) == made | change


@pytest.mark.parametrize("value", ["x", "hasp.data.read", "", {}, {"hasp.data.read": True}, 0, 5, True, False])
def test_what_is_neither_a_list_nor_null_is_no_list_of_scope_types(shared_clinic: Clinic, patched: str, value: Any):
    for answer in (
        post(shared_clinic, allowed_scope_types=value),
        patch(shared_clinic, patched, {"allowed_scope_types": value}),
    ):
        check(answer, 422, "VALIDATION_FAILED", "allowed_scope_types")


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (None, "VALIDATION_FAILED"),
        (5, "VALIDATION_FAILED"),
        (["hasp.data.read"], "VALIDATION_FAILED"),
        ({}, "VALIDATION_FAILED"),
        ("hasp.data.write", "VALIDATION_FAILED"),
        ("", "INVALID_SCOPE_TYPE"),
        ("hasp.data.Read", "INVALID_SCOPE_TYPE"),
        ("hasp.data.*", "INVALID_SCOPE_TYPE"),
    ],
)
def test_an_entry_that_is_no_scope_type_or_stands_there_twice_is_named(
    shared_clinic: Clinic, patched: str, item: Any, code: str
):
    types = ["hasp.data.write", item]
    for answer in (
        post(shared_clinic, allowed_scope_types=types),
        patch(shared_clinic, patched, {"allowed_scope_types": types}),
    ):
        check(answer, 422, code, "allowed_scope_types[1]")


# Numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "hours"), [("8", 8), ("8.0", 8), ("1e2", 100), ("7.2e2", 720), ("1", 1)])
def test_a_whole_number_may_be_written_as_json_permits(shared_clinic: Clinic, patched: str, text: str, hours: int):
    body = f'{{"name": "Number {next(_numbers)}", "default_expiry_hours": {text}, "default_revocation_policy": "kill"}}'
    for answer, status in (
        (post_raw(shared_clinic, body), 201),
        (patch(shared_clinic, patched, f'{{"default_expiry_hours": {text}}}'), 200),
    ):
        shown = agent_of(answer, status)["default_expiry_hours"]
        assert shown == hours
        assert isinstance(shown, int)


@pytest.mark.parametrize("text", ["0", "-0", "-1", "721", "1e3", "2147483647"])
def test_a_number_beyond_its_limits_is_named_wherever_it_stands(shared_clinic: Clinic, patched: str, text: str):
    body = f'{{"name": "Number", "default_expiry_hours": {text}, "default_revocation_policy": "kill"}}'
    check(post_raw(shared_clinic, body), 422, "VALIDATION_FAILED", "default_expiry_hours")
    answer = patch(shared_clinic, patched, f'{{"default_expiry_hours": {text}}}')
    check(answer, 422, "VALIDATION_FAILED", "default_expiry_hours")


@pytest.mark.parametrize("text", ["8.5", "true", '"8.5"', '"many"', '""', "[8]", "{}", "4294967304", "1e18"])
def test_what_is_no_whole_number_is_malformed_in_a_typed_body_and_named_in_a_patch(
    shared_clinic: Clinic, patched: str, text: str
):
    """4294967304 is 8 for a program that forgets the upper half."""
    body = f'{{"name": "Number", "default_expiry_hours": {text}, "default_revocation_policy": "kill"}}'
    check(post_raw(shared_clinic, body), 400, "MALFORMED_JSON")
    answer = patch(shared_clinic, patched, f'{{"default_expiry_hours": {text}}}')
    check(answer, 422, "VALIDATION_FAILED", "default_expiry_hours")


def test_a_single_capability_is_a_list_of_one_in_a_typed_body_alone(shared_clinic: Clinic, patched: str):
    """So says protobuf's JSON reader; a patch is read by ourselves."""
    assert agent_of(post(shared_clinic, capabilities="night"), 201)["capabilities"] == ["night"]
    check(patch(shared_clinic, patched, {"capabilities": "night"}), 422, "VALIDATION_FAILED", "capabilities")


def test_a_number_in_quotes_is_a_number_in_a_typed_body_alone(shared_clinic: Clinic, patched: str):
    """Protobuf's JSON form takes both; a patch is read by ourselves."""
    assert agent_of(post(shared_clinic, default_expiry_hours="8"), 201)["default_expiry_hours"] == 8
    answer = patch(shared_clinic, patched, {"default_expiry_hours": "8"})
    check(answer, 422, "VALIDATION_FAILED", "default_expiry_hours")


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "Infinity", "08", "+8", "8.", ".8", "0x8"])
def test_what_is_no_number_in_json_is_malformed(shared_clinic: Clinic, patched: str, text: str):
    body = f'{{"name": "Number", "default_expiry_hours": {text}, "default_revocation_policy": "kill"}}'
    check(post_raw(shared_clinic, body), 400, "MALFORMED_JSON")
    check(patch(shared_clinic, patched, f'{{"default_expiry_hours": {text}}}'), 400, "MALFORMED_JSON")


# Bodies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", ["[]", "null", '"x"', "5", "true", "{", '{"name": }', "{'name': 1}", " ", "\x00", "{}{}"]
)
def test_a_body_that_is_no_json_object_is_malformed_everywhere(shared_clinic: Clinic, patched: str, body: str):
    for method, path in (
        ("POST", "/v1/agents"),
        ("PATCH", patched),
        ("POST", f"{patched}/archive"),
        ("POST", f"{patched}/reactivate"),
    ):
        check(shared_clinic.http.request(method, path, content=body, headers=JSON), 400, "MALFORMED_JSON")
    assert agent_of(shared_clinic.http.get(patched))["status"] == "active"


def test_no_body_is_an_object_without_fields(shared_clinic: Clinic, patched: str):
    before = agent_of(shared_clinic.http.get(patched))
    check(shared_clinic.http.post("/v1/agents"), 422, "VALIDATION_FAILED", "name")
    for content in (None, "", "{}"):
        assert agent_of(shared_clinic.http.patch(patched, content=content, headers=JSON)) == before


def test_another_media_type_is_refused(shared_clinic: Clinic, patched: str):
    for media_type in ("text/plain", "application/merge-patch+json", "application/x-www-form-urlencoded"):
        answer = shared_clinic.http.patch(patched, content='{"name": "X"}', headers={"content-type": media_type})
        check(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"mood": 1}, "mood"),
        ({"mood": None}, "mood"),
        ({"name": "Fine", "beard": 1, "mood": 1}, "beard"),
        ({"patch": {"name": "Inner"}}, "patch"),
        ({"fields": {"name": "Inner"}}, "fields"),
        ({"agent_id": ULID}, "agent_id"),
        ({"id": ULID}, "id"),
        ({"defaultExpiryHours": 9}, "defaultExpiryHours"),
        ({"@type": "x"}, "@type"),
        ({"a.b": 1}, "a.b"),
        ({"": 1}, ""),
        ({"Über": 1}, "Über"),
        ({"a\x00\n": 1}, "a\ufffd\ufffd"),
        ({"x" * 3000: 1}, "x" * 100),
    ],
)
def test_a_field_that_a_patch_cannot_have_is_named(
    shared_clinic: Clinic, patched: str, change: dict[str, Any], param: str
):
    before = agent_of(shared_clinic.http.get(patched))
    check(patch(shared_clinic, patched, change), 422, "VALIDATION_FAILED", param)
    assert agent_of(shared_clinic.http.get(patched)) == before


def test_unknown_fields_of_a_registration_are_ignored(shared_clinic: Clinic):
    made = agent_of(
        post(shared_clinic, mood="cheerful", id=ULID, status="archived", created_at="now", org_id=ULID), 201
    )
    assert (made["id"] != ULID, made["status"]) == (True, "active")
    assert "mood" not in made


def test_a_field_given_twice_in_a_patch_is_malformed(shared_clinic: Clinic, patched: str):
    check(patch(shared_clinic, patched, '{"name": "First", "name": "Second"}'), 400, "MALFORMED_JSON")


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ('"\\u0000\\u0000"', "VALIDATION_FAILED", 422),
        ('"a\\u0000b"', "VALIDATION_FAILED", 422),
        ('"a\\nb"', "VALIDATION_FAILED", 422),
        ('"\\u200b\\u200b"', "VALIDATION_FAILED", 422),
        ('"   "', "VALIDATION_FAILED", 422),
        ('"\\ud800x"', "MALFORMED_JSON", 400),
        ('"\\udc00x"', "MALFORMED_JSON", 400),
        ('"a\nb"', "MALFORMED_JSON", 400),
    ],
)
def test_text_that_no_name_may_have_never_reaches_the_database(
    shared_clinic: Clinic, patched: str, text: str, code: str, status: int
):
    param = "name" if status == 422 else None
    body = f'{{"name": {text}, "default_expiry_hours": 8, "default_revocation_policy": "kill"}}'
    check(post_raw(shared_clinic, body), status, code, param)
    check(patch(shared_clinic, patched, f'{{"name": {text}}}'), status, code, param)


def test_bytes_that_are_no_utf8_are_malformed(shared_clinic: Clinic, patched: str):
    for method, path in (("POST", "/v1/agents"), ("PATCH", patched)):
        answer = shared_clinic.http.request(method, path, content=b'{"name": "\xff\xfe"}', headers=JSON)
        check(answer, 400, "MALFORMED_JSON")


def test_names_are_counted_in_characters_and_come_back_unchanged(shared_clinic: Clinic):
    for name in ("😀" * 64, f"Ü{next(_numbers)} \\ \"/' <&> %", f"日本 {next(_numbers)}"):
        made = agent_of(post(shared_clinic, name=name), 201)
        assert made["name"] == name
        shared_clinic.http.post(f"/v1/agents/{made['id']}/archive")
    check(post(shared_clinic, name="😀" * 65), 422, "VALIDATION_FAILED", "name")


@pytest.mark.parametrize("depth", [10, 31, 40, 60, 95, 150, 5000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused_by_whoever_meets_it_first(
    shared_clinic: Clinic, patched: str, depth: int, opening: str
):
    closing = "]" if opening == "[" else "}"
    nested = opening * depth + "1" + closing * depth
    body = f'{{"name": "Deep", "default_expiry_hours": 8, "default_revocation_policy": "kill", "allowed_scope_types": {nested}}}'
    for answer in (
        post_raw(shared_clinic, body),
        patch(shared_clinic, patched, f'{{"allowed_scope_types": {nested}}}'),
    ):
        if depth < 32:
            check(answer, 422, "VALIDATION_FAILED")
        else:
            check(answer, 400, "MALFORMED_JSON")


# Queries and paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=1000001", "page"),
        ("per_page=0", "per_page"),
        ("per_page=101", "per_page"),
        ("status=foo", "status"),
        ("status=ACTIVE", "status"),
        ("status=", "status"),
        ("search=" + "x" * 101, "search"),
        ("search=a%00b", "search"),
        ("search=%0a", "search"),
    ],
)
def test_a_parameter_of_the_list_beyond_its_limits_is_named(shared_clinic: Clinic, query: str, param: str):
    check(shared_clinic.http.get(f"/v1/agents?{query}"), 422, "VALIDATION_FAILED", param)


@pytest.mark.parametrize(
    "query",
    ["mood=1", "page=1.0", "page=x", "page=", "page=1&page=2", "page=99999999999", "per_page=1e1", "search%5B%5D=x"],
)
def test_a_parameter_that_cannot_be_read_is_refused(shared_clinic: Clinic, query: str):
    check(shared_clinic.http.get(f"/v1/agents?{query}"), 400, "UNSUPPORTED_PARAMETER")


@pytest.mark.parametrize("query", ["search=%ff", "search=%c3%28", "search=%ed%a0%80", "status=%80"])
def test_a_parameter_that_is_no_utf8_is_refused(shared_clinic: Clinic, query: str):
    check(shared_clinic.http.get(f"/v1/agents?{query}"), 400, "UNSUPPORTED_PARAMETER")


def test_a_parameter_that_the_method_does_not_have_is_named(shared_clinic: Clinic, patched: str):
    for method, path in (
        ("GET", f"{patched}?status=all"),
        ("PATCH", f"{patched}?status=all"),
        ("POST", "/v1/agents?status=all"),
        ("POST", f"{patched}/archive?status=all"),
        ("POST", f"{patched}/reactivate?status=all"),
    ):
        check(shared_clinic.http.request(method, path), 400, "UNSUPPORTED_PARAMETER", "status")
    assert agent_of(shared_clinic.http.get(patched))["status"] == "active"


@pytest.mark.parametrize("name", ["agent_id", "agentId", "agent%5Fid"])
def test_no_parameter_names_another_agent_than_the_path(shared_clinic: Clinic, patched: str, name: str):
    other = agents.register(shared_clinic)
    for method, path in (
        ("GET", patched),
        ("PATCH", patched),
        ("POST", f"{patched}/archive"),
        ("POST", f"{patched}/reactivate"),
        ("GET", f"{patched}/credentials"),
    ):
        check(shared_clinic.http.request(method, f"{path}?{name}={other}"), 400, "UNSUPPORTED_PARAMETER")
    assert agent_of(shared_clinic.http.get(f"/v1/agents/{other}"))["status"] == "active"


@pytest.mark.parametrize("agent_id", [ULID, ULID.lower(), "nonsense", "%C3%BC", "%25", "-", "a:b", "null"])
def test_what_is_no_agent_is_not_found(shared_clinic: Clinic, agent_id: str):
    for method, path in (
        ("GET", f"/v1/agents/{agent_id}"),
        ("PATCH", f"/v1/agents/{agent_id}"),
        ("POST", f"/v1/agents/{agent_id}/archive"),
        ("POST", f"/v1/agents/{agent_id}/reactivate"),
    ):
        check(shared_clinic.http.request(method, path), 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("agent_id", ["%ff", "%00", "a%2Fb", "%C3"])
def test_a_path_that_cannot_be_read_is_refused(shared_clinic: Clinic, agent_id: str):
    answer = shared_clinic.http.get(f"/v1/agents/{agent_id}")
    check(answer, 400, "VALIDATION_FAILED")


def test_a_search_takes_every_character_literally(clinic: Clinic):
    names = ["100 % sicher", "a_b", "aXb", "a\\b", "Überweisung", "plus+plus", "amp&eq=", "日本"]
    for name in names:
        agents.register(clinic, name=name)

    def found(search: str) -> set[str]:
        answer = clinic.http.get("/v1/agents", params={"search": search})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["meta"]["total"] == len(body["data"])
        return {item["name"] for item in body["data"]}

    assert found("%") == {"100 % sicher"}
    assert found("_") == found("A_B") == {"a_b"}
    assert found("\\") == {"a\\b"}
    assert found("über") == found("ÜBERW") == {"Überweisung"}
    assert found("0 % S") == {"100 % sicher"}
    assert found("+") == {"plus+plus"}
    assert found("p&e") == {"amp&eq="}
    assert found("本") == {"日本"}
    assert found("'") == found('"') == found("null") == set()
    assert found("") == set(names)


def test_a_space_in_a_query_may_be_written_as_a_plus(clinic: Clinic):
    agents.register(clinic, name="Night shift")
    agents.register(clinic, name="Night+shift")
    for search, name in (
        ("night%20shift", "Night shift"),
        ("night+shift", "Night shift"),
        ("night%2Bshift", "Night+shift"),
    ):
        answer = clinic.http.get(f"/v1/agents?search={search}")
        assert [item["name"] for item in answer.json()["data"]] == [name]


def test_pages_are_printed_as_numbers(clinic: Clinic):
    for number in range(3):
        agents.register(clinic, name=f"Agent {number}")
    body = clinic.http.get("/v1/agents?page=2&per_page=2").json()
    request_id = body["meta"].pop("request_id")
    assert request_id.startswith("req_")
    assert body["meta"] == {"total": 3, "page": 2, "last_page": 2}
    assert [item["name"] for item in body["data"]] == ["Agent 0"]
    beyond = clinic.http.get("/v1/agents?page=1000000&per_page=100").json()
    assert beyond["data"] == []
    assert (beyond["meta"]["total"], beyond["meta"]["page"], beyond["meta"]["last_page"]) == (3, 1_000_000, 1)


def test_a_method_that_a_path_does_not_have_says_which_it_has(shared_clinic: Clinic, patched: str):
    for method, path, allowed in (
        ("PUT", patched, "GET, PATCH"),
        ("DELETE", patched, "GET, PATCH"),
        ("POST", patched, "GET, PATCH"),
        ("GET", f"{patched}/archive", "POST"),
        ("PATCH", "/v1/agents", "GET, POST"),
    ):
        answer = shared_clinic.http.request(method, path)
        check(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == allowed


def test_a_narrowed_agent_shows_what_it_left_outside_as_a_list(clinic: Clinic):
    held = agents.equip(clinic)
    path = f"/v1/agents/{held.agent_id}"
    for change, outside in (
        ({}, []),
        ({"allowed_scope_types": []}, [held.id]),
        ({}, [held.id]),
        ({"allowed_scope_types": None}, []),
    ):
        meta = patch(clinic, path, change).json()["meta"]
        assert meta["credentials_outside_allowed_scope_types"] == outside
        assert set(meta) == {"request_id", "credentials_outside_allowed_scope_types"}
