"""What services beside identity know of callers, against an AuthenticationService of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from hasp.identity.v1 import authentication_service_pb2 as pb
from hasp.identity.v1.authentication_service_pb2_grpc import (
    AuthenticationServiceServicer,
    add_AuthenticationServiceServicer_to_server,
)

from services.chassis import watch_stream
from services.chassis.access import Principal
from services.chassis.authentication import RemoteAuthenticator
from services.chassis.clock import unix_ms
from services.chassis.errors import InvalidApiKey
from services.chassis.watching import Watch
from tests.fakes import FrozenClock, Tokens, principal_of_new_org, serve

TOKEN = "wa_live_" + "a" * 32
CLOCK = FrozenClock()


class Directory(AuthenticationServiceServicer):
    """Knows one token."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.asked = 0
        self.expires_at_ms = 0
        self.uses: list[pb.RecordUseRequest.Use] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def Authenticate(self, request: pb.AuthenticateRequest, context: Any) -> pb.AuthenticateResponse:
        self.asked += 1
        await self.gate.wait()
        if request.token != TOKEN:
            raise InvalidApiKey
        told = pb.Principal(
            org_id=self.principal.org_id,
            kind="api_key",
            id=self.principal.id,
            user_id=self.principal.user_id,
            scopes=self.principal.scopes,
            expires_at_ms=self.expires_at_ms,
        )
        return pb.AuthenticateResponse(principal=told)

    async def RecordUse(self, request: pb.RecordUseRequest, context: Any) -> pb.RecordUseResponse:
        self.uses += request.uses
        return pb.RecordUseResponse()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def directory() -> Directory:
    return Directory(principal_of_new_org(CLOCK))


@pytest.fixture
async def channel(tls_dir: Path, directory: Directory) -> AsyncIterator[grpc.aio.Channel]:
    async with serve(
        (add_AuthenticationServiceServicer_to_server, directory),
        services=list(pb.DESCRIPTOR.services_by_name.values()),
        authenticator=Tokens(),
        clock=CLOCK,
        tls_dir=tls_dir,
        workload="identity",
        caller="billing",
    ) as channel:
        yield channel


@pytest.fixture
def watch(channel: grpc.aio.Channel) -> Watch:
    """Told of nothing; without a lease until it is given one."""
    watch = Watch(channel, name="identity")
    watch._flush(0)
    return watch


@pytest.fixture
def authenticator(channel: grpc.aio.Channel, watch: Watch, clock: FrozenClock) -> RemoteAuthenticator:
    return RemoteAuthenticator(channel, watch, clock)


def give_lease(watch: Watch) -> None:
    watch._lease_until = watch_stream.lease_time() + 60


async def test_under_a_lease_identity_is_asked_once(
    authenticator: RemoteAuthenticator, watch: Watch, directory: Directory
) -> None:
    give_lease(watch)
    assert [await authenticator.authenticate(TOKEN) for _ in range(3)] == [directory.principal] * 3
    assert directory.asked == 1


async def test_without_a_lease_identity_is_asked_each_time(
    authenticator: RemoteAuthenticator, directory: Directory
) -> None:
    for _ in range(3):
        assert await authenticator.authenticate(TOKEN) == directory.principal
    assert directory.asked == 3


async def test_many_callers_at_once_without_a_lease_are_all_answered(
    authenticator: RemoteAuthenticator, directory: Directory
) -> None:
    directory.gate.clear()
    callers = [asyncio.create_task(authenticator.authenticate(TOKEN)) for _ in range(5)]
    await asyncio.sleep(0.1)
    callers.append(asyncio.create_task(authenticator.authenticate(TOKEN)))
    directory.gate.set()
    assert [await caller for caller in callers] == [directory.principal] * 6
    assert not authenticator._loading


async def test_a_malformed_token_is_refused_here(authenticator: RemoteAuthenticator, directory: Directory) -> None:
    for token in ("", "wa_live_", "sk-ant-api03-abc", TOKEN + "0"):
        with pytest.raises(InvalidApiKey):
            await authenticator.authenticate(token)
    assert directory.asked == 0


async def test_an_unknown_token_is_asked_for_each_time(
    authenticator: RemoteAuthenticator, watch: Watch, directory: Directory
) -> None:
    give_lease(watch)
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            await authenticator.authenticate("wa_live_" + "b" * 32)
    assert directory.asked == 2


async def test_a_remembered_key_ends_at_its_expiry(
    authenticator: RemoteAuthenticator, watch: Watch, directory: Directory, clock: FrozenClock
) -> None:
    give_lease(watch)
    directory.expires_at_ms = unix_ms(clock.now() + timedelta(minutes=1))
    await authenticator.authenticate(TOKEN)
    clock.advance(timedelta(minutes=1))
    with pytest.raises(InvalidApiKey):
        await authenticator.authenticate(TOKEN)


async def test_uses_are_reported_once_with_the_latest_moment(
    authenticator: RemoteAuthenticator, watch: Watch, directory: Directory, clock: FrozenClock
) -> None:
    give_lease(watch)
    for _ in range(2):
        clock.advance(timedelta(seconds=10))
        await authenticator.authenticate(TOKEN)
    await authenticator.report_uses()
    await authenticator.report_uses()
    assert directory.uses == [
        pb.RecordUseRequest.Use(
            org_id=directory.principal.org_id, principal_id=directory.principal.id, used_at_ms=unix_ms(clock.now())
        )
    ]
