"""Identity, which knows the organizations."""

import grpc.aio
from hasp.identity.v1.organization_service_pb2 import GetOrganizationRequest
from hasp.identity.v1.organization_service_pb2_grpc import OrganizationServiceStub

from services.chassis.access import OrgId

_DEADLINE = 2.0


class Organizations:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = OrganizationServiceStub(channel)

    async def name_of(self, org_id: OrgId) -> str:
        """As the operator entered it."""
        answer = await self._stub.GetOrganization(GetOrganizationRequest(org_id=org_id), timeout=_DEADLINE)
        return answer.organization.name
