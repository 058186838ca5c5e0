"""Domain → protobuf: organizations and users."""

from __future__ import annotations

from hasp.identity.v1 import organization_service_pb2 as pb

from services.identity.domain.organizations import Organization, User
from services.identity.wire.values import second


def organization(organization: Organization) -> pb.Organization:
    return pb.Organization(
        id=organization.org_id,
        name=organization.name,
        plan=organization.plan,
        created_at=second(organization.created_at),
    )


def user(user: User) -> pb.User:
    return pb.User(
        id=user.id,
        org_id=user.org_id,
        email=user.email,
        name=user.name,
        role=user.role,
        created_at=second(user.created_at),
    )
