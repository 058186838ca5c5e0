"""Organizations, users and first keys: what no API key can do yet, over identity's internal service."""

from collections.abc import Sequence
from dataclasses import dataclass

from hasp.identity.v1 import organization_service_pb2 as pb

from cli.clients import InternalClient

SCOPES = (
    "ai:chat",
    "ai:documents",
    "ai:embeddings",
    "ai:summarize",
    "control:read",
    "control:webhooks",
    "control:write",
)


@dataclass(frozen=True)
class IssuedKey:
    id: str
    plaintext: str


class Organizations(InternalClient):
    """A client of identity's OrganizationService."""

    owner = "identity"
    service = pb.DESCRIPTOR.services_by_name["OrganizationService"]

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
