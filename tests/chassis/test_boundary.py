"""The boundary in front of a real gRPC server: who gets in, what an error says, and what it never says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from hasp.identity.v1 import api_key_service_pb2 as pb
from hasp.identity.v1 import api_key_service_pb2_grpc as rpc
from hasp.identity.v1 import authentication_service_pb2 as internal_pb
from hasp.identity.v1 import authentication_service_pb2_grpc as internal_rpc
from hasp.identity.v1 import invocation_service_pb2 as stream_pb
from hasp.identity.v1 import invocation_service_pb2_grpc as stream_rpc

from services.chassis.access import Principal, answer_header, answer_with, call, caller, meta
from services.chassis.channels import connect
from services.chassis.errors import ServiceUnavailable, ValidationFailed
from services.chassis.statuses import error_info_of
from services.chassis.tls import Tls
from services.chassis.ulids import is_ulid
from tests.fakes import FrozenClock, Tokens, principal_of_new_org, serve

pytestmark = pytest.mark.enable_socket

SECRET = "Jane Doe 536-22-1187"


class Keys(rpc.ApiKeyServiceServicer):
    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Any) -> pb.ListApiKeysResponse:
        if request.cursor == "explode":
            raise RuntimeError(SECRET)
        if request.cursor == "refuse":
            raise ValidationFailed("The cursor is wrong.", param="cursor", details={"limit": 3})
        if request.cursor == "down":
            raise ServiceUnavailable
        return pb.ListApiKeysResponse(
            success=True,
            data=[pb.ApiKey(id=caller().id, name=call().ip_address or "")],
            meta={"request_id": meta().request_id},
        )

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Any) -> pb.RevokeApiKeyResponse:
        answer_with(http_status=204)
        answer_header("x-ratelimit-limit-requests", "60")
        return pb.RevokeApiKeyResponse(success=True, meta=meta())


class Internal(internal_rpc.AuthenticationServiceServicer):
    async def RecordUse(self, request: internal_pb.RecordUseRequest, context: Any) -> internal_pb.RecordUseResponse:
        return internal_pb.RecordUseResponse()


class Stream(stream_rpc.InvocationServiceServicer):
    async def WatchInvocation(
        self, request: stream_pb.WatchInvocationRequest, context: Any
    ) -> AsyncIterator[stream_pb.WatchInvocationResponse]:
        yield stream_pb.WatchInvocationResponse(invocation={"id": caller().id})
        if request.invocation_id == "explode":
            raise RuntimeError(SECRET)
        yield stream_pb.WatchInvocationResponse(invocation={"id": "second"})


def _partial(servicer: Any) -> Any:
    """An instance of a servicer that leaves methods to the generated default, which the type checker forbids elsewhere."""
    return servicer()


@pytest.fixture
def alice() -> Principal:
    return principal_of_new_org(FrozenClock())


@pytest.fixture
async def channel(alice: Principal, tls_dir: Path) -> AsyncIterator[grpc.aio.Channel]:
    reader = Principal(**{**_fields(alice), "scopes": frozenset({"control:read"})})
    agent = Principal(**{**_fields(alice), "kind": "agent", "scopes": frozenset()})
    methods = [
        pb.DESCRIPTOR.services_by_name["ApiKeyService"],
        internal_pb.DESCRIPTOR.services_by_name["AuthenticationService"],
        stream_pb.DESCRIPTOR.services_by_name["InvocationService"],
    ]
    # No method here is called with an Idempotency-Key; the boundary still asks for somewhere to keep answers.
    answers: Any = object()
    async with serve(
        (rpc.add_ApiKeyServiceServicer_to_server, _partial(Keys)),
        (internal_rpc.add_AuthenticationServiceServicer_to_server, _partial(Internal)),
        (stream_rpc.add_InvocationServiceServicer_to_server, _partial(Stream)),
        services=methods,
        authenticator=Tokens({"alice": alice, "reader": reader, "agent": agent}),
        clock=FrozenClock(),
        tls_dir=tls_dir,
        workload="identity",
        answers=answers,
    ) as opened:
        yield opened


def _fields(principal: Principal) -> dict[str, Any]:
    return {name: getattr(principal, name) for name in Principal.__slots__}


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def refusal(coroutine: Any) -> tuple[grpc.aio.AioRpcError, error_details_pb2.ErrorInfo]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine
    info = error_info_of(caught.value)
    assert info is not None
    return caught.value, info


async def test_a_key_with_the_scope_gets_in_by_either_header(channel: grpc.aio.Channel, alice: Principal) -> None:
    stub = rpc.ApiKeyServiceStub(channel)
    for metadata in (bearer("alice"), (("x-api-key", "alice"),)):
        answer = await stub.ListApiKeys(pb.ListApiKeysRequest(), timeout=5, metadata=metadata)
        assert answer.data[0].id == alice.id
        assert answer.meta.request_id.startswith("req_")
        assert is_ulid(answer.meta.request_id[4:])


async def test_the_request_id_of_the_edge_is_kept(channel: grpc.aio.Channel) -> None:
    given = "req_01JQAGENT0000000000000000A"
    answer = await rpc.ApiKeyServiceStub(channel).ListApiKeys(
        pb.ListApiKeysRequest(), timeout=5, metadata=(*bearer("alice"), ("x-request-id", given))
    )
    assert answer.meta.request_id == given


async def test_the_address_is_the_one_the_edge_saw(channel: grpc.aio.Channel) -> None:
    answer = await rpc.ApiKeyServiceStub(channel).ListApiKeys(
        pb.ListApiKeysRequest(), timeout=5, metadata=(*bearer("alice"), ("x-forwarded-for", "6.6.6.6, 203.0.113.9"))
    )
    assert answer.data[0].name == "203.0.113.9"


@pytest.mark.parametrize("metadata", [(), bearer("unknown"), (("authorization", "Basic alice"),)])
async def test_without_a_known_token_the_answer_is_401(channel: grpc.aio.Channel, metadata: Any) -> None:
    failure, info = await refusal(
        rpc.ApiKeyServiceStub(channel).ListApiKeys(pb.ListApiKeysRequest(), timeout=5, metadata=metadata)
    )
    assert failure.code() is grpc.StatusCode.UNAUTHENTICATED
    assert info.reason == "INVALID_API_KEY"
    assert info.metadata["http_status"] == "401"


async def test_a_missing_scope_is_named(channel: grpc.aio.Channel) -> None:
    _, info = await refusal(
        rpc.ApiKeyServiceStub(channel).RevokeApiKey(pb.RevokeApiKeyRequest(), timeout=5, metadata=bearer("reader"))
    )
    assert info.reason == "MISSING_SCOPE"
    assert info.metadata["details"] == '{"required_scope":"control:write"}'


async def test_agents_are_refused_where_the_contract_does_not_admit_them(channel: grpc.aio.Channel) -> None:
    _, info = await refusal(
        rpc.ApiKeyServiceStub(channel).ListApiKeys(pb.ListApiKeysRequest(), timeout=5, metadata=bearer("agent"))
    )
    assert info.reason == "AGENT_NOT_PERMITTED"


async def test_keys_are_refused_where_only_agents_are_admitted(channel: grpc.aio.Channel) -> None:
    stub = stream_rpc.InvocationServiceStub(channel)
    _, info = await refusal(stub.GetInvocation(stream_pb.GetInvocationRequest(), timeout=5, metadata=bearer("alice")))
    assert info.reason == "AGENT_NOT_PERMITTED"


async def test_a_broken_limit_names_its_field(channel: grpc.aio.Channel) -> None:
    request = pb.CreateApiKeyRequest(name="x", scopes=["ai:chat", "no:such"])
    _, info = await refusal(rpc.ApiKeyServiceStub(channel).CreateApiKey(request, timeout=5, metadata=bearer("alice")))
    assert (info.reason, info.metadata["http_status"], info.metadata["param"]) == (
        "VALIDATION_FAILED",
        "422",
        "scopes[1]",
    )


async def test_scope_is_checked_before_limits(channel: grpc.aio.Channel) -> None:
    _, info = await refusal(
        rpc.ApiKeyServiceStub(channel).CreateApiKey(pb.CreateApiKeyRequest(), timeout=5, metadata=bearer("reader"))
    )
    assert info.reason == "MISSING_SCOPE"


async def test_a_refusal_carries_param_and_details(channel: grpc.aio.Channel) -> None:
    failure, info = await refusal(
        rpc.ApiKeyServiceStub(channel).ListApiKeys(
            pb.ListApiKeysRequest(cursor="refuse"), timeout=5, metadata=bearer("alice")
        )
    )
    assert failure.details() == "The cursor is wrong."
    assert (info.metadata["param"], info.metadata["details"]) == ("cursor", '{"limit":3}')


async def test_an_unhandled_failure_says_nothing_to_caller_or_log(
    channel: grpc.aio.Channel, capfd: pytest.CaptureFixture[str]
) -> None:
    failure, info = await refusal(
        rpc.ApiKeyServiceStub(channel).ListApiKeys(
            pb.ListApiKeysRequest(cursor="explode"), timeout=5, metadata=bearer("alice")
        )
    )
    assert (failure.code(), failure.details(), info.reason) == (
        grpc.StatusCode.INTERNAL,
        "internal error",
        "INTERNAL_ERROR",
    )
    assert SECRET not in capfd.readouterr().err


async def test_unavailable_may_be_tried_again(channel: grpc.aio.Channel) -> None:
    _, info = await refusal(
        rpc.ApiKeyServiceStub(channel).ListApiKeys(
            pb.ListApiKeysRequest(cursor="down"), timeout=5, metadata=bearer("alice")
        )
    )
    assert (info.reason, info.metadata["http_status"], info.metadata["retryable"]) == (
        "SERVICE_UNAVAILABLE",
        "503",
        "true",
    )


async def test_what_is_not_built_says_so_after_the_scope_check(channel: grpc.aio.Channel) -> None:
    stub = rpc.ApiKeyServiceStub(channel)
    request = pb.CreateApiKeyRequest(name="x", scopes=["ai:chat"])
    _, info = await refusal(stub.CreateApiKey(request, timeout=5, metadata=bearer("alice")))
    assert (info.reason, info.metadata["http_status"]) == ("NOT_IMPLEMENTED", "501")


async def test_status_and_headers_of_a_success_travel_as_initial_metadata(channel: grpc.aio.Channel) -> None:
    running: Any = rpc.ApiKeyServiceStub(channel).RevokeApiKey(
        pb.RevokeApiKeyRequest(key_id="x"), timeout=5, metadata=bearer("alice")
    )
    await running
    sent = dict(await running.initial_metadata())
    assert (sent["x-http-status"], sent["x-ratelimit-limit-requests"]) == ("204", "60")


async def test_an_internal_method_admits_the_named_workloads_only(
    channel: grpc.aio.Channel, tls_dir: Path, alice: Principal
) -> None:
    stub = internal_rpc.AuthenticationServiceStub(channel)
    failure, _ = await refusal(stub.RecordUse(internal_pb.RecordUseRequest(), timeout=5, metadata=bearer("alice")))
    assert failure.code() is grpc.StatusCode.PERMISSION_DENIED
    async with serve(
        (internal_rpc.add_AuthenticationServiceServicer_to_server, _partial(Internal)),
        services=[internal_pb.DESCRIPTOR.services_by_name["AuthenticationService"]],
        authenticator=Tokens(),
        clock=FrozenClock(),
        tls_dir=tls_dir,
        workload="identity",
        caller="billing",
    ) as opened:
        await internal_rpc.AuthenticationServiceStub(opened).RecordUse(internal_pb.RecordUseRequest(), timeout=5)


async def test_a_workload_cannot_answer_for_another(tls_dir: Path) -> None:
    async with serve(
        (internal_rpc.add_AuthenticationServiceServicer_to_server, _partial(Internal)),
        services=[internal_pb.DESCRIPTOR.services_by_name["AuthenticationService"]],
        authenticator=Tokens(),
        clock=FrozenClock(),
        tls_dir=tls_dir,
        workload="billing",
    ) as reachable:
        target = _partial(lambda: reachable)._channel.target.decode()  # the address only; the certificate is billing's
        async with connect(target.removeprefix("ipv4:"), "identity", Tls.from_dir(tls_dir, "inference")) as impostor:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await internal_rpc.AuthenticationServiceStub(impostor).RecordUse(
                    internal_pb.RecordUseRequest(), timeout=2
                )
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_call_without_a_deadline_is_refused_at_home(channel: grpc.aio.Channel) -> None:
    with pytest.raises(ValueError, match="without a deadline"):
        await rpc.ApiKeyServiceStub(channel).ListApiKeys(pb.ListApiKeysRequest(), metadata=bearer("alice"))


async def test_a_stream_passes_each_message_and_masks_a_late_failure(channel: grpc.aio.Channel) -> None:
    stub = stream_rpc.InvocationServiceStub(channel)
    running: Any = stub.WatchInvocation(
        stream_pb.WatchInvocationRequest(invocation_id="explode"), timeout=5, metadata=bearer("agent")
    )
    assert (await running.read()).invocation.id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.read()
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")
