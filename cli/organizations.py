"""Organizations, users and first keys: what no API key can do yet, over identity's internal service."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message
from hasp.identity.v1 import organization_service_pb2 as pb

from cli.channels import workload_channel
from cli.settings import Settings
from cli.state import identity_address_file

_SECONDS = 10.0
_SERVICE = pb.DESCRIPTOR.services_by_name["OrganizationService"].full_name
_Answer = TypeVar("_Answer", bound=Message)
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
        self._channel = workload_channel(address, tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def find(self, name: str) -> str | None:
        """The id of the organization with that name."""
        answer = self._call("ListOrganizations", pb.ListOrganizationsRequest(), pb.ListOrganizationsResponse)
        return next((each.id for each in answer.organizations if each.name == name), None)

    def create(self, name: str, plan: str) -> str:
        request = pb.CreateOrganizationRequest(name=name, plan=plan)
        return self._call("CreateOrganization", request, pb.CreateOrganizationResponse).organization.id

    def create_user(self, org_id: str, *, email: str, name: str, role: str) -> str:
        request = pb.CreateUserRequest(org_id=org_id, email=email, name=name, role=role)
        return self._call("CreateUser", request, pb.CreateUserResponse).user.id

    def issue_key(
        self, org_id: str, user_id: str, *, name: str, scopes: Sequence[str] = SCOPES, form: str = "wa_live"
    ) -> IssuedKey:
        """A key whose plaintext is not to be had again. `form`: `wa_live` or `hasp_key_live`."""
        request = pb.IssueApiKeyRequest(org_id=org_id, user_id=user_id, name=name, scopes=scopes, format=form)
        answer = self._call("IssueApiKey", request, pb.IssueApiKeyResponse)
        return IssuedKey(id=answer.id, plaintext=answer.plaintext)

    def _call(self, method: str, request: Message, answer: type[_Answer]) -> _Answer:
        """The generated stubs are typed for event loops only, and a command has none."""
        call = self._channel.unary_unary(
            f"/{_SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=_SECONDS)
        except grpc.RpcError as error:
            raise OrganizationError(error.code(), error.details() or error.code().name) from error


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
