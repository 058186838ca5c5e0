"""Agents on the inference surfaces: held to their granted tools, to their own records, and stopped with their credential."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import pytest

from tests.e2e import node_sdk, sse
from tests.e2e.agents import Held, delegation, equip, issue, register, tool
from tests.e2e.clinic import MODEL, Clinic, said, wait_until
from tests.e2e.envelope import check
from tests.e2e.people import Patient
from tests.e2e.test_node_sdk import ask, text_of
from tests.e2e.test_python_sdk import LOOKUP, turns
from tests.e2e.upstream import Upstream

GRANT = tool("lookup_patient")
OTHER: Any = LOOKUP | {"name": "delete_patient"}
SEARCH: Any = {"type": "web_search_20250305", "name": "web_search"}
LONG = "Tell me.\n[[sim:say=Once upon a time ]][[sim:repeat=60]][[sim:interval_ms=100]]"
SHORTER = "Tell me.\n[[sim:say=Once upon a time ]][[sim:repeat=25]][[sim:interval_ms=100]]"


@contextmanager
def sdk_of(held: Held) -> Iterator[anthropic.Anthropic]:
    client = held.sdk()
    try:
        yield client
    finally:
        client.close()


def create(held: Held, content: Any, **more: Any) -> anthropic.types.Message:
    with sdk_of(held) as sdk:
        return sdk.messages.create(model=MODEL, max_tokens=1000, messages=turns(content), **more)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_granted_tool_is_called_with_the_real_name(
    shared_clinic: Clinic, upstream: Upstream, patient: Patient, streaming: bool
):
    # What the grant says of arguments is for the authorization of the call itself.
    held = equip(shared_clinic, tool("lookup_patient", constraints={"ward": "a"}, rate_limit=1))
    question = f"Find patient {patient.name}, MRN {patient.mrn}."
    request: Any = {"tools": [LOOKUP], "tool_choice": {"type": "tool", "name": "lookup_patient"}}
    for _ in range(2):
        if streaming:
            with (
                sdk_of(held) as sdk,
                sdk.messages.stream(model=MODEL, max_tokens=1000, messages=turns(question), **request) as stream,
            ):
                message = stream.get_final_message()
        else:
            message = create(held, question, **request)
        (call,) = [block for block in message.content if block.type == "tool_use"]
        assert call.input == {"patient_name": patient.name, "mrn": patient.mrn}
    assert patient.found_in(upstream.text) == []
    assert held.token not in str([each.headers for each in upstream.received()])


def test_an_agent_without_tools_converses(shared_clinic: Clinic, patient: Patient):
    held = equip(shared_clinic, {"type": "hasp.data.read"})
    assert said(create(held, patient.sentence)) == f"You wrote: {patient.sentence}"
    with sdk_of(held) as sdk:
        assert MODEL in [model.id for model in sdk.models.list()]
        assert sdk.messages.count_tokens(model=MODEL, messages=turns("Hello")).input_tokens > 0


@pytest.mark.parametrize("how", ["create", "stream", "count_tokens"])
@pytest.mark.parametrize(
    ("grants", "tools", "denied"),
    [
        ([GRANT], [OTHER], "delete_patient"),
        ([GRANT], [LOOKUP, OTHER], "delete_patient"),
        ([{"type": "hasp.data.read"}], [LOOKUP], "lookup_patient"),
        ([GRANT], [LOOKUP | {"name": "Lookup_patient"}], "Lookup_patient"),
        # A server tool is what its type says, whatever it calls itself.
        ([GRANT, tool("web_search")], [SEARCH], "web_search_20250305"),
        ([GRANT], [SEARCH | {"name": "lookup_patient"}], "web_search_20250305"),
    ],
    ids=["another", "one of two", "none granted", "another case", "server tool", "disguised"],
)
def test_an_ungranted_tool_is_refused_before_anything_leaves(
    clinic: Clinic, upstream: Upstream, grants: list[Any], tools: list[Any], denied: str, how: str
):
    held = equip(clinic, *grants)
    request: Any = {"model": MODEL, "messages": turns("Hello"), "tools": tools}
    with sdk_of(held) as sdk:
        calls: dict[str, Callable[[], Any]] = {
            "create": lambda: sdk.messages.create(**request, max_tokens=100),
            "stream": lambda: sdk.messages.create(**request, max_tokens=100, stream=True),
            "count_tokens": lambda: sdk.messages.count_tokens(**request),
        }
        with pytest.raises(anthropic.PermissionDeniedError) as caught:
            calls[how]()
    body: Any = caught.value.body
    assert caught.value.status_code == 403
    assert (body["error"]["type"], body["error"]["hasp_code"]) == ("permission_error", "TOOL_NOT_IN_SCOPE")
    assert body["error"]["hasp_details"] == {"tool_id": denied, "param": f"tools[{len(tools) - 1}]"}
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert upstream.received() == []
    usage = clinic.get("/v1/usage")
    assert (usage["credits"]["used"], usage["credits"]["reserved"], usage["requests"]["total"]) == (0, 0, 0)
    wait_until(lambda: clinic.audit(action="agent.tool_denied") != [])
    (entry,) = clinic.audit(action="agent.tool_denied")
    assert (entry["entity_type"], entry["entity_id"]) == ("credential", held.id)
    assert entry["request_id"] == body["request_id"]
    assert entry["actor"] == actor_of(held)
    assert entry["metadata"]["listed"] is False
    assert denied not in str(entry)


def actor_of(held: Held) -> dict[str, Any]:
    return {
        "type": "agent",
        "id": held.agent_id,
        "credential_id": held.id,
        "delegation_path": held.shown["delegation_path"],
    }


def test_a_server_tool_is_granted_by_its_type(shared_clinic: Clinic, upstream: Upstream):
    held = equip(shared_clinic, tool("web_search_20250305"))
    create(held, "Hello", tools=[SEARCH])
    assert upstream.the_only().json["tools"] == [SEARCH]


def test_an_mcp_server_is_a_tool_too(shared_clinic: Clinic, upstream: Upstream):
    held = equip(shared_clinic, GRANT)
    body = {
        "model": MODEL,
        "max_tokens": 10,
        "messages": turns("Hello"),
        "mcp_servers": [{"type": "url", "name": "records", "url": "https://example.com"}],
    }
    error = check(held.send("POST", "/v1/messages", json=body), 403, "TOOL_NOT_IN_SCOPE")
    assert error["hasp_details"] == {"tool_id": "records", "param": "mcp_servers[0]"}
    assert upstream.received() == []


def test_an_api_key_offers_whatever_tools_it_likes(shared_clinic: Clinic):
    assert said(shared_clinic.ask("Hello", tools=[LOOKUP, OTHER])) == "You wrote: Hello"


def test_the_node_sdk_sees_the_same(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    held = equip(shared_clinic, GRANT)
    question = ask(f"Find patient {patient.name}, MRN {patient.mrn}.", tools=[LOOKUP])
    forced = {"tool_choice": {"type": "tool", "name": "lookup_patient"}}
    plain, stream, called, denied, counted = node_sdk.call(
        shared_clinic.suite.base_url,
        held.token,
        ("create", ask(patient.sentence)),
        ("stream", ask(patient.sentence)),
        ("stream", question | forced),
        ("create", question | {"tools": [LOOKUP, OTHER]}),
        ("count_tokens", {"model": MODEL, "messages": turns("Hello"), "tools": [OTHER]}),
    )
    assert text_of(plain.answer) == stream.answer["text"] == f"You wrote: {patient.sentence}"
    (call,) = [block for block in called.answer["message"]["content"] if block["type"] == "tool_use"]
    assert call["input"] == {"patient_name": patient.name, "mrn": patient.mrn}
    for refused in (denied, counted):
        assert (refused.error["class"], refused.error["status"]) == ("PermissionDeniedError", 403)
        assert refused.error["body"]["error"]["hasp_code"] == "TOOL_NOT_IN_SCOPE"
        assert refused.error["body"]["error"]["hasp_details"]["tool_id"] == "delete_patient"
    assert len(upstream.received()) == 3
    assert patient.found_in(upstream.text) == []
    held.revoke()
    (gone,) = node_sdk.call(shared_clinic.suite.base_url, held.token, ("create", ask("Hello")))
    assert (gone.error["class"], gone.error["status"]) == ("AuthenticationError", 401)


def test_the_native_surface_serves_agents(shared_clinic: Clinic, upstream: Upstream, patient: Patient):
    held = equip(shared_clinic)
    answer = held.send("POST", "/v1/ai/chat", json={"message": patient.sentence, "stream": False})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["message"]["content"] == f"You wrote: {patient.sentence}"
    streamed = held.send("POST", "/v1/ai/chat", json={"message": patient.sentence})
    names = [event.name for event in sse.read([streamed.content])]
    assert names[-1] == "run.completed"
    assert patient.found_in(upstream.text) == []


def test_records_and_conversations_are_those_of_the_very_credential(clinic: Clinic):
    agent_id = register(clinic)
    held, twin, other = issue(clinic, agent_id), issue(clinic, agent_id), equip(clinic)
    first = held.send("POST", "/v1/ai/chat", json={"message": "Good morning", "stream": False}).json()
    message = create(held, "Good evening").id
    of_the_key = clinic.message("Hello").json()["id"]
    for record in (first["meta"]["request_id"], message, message.removeprefix("msg_")):
        assert held.send("GET", f"/v1/ai/messages/{record}").status_code == 200
        assert clinic.http.get(f"/v1/ai/messages/{record}").status_code == 200
        for stranger in (twin, other):
            check(stranger.send("GET", f"/v1/ai/messages/{record}"), 404, "RESOURCE_NOT_FOUND")
    check(held.send("GET", f"/v1/ai/messages/{of_the_key}"), 404, "RESOURCE_NOT_FOUND")
    more = {"message": "And then?", "stream": False, "conversation_id": first["data"]["conversation_id"]}
    check(twin.send("POST", "/v1/ai/chat", json=more), 404, "RESOURCE_NOT_FOUND")
    assert held.send("POST", "/v1/ai/chat", json=more).status_code == 200


def test_an_idempotency_key_is_the_credentials_own(clinic: Clinic):
    agent_id = register(clinic)
    body = {"model": MODEL, "max_tokens": 10, "messages": turns("Hello")}
    first, second = (issue(clinic, agent_id) for _ in range(2))
    ids = []
    for held in (first, first, second):
        headers = {"authorization": f"Bearer {held.token}", "idempotency-key": "one"}
        answer = clinic.http.post("/v1/messages", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["id"])
    assert ids[0] == ids[1] != ids[2]


def test_the_bill_and_the_audit_log_name_the_agent_and_the_whole_path(clinic: Clinic):
    below = register(clinic)
    root = equip(clinic, delegation(below), GRANT)
    child = root.delegated(below, GRANT)
    for held in (root, child, child):
        create(held, "Hello")
    clinic.message("Hello")
    clinic.wait_until_settled(4)
    series = {item["agent"]: item for item in clinic.get("/v1/usage", group_by="agent")["series"]}
    assert {agent: item["requests"] for agent, item in series.items()} == {root.agent_id: 1, child.agent_id: 2, None: 1}
    assert all(item["credits"] > 0 for item in series.values())
    with sdk_of(child) as sdk:
        sdk.messages.count_tokens(model=MODEL, messages=turns("Hello"))
    wait_until(lambda: len(clinic.audit(action="inference.completed")) == 4)
    wait_until(lambda: len(clinic.audit(action="inference.tokens_counted")) == 1)
    entries = clinic.audit(action="inference.completed") + clinic.audit(action="inference.tokens_counted")
    actors = [entry["actor"] for entry in entries]
    assert actors.count(actor_of(root)) == 1
    assert actors.count(actor_of(child)) == 3
    assert {entry["user_id"] for entry in entries} == {clinic.user_id}
    assert len(clinic.audit(actor_id=child.agent_id)) == 3


# Streams and the end of their credential -----------------------------------------------------------------------------


@dataclass
class Streaming:
    """A stream that is read beside the test."""

    held: Held
    surface: str
    text: str
    events: list[sse.Event] = field(default_factory=list)
    request_id: str = ""
    ended_at: float = 0.0

    def start(self) -> "Streaming":
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        wait_until(lambda: len(self.events) > 5)
        return self

    def finish(self) -> list[str]:
        self._reader.join(30)
        assert not self._reader.is_alive()
        return [event.name for event in self.events]

    def _read(self) -> None:
        path, body = "/v1/ai/chat", {"message": self.text}
        if self.surface == "anthropic":
            path = "/v1/messages"
            body = {"model": MODEL, "max_tokens": 1000, "stream": True, "messages": turns(self.text)}
        with (
            self.held.clinic.http_with(self.held.token) as http,
            http.stream("POST", path, json=body) as response,
        ):
            self.request_id = response.headers["x-request-id"]
            for event in sse.read(response.iter_bytes()):
                self.events.append(event)
        self.ended_at = time.monotonic()


@pytest.mark.parametrize("surface", ["native", "anthropic"])
@pytest.mark.parametrize("how", ["revoked", "archived", "root revoked"])
def test_the_running_stream_of_a_killed_credential_ends_and_is_settled(
    clinic: Clinic, upstream: Upstream, surface: str, how: str
):
    agent_id = register(clinic)
    root = equip(clinic, delegation(agent_id), GRANT, revocation_policy="drain")
    if how == "root revoked":
        # A descendant is killed, whatever its own policy and the root's.
        held = root.delegated(agent_id, GRANT, revocation_policy="drain")
    else:
        held = issue(clinic, agent_id, GRANT, revocation_policy="kill" if how == "revoked" else "drain")
    bystander = Streaming(issue(clinic, register(clinic), GRANT), surface, SHORTER).start()
    running = Streaming(held, surface, LONG).start()
    if how == "archived":
        clinic.http.post(f"/v1/agents/{agent_id}/archive").raise_for_status()
    else:
        (root if how == "root revoked" else held).revoke()
    over = time.monotonic()
    assert not held.is_accepted()
    names = running.finish()
    assert running.ended_at - over < 1
    if surface == "native":
        assert names[-2:] == ["run.cancel_requested", "run.cancelled"]
    else:
        assert names[-1] == "error"
        assert "message_stop" not in names
    # The other stream was still under way and goes on to its end.
    assert bystander.finish()[-1] in ("run.completed", "message_stop")
    assert {each.outcome for each in upstream.received()} == {"abandoned", "answered"}
    assert clinic.record(running.request_id)["status"] == "cancelled"
    usage = clinic.wait_until_settled(2)
    assert usage["credits"]["used"] > 0


@pytest.mark.parametrize("surface", ["native", "anthropic"])
def test_the_running_stream_of_a_drained_credential_goes_on_to_its_end(clinic: Clinic, surface: str):
    held = equip(clinic, GRANT, revocation_policy="drain")
    running = Streaming(held, surface, SHORTER).start()
    held.revoke()
    assert not held.is_accepted()
    revoked = time.monotonic()
    body = {"model": MODEL, "max_tokens": 10, "messages": turns("Hello")}
    check(held.send("POST", "/v1/messages", json=body), 401, "INVALID_API_KEY")
    check(held.send("POST", "/v1/ai/chat", json={"message": "Hello"}), 401, "INVALID_API_KEY")
    names = running.finish()
    assert names[-1] == ("run.completed" if surface == "native" else "message_stop")
    assert running.ended_at > revoked
    assert clinic.record(running.request_id)["status"] == "completed"
    clinic.wait_until_settled(1)


def test_a_plain_answer_is_given_up_when_its_credential_is_killed(clinic: Clinic, upstream: Upstream):
    held = equip(clinic, GRANT, revocation_policy="kill")
    answers: list[Any] = []

    def asking() -> None:
        with clinic.http_with(held.token) as http:
            body = {"model": MODEL, "max_tokens": 10, "messages": turns("Hello\n[[sim:delay_ms=4000]]")}
            answers.append(http.post("/v1/messages", json=body))
            answers.append(time.monotonic())

    asker = threading.Thread(target=asking)
    asker.start()
    wait_until(lambda: upstream.received() != [])
    held.revoke()
    revoked = time.monotonic()
    asker.join(10)
    answer, ended = answers
    assert ended - revoked < 1
    check(answer, 401, "INVALID_API_KEY")
    clinic.wait_until_settled(1)
