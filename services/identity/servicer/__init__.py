"""Identity's proto services: request → use case → response."""

from hasp.identity.v1 import (
    agent_service_pb2,
    api_key_service_pb2,
    authentication_service_pb2,
    credential_service_pb2,
    invocation_service_pb2,
    organization_service_pb2,
)
from hasp.identity.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from hasp.identity.v1.api_key_service_pb2_grpc import add_ApiKeyServiceServicer_to_server
from hasp.identity.v1.authentication_service_pb2_grpc import add_AuthenticationServiceServicer_to_server
from hasp.identity.v1.credential_service_pb2_grpc import (
    CredentialServiceServicer,
    add_CredentialServiceServicer_to_server,
)
from hasp.identity.v1.invocation_service_pb2_grpc import (
    InvocationServiceServicer,
    add_InvocationServiceServicer_to_server,
)
from hasp.identity.v1.organization_service_pb2_grpc import add_OrganizationServiceServicer_to_server
from hasp.watch.v1 import watch_service_pb2
from hasp.watch.v1.watch_service_pb2_grpc import add_WatchServiceServicer_to_server

from services.chassis.clock import Clock
from services.chassis.server import Server
from services.chassis.watch import ChangeLog, WatchServicer
from services.identity.servicer.api_keys import ApiKeyServicer
from services.identity.servicer.authentication import AuthenticationServicer
from services.identity.servicer.organizations import OrganizationServicer
from services.identity.usecases.api_keys import ApiKeys
from services.identity.usecases.authentication import Authentication, Uses
from services.identity.usecases.organizations import Organizations

SERVICES = tuple(
    service
    for file in (
        api_key_service_pb2,
        authentication_service_pb2,
        organization_service_pb2,
        agent_service_pb2,
        credential_service_pb2,
        invocation_service_pb2,
        watch_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)
"""What this process serves: the boundary admits the methods of these and no other."""


def register(
    server: Server,
    keys: ApiKeys,
    authentication: Authentication,
    uses: Uses,
    organizations: Organizations,
    changes: ChangeLog,
    clock: Clock,
) -> None:
    server.add(add_ApiKeyServiceServicer_to_server, ApiKeyServicer(keys, clock))
    server.add(add_AuthenticationServiceServicer_to_server, AuthenticationServicer(authentication, uses))
    server.add(add_OrganizationServiceServicer_to_server, OrganizationServicer(organizations, keys))
    server.add(add_WatchServiceServicer_to_server, WatchServicer(changes))
    server.add_unimplemented(add_AgentServiceServicer_to_server, AgentServiceServicer)
    server.add_unimplemented(add_CredentialServiceServicer_to_server, CredentialServiceServicer)
    server.add_unimplemented(add_InvocationServiceServicer_to_server, InvocationServiceServicer)
