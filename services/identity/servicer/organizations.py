"""OrganizationService: internal, for the operator's command and for siblings that name an organization."""

from __future__ import annotations

import grpc.aio
from hasp.identity.v1 import organization_service_pb2 as pb
from hasp.identity.v1.organization_service_pb2_grpc import OrganizationServiceServicer as Contract

from services.chassis.access import OrgId
from services.identity.domain.api_keys import WantedKey, form_of
from services.identity.usecases.api_keys import ApiKeys
from services.identity.usecases.organizations import Organizations
from services.identity.wire import organizations as wire


class OrganizationServicer(Contract):
    def __init__(self, organizations: Organizations, keys: ApiKeys) -> None:
        self._organizations = organizations
        self._keys = keys

    async def CreateOrganization(
        self, request: pb.CreateOrganizationRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateOrganizationResponse:
        organization = await self._organizations.create(request.name, request.plan)
        return pb.CreateOrganizationResponse(organization=wire.organization(organization))

    async def ListOrganizations(
        self, request: pb.ListOrganizationsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListOrganizationsResponse:
        organizations = await self._organizations.all_of_them()
        return pb.ListOrganizationsResponse(organizations=[wire.organization(each) for each in organizations])

    async def GetOrganization(
        self, request: pb.GetOrganizationRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetOrganizationResponse:
        organization = await self._organizations.get(OrgId(request.org_id))
        return pb.GetOrganizationResponse(organization=wire.organization(organization))

    async def CreateUser(
        self, request: pb.CreateUserRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateUserResponse:
        user = await self._organizations.create_user(
            OrgId(request.org_id), email=request.email, name=request.name, role=request.role
        )
        return pb.CreateUserResponse(user=wire.user(user))

    async def IssueApiKey(
        self, request: pb.IssueApiKeyRequest, context: grpc.aio.ServicerContext
    ) -> pb.IssueApiKeyResponse:
        wanted = WantedKey(name=request.name, scopes=list(request.scopes), form=form_of(request.format))
        issued = await self._keys.issue(OrgId(request.org_id), request.user_id, wanted)
        return pb.IssueApiKeyResponse(id=issued.key.id, plaintext=issued.plaintext)
