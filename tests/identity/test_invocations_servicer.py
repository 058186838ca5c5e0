"""InvocationService over real gRPC: wire form, refusals, Idempotency-Key, streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hasp.identity.v1 import invocation_service_pb2 as pb
from hasp.identity.v1.invocation_service_pb2_grpc import InvocationServiceStub

from services.chassis.database import Database
from services.chassis.paging import nullable
from services.chassis.statuses import error_info_of
from services.chassis.ulids import new_ulid
from services.identity.usecases.credentials import IssuedCredential
from services.identity.usecases.invocations import Invocations
from tests.identity.agents import TOOL, issue, make_agent, principal_of
from tests.identity.conftest import Identity, Person
from tests.identity.serving import bearing, channel_of, refused, serving

ASK = {"type": "external.tool.invoke", "tool_id": "calendar.find_slots"}


def request_of(action: Mapping[str, Any]) -> pb.AuthorizeInvocationRequest:
    struct = Struct()
    struct.update(cast("Any", action))
    return pb.AuthorizeInvocationRequest(action=struct)


@pytest.fixture
async def address(identity: Identity, tls_dir: Path) -> AsyncIterator[str]:
    async with serving(identity, tls_dir) as address:
        running = asyncio.create_task(identity.invocations.run())
        yield address
        running.cancel()
        await asyncio.wait([running])


@pytest.fixture
async def stub(address: str, tls_dir: Path) -> AsyncIterator[InvocationServiceStub]:
    async with channel_of("edge", address, tls_dir) as channel:
        yield InvocationServiceStub(channel)


async def issued_to_new_agent(
    identity: Identity, alice: Person, *grants: Mapping[str, Any], **more: Any
) -> IssuedCredential:
    return await issue(identity, alice.principal, await make_agent(identity, alice), *grants, **more)


async def details_of(call: Any) -> dict[str, Any]:
    """Of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    info = error_info_of(failure.value)
    assert info is not None
    return orjson.loads(info.metadata.get("details", "{}"))


async def header_of(call: Any, name: str) -> str | None:
    return dict(await call.initial_metadata()).get(name)


async def test_the_answer_has_its_shape_from_authorization_to_completion(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    grant = {"type": "hasp.data.read", "app_id": "ehr", "filters": {"owner": "{{delegating_user.id}}"}}
    token = (await issued_to_new_agent(identity, alice, grant)).token
    call = stub.AuthorizeInvocation(request_of({"type": "hasp.data.read", "app_id": "ehr"}), **bearing(token))
    answer = await call
    assert await header_of(call, "x-http-status") == "201"
    made = answer.data.invocation
    assert answer.success
    assert answer.meta.request_id.startswith("req_")
    assert made.status == "authorized"
    assert MessageToDict(made.matched_grant) == grant
    assert MessageToDict(made.filters) == {"owner": alice.principal.user_id}
    assert made.expires_at == "2026-05-11T12:15:00+00:00"
    assert made.outcome == nullable(None)
    read = stub.GetInvocation(pb.GetInvocationRequest(invocation_id=made.id), **bearing(token))
    assert (await read).data.invocation == made
    assert await header_of(read, "x-http-status") is None
    ended = await stub.CompleteInvocation(
        pb.CompleteInvocationRequest(invocation_id=made.id, outcome="succeeded"), **bearing(token)
    )
    assert (ended.data.invocation.status, ended.data.invocation.outcome) == ("completed", nullable("succeeded"))


async def test_filters_are_null_where_the_grant_has_none(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    token = (await issued_to_new_agent(identity, alice)).token
    answer = await stub.AuthorizeInvocation(request_of(ASK), **bearing(token))
    assert answer.data.invocation.filters == nullable(None)


@pytest.mark.parametrize(
    ("action", "param"),
    [
        ({}, "action.type"),
        ({"type": 7}, "action.type"),
        ({"type": "hasp.data.erase"}, "action.type"),
        ({"type": "external.tool.invoke"}, "action.tool_id"),
        (ASK | {"arguments": ["a"]}, "action.arguments"),
        (ASK | {"argument": {}}, "action.argument"),
        ({"type": "hasp.data.read", "entities": ["a", 1]}, "action.entities[1]"),
        ({"type": "human.escalate", "to_role": ""}, "action.to_role"),
        (ASK | {"arguments": {"a": {str(number): 1 for number in range(1001)}}}, "action.arguments"),
    ],
)
async def test_what_is_no_action_is_refused_and_named(
    identity: Identity, alice: Person, stub: InvocationServiceStub, action: dict[str, Any], param: str
) -> None:
    token = (await issued_to_new_agent(identity, alice)).token
    call = stub.AuthorizeInvocation(request_of(action), **bearing(token))
    assert await refused(call) == ("422", "VALIDATION_FAILED", param)


async def test_every_other_refusal_has_its_code_and_details(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    slots = TOOL | {"rate_limit": 2}
    issued = await issued_to_new_agent(identity, alice, slots, max_concurrent_invocations=1)
    token = issued.token

    def ask(action: Mapping[str, Any] = ASK, token: str = token) -> Any:
        return stub.AuthorizeInvocation(request_of(action), **bearing(token))

    def complete(id_: str, outcome: str = "succeeded") -> Any:
        request = pb.CompleteInvocationRequest(invocation_id=id_, outcome=outcome)
        return stub.CompleteInvocation(request, **bearing(token))

    made = (await ask()).data.invocation
    assert await refused(ask(ASK | {"tool_id": "other"})) == ("403", "TOOL_NOT_IN_SCOPE", None)
    assert await details_of(ask(ASK | {"tool_id": "other"})) == {"tool_id": "other"}
    assert await details_of(ask({"type": "hasp.data.write"})) == {"type": "hasp.data.write"}
    assert await refused(ask()) == ("429", "CONCURRENCY_LIMIT_REACHED", None)
    assert (await details_of(ask()))["max_concurrent_invocations"] == 1
    await complete(made.id)
    await complete((await ask()).data.invocation.id)
    assert await refused(ask()) == ("429", "RATE_LIMITED", None)
    assert await details_of(ask()) == {"retry_after_seconds": 3660}
    assert await refused(complete(made.id, "failed")) == ("409", "CONCURRENT_MODIFICATION", None)
    assert await refused(complete(made.id, "maybe")) == ("422", "VALIDATION_FAILED", "outcome")
    assert await refused(complete(new_ulid(identity.clock))) == ("404", "RESOURCE_NOT_FOUND", None)
    unknown = stub.GetInvocation(pb.GetInvocationRequest(invocation_id="x"), **bearing(token))
    assert await refused(unknown) == ("404", "RESOURCE_NOT_FOUND", None)
    assert await refused(ask(token=alice.token)) == ("403", "AGENT_NOT_PERMITTED", None)
    assert await refused(ask(token="hasp_agent_" + "a" * 43)) == ("401", "INVALID_API_KEY", None)
    empty = stub.AuthorizeInvocation(pb.AuthorizeInvocationRequest(), **bearing(token))
    assert await refused(empty) == ("422", "VALIDATION_FAILED", "action")
    identity.clock.advance(timedelta(hours=8))
    assert await refused(ask()) == ("401", "INVALID_API_KEY", None)


async def test_a_repeated_authorization_takes_one_slot(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    token = (await issued_to_new_agent(identity, alice, max_concurrent_invocations=1)).token
    first = await stub.AuthorizeInvocation(request_of(ASK), **bearing(token, idempotency_key="one"))
    again = stub.AuthorizeInvocation(request_of(ASK), **bearing(token, idempotency_key="one"))
    assert await again == first
    assert await header_of(again, "idempotent-replayed") == "true"
    assert await header_of(again, "x-http-status") == "201"
    assert len(await identity.audit(alice.principal.org_id, "agent.tool_authorized")) == 1
    other = stub.AuthorizeInvocation(request_of(ASK | {"arguments": {"a": 1}}), **bearing(token, idempotency_key="one"))
    assert await refused(other) == ("422", "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")

    done = pb.CompleteInvocationRequest(invocation_id=first.data.invocation.id, outcome="failed")
    completed = await stub.CompleteInvocation(done, **bearing(token, idempotency_key="two"))
    repeated = stub.CompleteInvocation(done, **bearing(token, idempotency_key="two"))
    assert await repeated == completed
    assert await header_of(repeated, "idempotent-replayed") == "true"
    assert len(await identity.audit(alice.principal.org_id, "agent.invocation_completed")) == 1
    # The first answer, though the invocation has ended since.
    assert await stub.AuthorizeInvocation(request_of(ASK), **bearing(token, idempotency_key="one")) == first


async def test_many_repeats_at_once_take_one_slot(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    token = (await issued_to_new_agent(identity, alice)).token
    calls = [stub.AuthorizeInvocation(request_of(ASK), **bearing(token, idempotency_key="one")) for _ in range(20)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    answers = [each for each in results if not isinstance(each, BaseException)]
    assert answers
    assert len({answer.data.invocation.id for answer in answers}) == 1
    for failure in results:
        if isinstance(failure, grpc.aio.AioRpcError):
            info = error_info_of(failure)
            assert info is not None
            assert info.reason == "REQUEST_IN_PROGRESS"
    assert len(await identity.audit(alice.principal.org_id, "agent.tool_authorized")) == 1


async def test_a_refusal_that_may_pass_leaves_the_key_free_and_a_final_one_is_kept(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    token = (await issued_to_new_agent(identity, alice, max_concurrent_invocations=1)).token
    made = (await stub.AuthorizeInvocation(request_of(ASK), **bearing(token))).data.invocation

    def ask(action: Mapping[str, Any], key: str) -> Any:
        return stub.AuthorizeInvocation(request_of(action), **bearing(token, idempotency_key=key))

    for _ in range(2):
        assert await refused(ask(ASK, "busy")) == ("429", "CONCURRENCY_LIMIT_REACHED", None)
        assert await refused(ask(ASK | {"tool_id": "other"}, "never")) == ("403", "TOOL_NOT_IN_SCOPE", None)
    # Denied twice for the slot, once for the tool: the second was the first one's answer.
    assert len(await identity.audit(alice.principal.org_id, "agent.tool_denied")) == 3
    request = pb.CompleteInvocationRequest(invocation_id=made.id, outcome="succeeded")
    await stub.CompleteInvocation(request, **bearing(token))
    assert (await ask(ASK, "busy")).data.invocation.status == "authorized"


async def test_a_drained_credential_completes_what_runs_and_nothing_else(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    issued = await issued_to_new_agent(identity, alice, revocation_policy="drain")
    made = (await stub.AuthorizeInvocation(request_of(ASK), **bearing(issued.token))).data.invocation
    await identity.credentials.revoke(alice.principal, issued.credential.agent_id, issued.credential.id, None)
    unauthorized = ("401", "INVALID_API_KEY", None)
    assert await refused(stub.AuthorizeInvocation(request_of(ASK), **bearing(issued.token))) == unauthorized
    request = pb.CompleteInvocationRequest(invocation_id=made.id, outcome="succeeded")
    ended = await stub.CompleteInvocation(request, **bearing(issued.token))
    assert ended.data.invocation.status == "completed"
    (event,) = await identity.audit(alice.principal.org_id, "agent.invocation_completed")
    assert event.credential_id == issued.credential.id
    assert await refused(stub.CompleteInvocation(request, **bearing(issued.token))) == unauthorized


async def test_a_killed_credential_completes_nothing(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    issued = await issued_to_new_agent(identity, alice, revocation_policy="kill")
    made = (await stub.AuthorizeInvocation(request_of(ASK), **bearing(issued.token))).data.invocation
    await identity.credentials.revoke(alice.principal, issued.credential.agent_id, issued.credential.id, None)
    request = pb.CompleteInvocationRequest(invocation_id=made.id, outcome="succeeded")
    assert await refused(stub.CompleteInvocation(request, **bearing(issued.token))) == ("401", "INVALID_API_KEY", None)


class Watched:
    """One stream, read in the background."""

    def __init__(self, stub: InvocationServiceStub, token: str, invocation_id: str) -> None:
        request = pb.WatchInvocationRequest(invocation_id=invocation_id)
        self.call = stub.WatchInvocation(request, **bearing(token))
        self.seen: list[str] = []
        self.at: list[float] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> grpc.StatusCode:
        try:
            async for answer in self.call:
                self.seen.append(answer.invocation.status)
                self.at.append(time.monotonic())
        except grpc.aio.AioRpcError as failure:
            return failure.code()
        return grpc.StatusCode.OK

    async def first(self) -> None:
        await until(lambda: bool(self.seen))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - of what is seen from outside there is no event
            await asyncio.sleep(0.01)


async def authorized(stub: InvocationServiceStub, token: str) -> str:
    return (await stub.AuthorizeInvocation(request_of(ASK), **bearing(token))).data.invocation.id


async def test_a_completion_on_another_replica_ends_the_stream(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    issued = await issued_to_new_agent(identity, alice)
    id_ = await authorized(stub, issued.token)
    watched = Watched(stub, issued.token, id_)
    await watched.first()
    db = Database(identity.db._url)
    await db.open()
    principal = await principal_of(identity, issued)
    began = time.monotonic()
    await Invocations(db, identity.clock).complete(principal, id_, "succeeded")
    assert await watched.reading is grpc.StatusCode.OK
    assert watched.seen == ["authorized", "completed"]
    assert watched.at[-1] - began < 1
    await db.close()


async def test_a_kill_is_seen_within_a_second(identity: Identity, alice: Person, stub: InvocationServiceStub) -> None:
    issued = await issued_to_new_agent(identity, alice, revocation_policy="kill")
    watched = [Watched(stub, issued.token, await authorized(stub, issued.token)) for _ in range(5)]
    for each in watched:
        await each.first()
    began = time.monotonic()
    await identity.credentials.revoke(alice.principal, issued.credential.agent_id, issued.credential.id, None)
    for each in watched:
        assert await each.reading is grpc.StatusCode.OK
        assert each.seen == ["authorized", "cancelled"]
        assert each.at[-1] - began < 1


async def test_an_expiry_ends_the_stream_before_any_sweep(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    issued = await issued_to_new_agent(identity, alice)
    watched = Watched(stub, issued.token, await authorized(stub, issued.token))
    await watched.first()
    identity.clock.advance(timedelta(minutes=15))
    assert await watched.reading is grpc.StatusCode.OK
    assert watched.seen == ["authorized", "expired"]


async def test_what_has_ended_is_told_once(identity: Identity, alice: Person, stub: InvocationServiceStub) -> None:
    token = (await issued_to_new_agent(identity, alice)).token
    id_ = await authorized(stub, token)
    await stub.CompleteInvocation(pb.CompleteInvocationRequest(invocation_id=id_, outcome="failed"), **bearing(token))
    watched = Watched(stub, token, id_)
    assert await watched.reading is grpc.StatusCode.OK
    assert watched.seen == ["completed"]


async def test_a_strangers_invocation_cannot_be_watched(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    token = (await issued_to_new_agent(identity, alice)).token
    stranger = (await issued_to_new_agent(identity, alice)).token
    watched = Watched(stub, stranger, await authorized(stub, token))
    assert await watched.reading is grpc.StatusCode.NOT_FOUND


async def test_nothing_is_left_of_a_stream_whose_client_has_gone(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    token = (await issued_to_new_agent(identity, alice)).token
    id_ = await authorized(stub, token)
    watching = identity.invocations._watching
    watched = [Watched(stub, token, id_) for _ in range(10)]
    for each in watched:
        await each.first()
    assert watching.watched == 1
    tasks = len(asyncio.all_tasks())
    for each in watched:
        each.call.cancel()
    await until(lambda: not watching.watched)
    await asyncio.gather(*(each.reading for each in watched), return_exceptions=True)
    # Ten readers and ten handlers.
    await until(lambda: len(asyncio.all_tasks()) <= tasks - 20)


async def test_a_stopping_process_asks_its_watchers_to_come_again(
    identity: Identity, alice: Person, stub: InvocationServiceStub
) -> None:
    token = (await issued_to_new_agent(identity, alice)).token
    watched = Watched(stub, token, await authorized(stub, token))
    await watched.first()
    identity.invocations.end_streams()
    assert await watched.reading is grpc.StatusCode.UNAVAILABLE
    assert identity.invocations._watching.watched == 0
