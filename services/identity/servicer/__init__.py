"""Identity's proto services: request → use case → response."""

from hasp.identity.v1 import (
    agent_service_pb2,
    api_key_service_pb2,
    authentication_service_pb2,
    credential_service_pb2,
    invocation_service_pb2,
    organization_service_pb2,
)
from hasp.identity.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from hasp.identity.v1.api_key_service_pb2_grpc import add_ApiKeyServiceServicer_to_server
from hasp.identity.v1.authentication_service_pb2_grpc import add_AuthenticationServiceServicer_to_server
from hasp.identity.v1.credential_service_pb2_grpc import add_CredentialServiceServicer_to_server
from hasp.identity.v1.invocation_service_pb2_grpc import add_InvocationServiceServicer_to_server
from hasp.identity.v1.organization_service_pb2_grpc import add_OrganizationServiceServicer_to_server
from hasp.watch.v1 import watch_service_pb2
from hasp.watch.v1.watch_service_pb2_grpc import add_WatchServiceServicer_to_server

from services.chassis.server import Server
from services.chassis.watch import WatchServicer
from services.identity.servicer.agents import AgentServicer
from services.identity.servicer.api_keys import ApiKeyServicer
from services.identity.servicer.authentication import AuthenticationServicer
from services.identity.servicer.credentials import CredentialServicer
from services.identity.servicer.invocations import InvocationServicer
from services.identity.servicer.organizations import OrganizationServicer
from services.identity.usecases.identity import Identity

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


def register(server: Server, identity: Identity) -> None:
    clock = identity.clock
    server.add(add_ApiKeyServiceServicer_to_server, ApiKeyServicer(identity.keys, clock))
    server.add(
        add_AuthenticationServiceServicer_to_server, AuthenticationServicer(identity.authentication, identity.uses)
    )
    server.add(add_OrganizationServiceServicer_to_server, OrganizationServicer(identity.organizations, identity.keys))
    server.add(add_WatchServiceServicer_to_server, WatchServicer(identity.changes))
    server.add(add_AgentServiceServicer_to_server, AgentServicer(identity.agents))
    server.add(add_CredentialServiceServicer_to_server, CredentialServicer(identity.credentials, clock))
    server.add(add_InvocationServiceServicer_to_server, InvocationServicer(identity.invocations))
