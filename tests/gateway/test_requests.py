"""What reaches a service, what does not, and what the answer carries."""

import asyncio
import json
import time
from urllib.parse import quote

import httpx
import pytest

from gateway.virtual_host import DEFAULT_BODY_LIMIT, MESSAGES_BODY_LIMIT
from tests.gateway.edge import Edge
from tests.gateway.wire import REQUEST_ID, anthropic_error, native_error, scenario, spoken

JSON = {"content-type": "application/json"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def seen_metadata(client: httpx.Client, headers: dict[str, str]) -> dict[str, str]:
    return client.post("/v1/messages/count_tokens", json={}, headers=headers).json()["metadata"]


# Request ids


def test_a_request_id_is_a_ulid_of_now(client: httpx.Client) -> None:
    before = time.time() * 1000
    request_id = client.get("/v1/api_keys").headers["x-request-id"]
    after = time.time() * 1000
    assert REQUEST_ID.fullmatch(request_id)
    milliseconds = 0
    for digit in request_id[4:14]:
        milliseconds = milliseconds * 32 + CROCKFORD.index(digit)
    assert before - 5 <= milliseconds <= after + 5


async def test_request_ids_are_unique_and_equal_in_header_and_body_under_concurrency(edge: Edge) -> None:
    ids: list[str] = []
    limits = httpx.Limits(max_connections=32)
    async with httpx.AsyncClient(base_url=edge.url, timeout=30, limits=limits) as client:

        async def several(worker: int) -> None:
            for number in range(30):
                match (worker + number) % 3:
                    case 0:
                        response = await client.get("/v1/api_keys")
                        in_body = response.json()["meta"]["request_id"]
                    case 1:
                        response = await client.get("/v1/nowhere")
                        in_body = response.json()["error"]["request_id"]
                    case _:
                        response = await client.post("/v1/messages", json={})
                        in_body = response.json()["meta"]["request_id"]
                        assert response.headers["request-id"] == in_body
                assert response.headers["x-request-id"] == in_body
                ids.append(in_body)

        await asyncio.gather(*(several(worker) for worker in range(32)))
    assert len(ids) == len(set(ids)) == 960
    assert all(REQUEST_ID.fullmatch(request_id) for request_id in ids)
    for place in range(14, 30):  # no digit of the random part is a constant
        assert len({request_id[place] for request_id in ids}) == 32


def test_request_id_of_the_client_is_not_taken(client: httpx.Client) -> None:
    headers = {"x-request-id": "req_01HZZZZZZZZZZZZZZZZZZZZZZZ"}
    response = client.get("/v1/api_keys", headers=headers)
    assert response.headers["x-request-id"] != headers["x-request-id"]
    assert response.json()["meta"]["request_id"] == response.headers["x-request-id"]


def test_only_the_anthropic_surface_has_the_header_request_id(client: httpx.Client) -> None:
    assert "request-id" not in client.get("/v1/api_keys").headers
    for response in (client.get("/v1/models/m"), client.post("/v1/messages", json={})):
        assert response.headers["request-id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("failure", [{}, {"code": 5, "message": "No.", "reason": "RESOURCE_NOT_FOUND"}])
def test_a_replayed_answer_keeps_the_first_request_id(client: httpx.Client, failure: dict[str, object]) -> None:
    first = "req_01HZZZZZZZZZZZZZZZZZZZZZZZ"
    initial = {"x-hasp-request-id": first, "idempotent-replayed": "true"}
    response = client.post("/v1/api_keys", json={}, headers=scenario(initial=initial, **failure))
    assert response.headers["x-request-id"] == first
    assert response.headers["idempotent-replayed"] == "true"
    assert "x-hasp-request-id" not in response.headers
    if failure:
        assert native_error(response)["request_id"] == first


# Status


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_service_chooses_the_status_of_success(client: httpx.Client, status: int) -> None:
    response = client.post("/v1/api_keys", json={}, headers=scenario(initial={"x-http-status": str(status)}))
    assert response.status_code == status
    assert response.json()["success"] is True
    assert "x-http-status" not in response.headers


def test_a_204_has_no_body(client: httpx.Client) -> None:
    response = client.post("/v1/api_keys", json={}, headers=scenario(initial={"x-http-status": "204"}))
    assert (response.status_code, response.content) == (204, b"")
    assert client.get("/v1/api_keys").status_code == 200  # the connection is still in step


# Headers


def test_internal_headers_of_a_client_never_reach_a_service(client: httpx.Client) -> None:
    forged = {
        "x-hasp-principal": "root",
        "x-hasp-request-id": "req_1",
        "x-http-status": "299",
        "x-envoy-original-path": "/forged",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-forwarded-client-cert": "URI=spiffe://hasp/identity",
        "grpc-timeout": "1n",
        "grpc-trace-bin": "AAAA",
        "x-forwarded-for": "203.0.113.9",
        "forwarded": "for=203.0.113.9",
    }
    seen = seen_metadata(client, forged)
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-envoy-original-path"] == "/v1/messages/count_tokens"
    assert seen["x-request-id"].startswith("req_")
    assert not set(forged) & set(seen) - {"x-forwarded-for", "x-envoy-original-path"}


def test_credentials_and_sdk_headers_pass_untouched(client: httpx.Client) -> None:
    sent = {
        "authorization": "Bearer wa_live_0123",
        "x-api-key": "wa_live_4567",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "a,b",
        "idempotency-key": "k-1",
    }
    assert sent.items() <= seen_metadata(client, sent).items()


def test_a_service_is_told_the_edges_deadline(client: httpx.Client) -> None:
    unary = client.patch("/v1/agents/1", json={"deadline": True}).json()
    assert 0 < float(unary["data"]["agent"]["name"]) <= 15.5
    waits_for_model = client.post("/v1/messages/count_tokens", json={}).json()
    assert waits_for_model["deadline"] is None


def test_answers_are_not_to_be_stored(client: httpx.Client) -> None:
    for response in (client.get("/v1/api_keys"), client.get("/v1/nowhere")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["server"] == "hasp"


# Bodies


def test_json_is_compressed_when_asked_for(client: httpx.Client) -> None:
    response = client.get("/v1/api_keys?limit=50", headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.json()["data"]) == 50
    plain = client.get("/v1/api_keys?limit=50", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json()["data"] == response.json()["data"]


def test_an_error_is_readable_however_it_is_encoded(client: httpx.Client) -> None:
    failure = scenario(code=5, message="x" * 3000, reason="RESOURCE_NOT_FOUND")
    response = client.get("/v1/api_keys", headers=failure | {"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert native_error(response)["message"] == "x" * 3000


def test_a_download_keeps_its_type_and_name(client: httpx.Client) -> None:
    response = client.get("/v1/compliance/baa/acceptances/01M8/download")
    assert response.headers["content-type"] == "application/pdf"
    assert response.headers["content-disposition"] == 'attachment; filename="01M8.pdf"'
    assert response.content.startswith(b"%PDF-1.7")
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    "body",
    [
        *(
            b'{"name":',
            b"nonsense",
            b'{"name": 1',
            b'{"name": "a"',
            b'{"name": "a"} x',
            b'{"name": "a"}{}',
            b" ",
            b"\0",
        ),
        *(b"[]", b'"text"', b"null", b"1"),  # JSON, and no object
        *(b'{"name": "\xff"}', b'{"name": "\\ud800"}', b'\xef\xbb\xbf{"name": "a"}', b'{"name": "a\nb"}'),
        *(b'{"name": 1}', b'{"name": {}}', b'{"scopes": 1}', b'{"scopes": [1]}'),  # another type
        *(b"{'name': 'a'}", b'{name: "a"}', b'{"name": "a",}', b'{"scopes": ["a",]}', b'{"name" "a"}', b'{"a": .5}'),
        *(
            b'{"a": 01}',
            b'{"a": +1}',
            b'{"a": 1.}',
            b'{"a": 1e}',
            b'{"a": NaN}',
            b'{"a": tru}',
            b'{"a": "\\x"}',
            b'{"a": ]}',
        ),
        *(b"[" * 200 + b"]" * 200, b'{"a":' * 200 + b"1" + b"}" * 200),
        *(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", b'{"a":' * 33 + b"1" + b"}" * 33),
    ],
)
def test_a_body_that_does_not_parse_is_malformed_json(client: httpx.Client, body: bytes) -> None:
    response = client.post("/v1/api_keys", content=body, headers=JSON)
    assert response.status_code == 400
    error = native_error(response)
    assert (error["code"], error["type"]) == ("MALFORMED_JSON", "invalid_request")


@pytest.mark.parametrize(
    "value",
    [
        *("null", "true", "false", "0", "-0", "-1.5e+30", "1E5", "12.25", '""', '"\\u00e9\\"\\\\\\/\\b\\f\\n\\r\\t"'),
        *(
            "[]",
            "{}",
            "[[], {}, [1, [2]]]",
            '{"": {"a b": null}}',
            " [ 1 ,\t2\n,\r3 ] ",
            '"é😀\u2028"',
            "[" * 31 + "]" * 31,
        ),
    ],
)
def test_whatever_is_json_passes(client: httpx.Client, value: str) -> None:
    body = f' {{ "unknown" : {value} , "name":"a" }} \n'.encode()
    response = client.post("/v1/api_keys", content=body, headers=JSON)
    assert response.json()["data"]["name"] == "a"


def test_unknown_fields_of_a_body_are_ignored(client: httpx.Client) -> None:
    response = client.post("/v1/api_keys", json={"name": "a", "surprise": {"deep": [1]}})
    assert response.json()["data"]["name"] == "a"


def test_a_patch_reaches_the_service_with_its_nulls(client: httpx.Client) -> None:
    patch = {"description": None, "unknown": [1, {"a": 1.5}, "é"], "capabilities": [], "flag": False}
    response = client.patch("/v1/agents/01M8", json=patch)
    assert json.loads(response.json()["data"]["agent"]["description"]) == patch
    assert response.json()["data"]["agent"]["id"] == "01M8"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_deepest_body_that_the_edge_admits_is_one_that_a_service_can_read(
    client: httpx.Client, opening: str
) -> None:
    """A patch is a Struct, in which every level of JSON is two or three messages."""
    nested = '{"a":' + opening * 31 + "1" + ("]" if opening == "[" else "}") * 31 + "}"
    response = client.patch("/v1/agents/01M8", content=nested.encode(), headers=JSON)
    assert json.loads(response.json()["data"]["agent"]["description"]) == json.loads(nested)


@pytest.mark.parametrize("body", [b"[1]", b'"text"', b"{,}", b"null", b" null ", b"5"])
def test_a_patch_that_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    response = client.patch("/v1/agents/01M8", content=body, headers=JSON)
    assert response.status_code == 400
    assert native_error(response)["code"] == "MALFORMED_JSON"


def test_a_post_without_fields_may_have_no_body_at_all(client: httpx.Client) -> None:
    for body in (b"", b"{}", b'{"ignored": 1}'):
        assert client.post("/v1/agents/01M8/archive", content=body).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_media_type_is_415(client: httpx.Client, method: str, media_type: str) -> None:
    path = {"POST": "/v1/api_keys", "PUT": "/v1/usage/budget", "PATCH": "/v1/agents/1"}[method]
    response = client.request(method, path, content=b"{}", headers={"content-type": media_type})
    assert response.status_code == 415
    assert native_error(response)["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_json_with_a_charset_is_json(client: httpx.Client) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/api_keys", content=b"{}", headers=headers).status_code == 200


@pytest.mark.parametrize("media_type", ["application/grpc", "application/grpc+proto", "application/grpc-web"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/api_keys", "/hasp.identity.v1.ApiKeyService/ListApiKeys"])
def test_grpc_is_refused(client: httpx.Client, media_type: str, path: str) -> None:
    response = client.post(path, content=b"\0\0\0\0\0", headers={"content-type": media_type, "te": "trailers"})
    assert response.status_code == 415
    read, key = (anthropic_error, "hasp_code") if path == "/v1/messages" else (native_error, "code")
    assert read(response)[key] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/api_keys", DEFAULT_BODY_LIMIT), ("/v1/messages", MESSAGES_BODY_LIMIT)]
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_the_limit_is_413(client: httpx.Client, path: str, limit: int, is_chunked: bool) -> None:
    size = limit + 65536
    body = b'{"name": "' + b"x" * size
    content = (body[start : start + 65536] for start in range(0, size, 65536)) if is_chunked else body
    response = client.post(path, content=content, headers=JSON)
    assert response.status_code == 413
    if path == "/v1/messages":
        error = anthropic_error(response)
        assert (error["type"], error["hasp_code"]) == ("request_too_large", "REQUEST_TOO_LARGE")
        assert error["hasp_details"] == {"limit_bytes": limit}
    else:
        assert native_error(response)["details"] == {"limit_bytes": limit}


def test_a_chunked_body_that_parses_as_it_arrives_is_counted_all_the_same(client: httpx.Client) -> None:
    scopes = (b'{"scopes": ["a"', *(b',"xxxxx"' * 8192 for _ in range(48)), b"]}")
    response = client.post("/v1/api_keys", content=iter(scopes), headers=JSON)
    assert response.status_code == 413


def test_a_body_just_below_the_limit_passes(client: httpx.Client) -> None:
    size = MESSAGES_BODY_LIMIT - 1024
    assert client.post("/v1/messages", content=b"x" * size, headers=JSON).json()["bytes"] == size
    name = "x" * (DEFAULT_BODY_LIMIT - 1024)
    assert client.post("/v1/api_keys", json={"name": name}).json()["data"]["name"] == name


# Query


def test_an_unknown_query_parameter_is_named(client: httpx.Client) -> None:
    for path in ("/v1/api_keys?surprise=1", "/v1/api_keys?limit=1&surprise=", "/v1/models/m?surprise.deep=1"):
        response = client.get(path)
        assert response.status_code == 400
    error = native_error(client.get("/v1/api_keys?surprise=1"))
    assert (error["code"], error["param"]) == ("UNSUPPORTED_PARAMETER", "surprise")
    error = anthropic_error(client.post("/v1/messages?surprise=1", json={}))
    assert (error["hasp_code"], error["hasp_details"]) == ("UNSUPPORTED_PARAMETER", {"param": "surprise"})


@pytest.mark.parametrize("name", ["agent_id", "agentId", "agent%5fid", "agent%5Fid%26", "patch", "patch.name", "%26"])
def test_no_query_parameter_takes_the_place_of_the_path_or_the_body(client: httpx.Client, name: str) -> None:
    response = client.patch(f"/v1/agents/01M8?{name}=other", json={"name": "a"})
    assert response.status_code == 400
    assert native_error(response)["code"] == "UNSUPPORTED_PARAMETER"


def test_query_parameters_have_the_names_of_the_contract_alone(client: httpx.Client) -> None:
    assert client.get("/v1/agents?per_page=5&%70age=1&").status_code == 200
    error = native_error(client.get("/v1/agents?perPage=5"))
    assert (error["code"], error["param"]) == ("UNSUPPORTED_PARAMETER", "perPage")


@pytest.mark.parametrize(
    "value", ["%ff", "%80", "%c3%28", "%c0%af", "%ed%a0%80", "%f4%90%80%80", "%f0%80%80%80", "a%C3"]
)
def test_what_is_no_utf8_goes_to_no_service(client: httpx.Client, value: str) -> None:
    for target in (f"/v1/api_keys?cursor={value}", f"/v1/api_keys?{value}=1"):
        response = client.get(target)
        assert response.status_code == 400
        assert native_error(response)["code"] == "UNSUPPORTED_PARAMETER"
    for path in ("agents", "models"):
        response = client.get(f"/v1/{path}/{value}")
        assert response.status_code == 400
        error = native_error(response) if path == "agents" else anthropic_error(response)
        assert "VALIDATION_FAILED" in (error.get("code"), error.get("hasp_code"))


@pytest.mark.parametrize("text", ["é", "\u0800", "\uffff", "日本", "😀", "\U0010ffff", "a+b c%&="])
def test_whatever_is_utf8_reaches_the_service_unescaped(client: httpx.Client, text: str) -> None:
    assert client.get(f"/v1/models/{quote(text, safe='')}").json()["id"] == text


def test_a_query_parameter_that_does_not_parse_is_refused(client: httpx.Client) -> None:
    for query in ("limit=abc", "limit=1.5", "limit=1&limit=2", "limit=99999999999"):
        response = client.get(f"/v1/api_keys?{query}")
        assert response.status_code == 400
        assert native_error(response)["code"] == "UNSUPPORTED_PARAMETER"


def test_a_query_parameter_that_contradicts_the_body_is_named(client: httpx.Client) -> None:
    error = native_error(client.post("/v1/api_keys?name=x", json={"name": "y"}))
    assert (error["code"], error["param"]) == ("UNSUPPORTED_PARAMETER", "name")


def test_beta_is_ignored_on_messages_alone(client: httpx.Client) -> None:
    assert client.post("/v1/messages?beta=true", json={}).status_code == 200
    assert client.post("/v1/messages/count_tokens?beta=true", json={}).status_code == 200
    assert client.get("/v1/api_keys?beta=true").status_code == 400


def test_a_path_variable_is_unescaped_and_never_crosses_a_slash(client: httpx.Client) -> None:
    assert client.get("/v1/models/a%20b").json()["id"] == "a b"
    for path in ("/v1/models/a%2Fb", "/v1/models/..%2F..%2Fv1%2Fapi_keys"):
        assert client.get(path).status_code in (400, 404)


# What a client library would not send


def test_an_old_protocol_is_426(edge: Edge) -> None:
    response = spoken(edge.settings.port, "GET /v1/api_keys HTTP/1.0\r\n\r\n")
    assert response.status_code == 426
    assert native_error(response)["code"] == "UPGRADE_REQUIRED"


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/api_keys HTTP/1.1\r\n\r\n",  # no host
        "GET /v1/api_keys HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        "POST /v1/api_keys HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        "GET /v1/api_keys HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "POST /v1/api_keys HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /v1/api_keys#fragment HTTP/1.1\r\nhost: a\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
def test_broken_http_is_400_in_the_envelope(edge: Edge, text: str) -> None:
    response = spoken(edge.settings.port, text)
    assert response.status_code == 400
    assert native_error(response)["code"] == "VALIDATION_FAILED"


def test_headers_over_the_limit_are_431(edge: Edge, client: httpx.Client) -> None:
    response = client.get("/v1/api_keys", headers={"x-large": "x" * 40_000})
    assert response.status_code == 431
    assert native_error(response)["code"] == "HEADERS_TOO_LARGE"
    many = "".join(f"x-{number}: 1\r\n" for number in range(200))
    response = spoken(edge.settings.port, f"GET /v1/api_keys HTTP/1.1\r\nhost: a\r\n{many}\r\n")
    assert response.status_code == 431


def test_a_request_that_does_not_arrive_is_408(impatient: Edge) -> None:
    unfinished = "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{{"
    response = spoken(impatient.settings.port, unfinished.format("/v1/api_keys"))
    assert response.status_code == 408
    assert native_error(response)["code"] == "REQUEST_TIMEOUT"
    response = spoken(impatient.settings.port, unfinished.format("/v1/messages"))
    assert response.status_code == 408
    assert anthropic_error(response)["hasp_code"] == "REQUEST_TIMEOUT"


def test_headers_that_do_not_arrive_are_408(impatient: Edge) -> None:
    response = spoken(impatient.settings.port, "GET /v1/api_keys HTTP/1.1\r\nhost: a\r\n")
    assert response.status_code == 408
    assert native_error(response)["code"] == "REQUEST_TIMEOUT"
