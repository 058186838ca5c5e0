"""Identity over real gRPC: boundary, mTLS, wire form."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from hasp.identity.v1 import api_key_service_pb2 as keys_pb
from hasp.identity.v1 import authentication_service_pb2 as authentication_pb
from hasp.identity.v1 import organization_service_pb2 as organizations_pb
from hasp.identity.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from hasp.identity.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from hasp.identity.v1.organization_service_pb2_grpc import OrganizationServiceStub

from services.chassis.authentication import RemoteAuthenticator
from services.chassis.errors import InvalidApiKey
from services.chassis.paging import nullable
from services.chassis.watching import Watch
from services.identity.domain.tokens import Format, Token
from tests.identity.conftest import Identity, Person
from tests.identity.serving import TIMEOUT, bearing, channel_of, refused


async def test_a_key_is_created_listed_and_revoked(edge: grpc.aio.Channel, alice: Person) -> None:
    keys = ApiKeyServiceStub(edge)
    request = keys_pb.CreateApiKeyRequest(name="ci", scopes=["control:read"], format="hasp_key_live")
    call = keys.CreateApiKey(request, **bearing(alice.token))
    created = await call
    assert ("x-http-status", "201") in [(key, value) for key, value in await call.initial_metadata()]
    assert created.success
    assert created.data.plaintext.startswith("hasp_key_live_")
    assert (created.data.prefix, created.data.last_four) == ("hasp_key_live_", created.data.plaintext[-4:])
    assert created.data.created_at.endswith("+00:00")
    assert created.data.last_used_at == created.data.revoked_at == created.data.expires_at == nullable(None)
    assert created.meta.request_id.startswith("req_")

    listed = await keys.ListApiKeys(keys_pb.ListApiKeysRequest(), **bearing(created.data.plaintext))
    assert {key.id for key in listed.data} == {created.data.id, alice.principal.id}
    assert created.data.plaintext not in str(listed)
    assert (listed.meta.has_more, listed.meta.next_cursor) == (False, nullable(None))

    ended = await keys.RevokeApiKey(keys_pb.RevokeApiKeyRequest(key_id=created.data.id), **bearing(alice.token))
    assert (ended.data.id, ended.data.revoked_at[-6:]) == (created.data.id, "+00:00")
    again = keys.RevokeApiKey(keys_pb.RevokeApiKeyRequest(key_id=created.data.id), **bearing(alice.token))
    assert await refused(again) == ("404", "RESOURCE_NOT_FOUND", None)
    used = keys.ListApiKeys(keys_pb.ListApiKeysRequest(), **bearing(created.data.plaintext))
    assert await refused(used) == ("401", "INVALID_API_KEY", None)


async def test_a_list_goes_on_where_its_cursor_says(edge: grpc.aio.Channel, identity: Identity, alice: Person) -> None:
    keys = ApiKeyServiceStub(edge)
    for _ in range(3):
        identity.clock.advance(timedelta(seconds=1))
        await keys.CreateApiKey(keys_pb.CreateApiKeyRequest(name="k", scopes=["control:read"]), **bearing(alice.token))
    seen: list[str] = []
    cursor = ""
    pages = 0
    while pages == 0 or cursor:
        pages += 1
        page = await keys.ListApiKeys(keys_pb.ListApiKeysRequest(cursor=cursor, limit=3), **bearing(alice.token))
        seen += [key.id for key in page.data]
        cursor = page.meta.next_cursor.string_value
        assert page.meta.has_more == bool(cursor)
    assert pages == 2
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 4
    wrong = keys.ListApiKeys(keys_pb.ListApiKeysRequest(cursor="%%%"), **bearing(alice.token))
    assert await refused(wrong) == ("422", "VALIDATION_FAILED", "cursor")


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"name": ""}, ("422", "VALIDATION_FAILED", "name")),
        ({"name": "n" * 101}, ("422", "VALIDATION_FAILED", "name")),
        ({"scopes": []}, ("422", "VALIDATION_FAILED", "scopes")),
        ({"scopes": ["control:read", "ai:everything"]}, ("422", "VALIDATION_FAILED", "scopes[1]")),
        ({"scopes": ["ai:chat"]}, ("403", "SCOPE_ESCALATION", None)),
        ({"format": "hasp_agent"}, ("422", "VALIDATION_FAILED", "format")),
        ({"expires_at": "2020-01-01T00:00:00+00:00"}, ("422", "VALIDATION_FAILED", "expires_at")),
        ({"expires_at": "tomorrow"}, ("422", "VALIDATION_FAILED", "expires_at")),
    ],
)
async def test_a_wrong_key_is_refused_and_the_field_named(
    edge: grpc.aio.Channel, alice: Person, fields: dict[str, Any], answer: tuple[str, str, str | None]
) -> None:
    request = keys_pb.CreateApiKeyRequest(**{"name": "k", "scopes": ["control:read"], **fields})
    assert await refused(ApiKeyServiceStub(edge).CreateApiKey(request, **bearing(alice.token))) == answer


async def test_a_repeated_idempotency_key_answers_with_the_first_key(
    edge: grpc.aio.Channel, identity: Identity, alice: Person
) -> None:
    keys = ApiKeyServiceStub(edge)
    request = keys_pb.CreateApiKeyRequest(name="once", scopes=["control:read"])
    first = await keys.CreateApiKey(request, **bearing(alice.token, idempotency_key="one"))
    again = await keys.CreateApiKey(request, **bearing(alice.token, idempotency_key="one"))
    assert again == first
    assert len((await identity.keys.page(alice.principal, before_id=None, limit=9)).keys) == 2
    request.name = "other"
    other = keys.CreateApiKey(request, **bearing(alice.token, idempotency_key="one"))
    assert (await refused(other))[:2] == ("422", "IDEMPOTENCY_KEY_REUSED")
    async with identity.db.hot.connection() as connection:
        kept = await (await connection.execute("SELECT idempotency_keys::text FROM idempotency_keys")).fetchall()
    assert first.data.plaintext not in str(kept)


async def test_an_idempotency_key_of_another_organization_is_another_key(
    edge: grpc.aio.Channel, alice: Person, mallory: Person
) -> None:
    keys = ApiKeyServiceStub(edge)
    request = keys_pb.CreateApiKeyRequest(name="once", scopes=["control:read"])
    mine = await keys.CreateApiKey(request, **bearing(alice.token, idempotency_key="one"))
    theirs = await keys.CreateApiKey(request, **bearing(mallory.token, idempotency_key="one"))
    assert mine.data.id != theirs.data.id


async def test_a_sibling_learns_whom_a_token_stands_for(address: str, tls_dir: Path, alice: Person) -> None:
    async with channel_of("inference", address, tls_dir) as channel:
        stub = AuthenticationServiceStub(channel)
        request = authentication_pb.AuthenticateRequest(token=alice.token)
        answer = await stub.Authenticate(request, timeout=TIMEOUT)
        assert (answer.principal.org_id, answer.principal.id) == (alice.principal.org_id, alice.principal.id)
        assert (answer.principal.kind, list(answer.principal.scopes)) == ("api_key", ["control:read", "control:write"])
        for token in ("", "junk", Token.new(Format.WA_LIVE).plaintext):
            unknown = stub.Authenticate(authentication_pb.AuthenticateRequest(token=token), timeout=TIMEOUT)
            assert (await refused(unknown))[:2] == ("401", "INVALID_API_KEY")


async def test_uses_that_a_sibling_reports_are_shown(
    address: str, tls_dir: Path, identity: Identity, alice: Person
) -> None:
    at = identity.clock.now() + timedelta(hours=1)
    use = authentication_pb.RecordUseRequest.Use(
        org_id=alice.principal.org_id, principal_id=alice.principal.id, used_at_ms=int(at.timestamp() * 1000)
    )
    async with channel_of("billing", address, tls_dir) as channel:
        request = authentication_pb.RecordUseRequest(uses=[use])
        await AuthenticationServiceStub(channel).RecordUse(request, timeout=TIMEOUT)
    await identity.uses.flush()
    assert (await identity.keys.page(alice.principal, before_id=None, limit=1)).keys[0].last_used_at == at


async def test_internal_services_answer_only_whom_the_contract_names(address: str, tls_dir: Path) -> None:
    async with channel_of("edge", address, tls_dir) as channel:
        call = AuthenticationServiceStub(channel).Authenticate(authentication_pb.AuthenticateRequest(), timeout=TIMEOUT)
        assert (await refused(call))[0] == "403"
        listing = OrganizationServiceStub(channel).ListOrganizations(
            organizations_pb.ListOrganizationsRequest(), timeout=TIMEOUT
        )
        assert (await refused(listing))[0] == "403"
    async with channel_of("billing", address, tls_dir) as channel:
        naming = OrganizationServiceStub(channel).GetOrganization(
            organizations_pb.GetOrganizationRequest(org_id="0" * 26), timeout=TIMEOUT
        )
        assert (await refused(naming))[0] == "403"


async def test_the_operator_makes_an_organization_a_user_and_a_key(
    address: str, tls_dir: Path, edge: grpc.aio.Channel
) -> None:
    async with channel_of("cli", address, tls_dir) as channel:
        stub = OrganizationServiceStub(channel)
        made = await stub.CreateOrganization(
            organizations_pb.CreateOrganizationRequest(name="Acme", plan="growth"), timeout=TIMEOUT
        )
        org_id = made.organization.id
        added = await stub.CreateUser(
            organizations_pb.CreateUserRequest(org_id=org_id, email="a@b.test", name="A", role="owner"), timeout=TIMEOUT
        )
        wanted = organizations_pb.IssueApiKeyRequest(
            org_id=org_id, user_id=added.user.id, name="first", scopes=["ai:chat", "control:read"]
        )
        issued = await stub.IssueApiKey(wanted, timeout=TIMEOUT)
        wanted.scopes.append("ai:nothing")
        assert await refused(stub.IssueApiKey(wanted, timeout=TIMEOUT)) == ("422", "VALIDATION_FAILED", "scopes[2]")
        listed = await stub.ListOrganizations(organizations_pb.ListOrganizationsRequest(), timeout=TIMEOUT)
        assert [each.id for each in listed.organizations] == [org_id]
    async with channel_of("compliance", address, tls_dir) as channel:
        stub = OrganizationServiceStub(channel)
        named = await stub.GetOrganization(organizations_pb.GetOrganizationRequest(org_id=org_id), timeout=TIMEOUT)
        assert named.organization == made.organization
        unknown = stub.GetOrganization(organizations_pb.GetOrganizationRequest(org_id="0" * 26), timeout=TIMEOUT)
        assert await refused(unknown) == ("404", "RESOURCE_NOT_FOUND", "org_id")
    keys = await ApiKeyServiceStub(edge).ListApiKeys(keys_pb.ListApiKeysRequest(), **bearing(issued.plaintext))
    assert [key.id for key in keys.data] == [issued.id]


async def test_once_a_revocation_has_answered_no_service_accepts_the_key(
    address: str, tls_dir: Path, edge: grpc.aio.Channel, identity: Identity, alice: Person
) -> None:
    keys = ApiKeyServiceStub(edge)
    async with channel_of("inference", address, tls_dir) as one, channel_of("billing", address, tls_dir) as other:
        watches = [Watch(channel, name="identity") for channel in (one, other)]
        running = [asyncio.create_task(watch.run()) for watch in watches]
        services = [
            RemoteAuthenticator(channel, watch, identity.clock)
            for channel, watch in zip((one, other), watches, strict=True)
        ]
        try:
            async with asyncio.timeout(5):
                while not all(watch.live for watch in watches):  # noqa: ASYNC110 - a clock is read
                    await asyncio.sleep(0.01)
            for _ in range(10):
                made = await keys.CreateApiKey(
                    keys_pb.CreateApiKeyRequest(name="k", scopes=["control:read"]), **bearing(alice.token)
                )
                for service in services:
                    assert (await service.authenticate(made.data.plaintext)).id == made.data.id
                began = time.monotonic()
                await keys.RevokeApiKey(keys_pb.RevokeApiKeyRequest(key_id=made.data.id), **bearing(alice.token))
                assert time.monotonic() - began < 1.25
                for service in services:
                    with pytest.raises(InvalidApiKey):
                        await service.authenticate(made.data.plaintext)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
