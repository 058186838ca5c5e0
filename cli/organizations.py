"""Organizations, users and first keys: what no API key can do yet, over identity's internal service."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import grpc
import grpc.aio
from hasp.identity.v1 import organization_service_pb2 as pb
from hasp.identity.v1 import organization_service_pb2_grpc as pb_grpc

from cli.channels import async_workload_channel
from cli.settings import Settings
from cli.state import identity_address_file

_SECONDS = 10.0
_Answer = TypeVar("_Answer")
SCOPES = (
    "ai:chat",
    "ai:documents",
    "ai:embeddings",
    "ai:summarize",
    "control:read",
    "control:webhooks",
    "control:write",
)


class OrganizationError(RuntimeError):
    """Identity refused or was not reached; `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class IssuedKey:
    id: str
    plaintext: str


class Organizations:
    """A client of identity's OrganizationService. Ids are bare ULIDs; every method raises OrganizationError."""

    def __init__(self, address: str, tls: Path) -> None:
        self._channel = async_workload_channel(address, tls)
        self._stub = pb_grpc.OrganizationServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    async def find(self, name: str) -> str | None:
        """The id of the organization with that name."""
        answer = await _call(self._stub.ListOrganizations(pb.ListOrganizationsRequest(), timeout=_SECONDS))
        return next((each.id for each in answer.organizations if each.name == name), None)

    async def create(self, name: str, plan: str) -> str:
        request = pb.CreateOrganizationRequest(name=name, plan=plan)
        return (await _call(self._stub.CreateOrganization(request, timeout=_SECONDS))).organization.id

    async def create_user(self, org_id: str, *, email: str, name: str, role: str) -> str:
        request = pb.CreateUserRequest(org_id=org_id, email=email, name=name, role=role)
        return (await _call(self._stub.CreateUser(request, timeout=_SECONDS))).user.id

    async def issue_key(
        self, org_id: str, user_id: str, *, name: str, scopes: Sequence[str] = SCOPES, form: str = "wa_live"
    ) -> IssuedKey:
        """A key whose plaintext is not to be had again. `form`: `wa_live` or `hasp_key_live`."""
        request = pb.IssueApiKeyRequest(org_id=org_id, user_id=user_id, name=name, scopes=scopes, format=form)
        answer = await _call(self._stub.IssueApiKey(request, timeout=_SECONDS))
        return IssuedKey(id=answer.id, plaintext=answer.plaintext)


def identity_of(settings: Settings) -> tuple[str, Path]:
    """Address and certificates: those the environment names, or those of the suite running on the state folder."""
    tls = settings.tls_dir or settings.state / "tls"
    if settings.identity_address is not None:
        return settings.identity_address, tls
    try:
        return identity_address_file(settings.state).read_text().strip(), tls
    except FileNotFoundError:
        raise OrganizationError(
            grpc.StatusCode.UNAVAILABLE, "no suite is running here: start one with `hasp up`"
        ) from None


async def _call(call: Awaitable[_Answer]) -> _Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise OrganizationError(error.code(), error.details() or error.code().name) from error
