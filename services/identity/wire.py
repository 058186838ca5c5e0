"""Domain → protobuf."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.struct_pb2 import Value
from hasp.identity.v1 import api_key_service_pb2 as keys_pb
from hasp.identity.v1 import authentication_service_pb2 as authentication_pb
from hasp.identity.v1 import organization_service_pb2 as organizations_pb

from services.chassis.access import Principal
from services.chassis.clock import unix_ms
from services.chassis.paging import nullable
from services.chassis.timestamps import iso
from services.identity.domain.api_keys import ApiKey
from services.identity.domain.organizations import Organization, User
from services.identity.usecases.api_keys import Issued


def api_key(key: ApiKey) -> keys_pb.ApiKey:
    return keys_pb.ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        last_four=key.last_four,
        scopes=key.scopes,
        last_used_at=_moment(key.last_used_at),
        created_at=iso(key.created_at),
        revoked_at=_moment(key.revoked_at),
        expires_at=_moment(key.expires_at),
    )


def created_api_key(issued: Issued) -> keys_pb.CreatedApiKey:
    key = issued.key
    return keys_pb.CreatedApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        last_four=key.last_four,
        scopes=key.scopes,
        plaintext=issued.plaintext,
        last_used_at=_moment(key.last_used_at),
        created_at=iso(key.created_at),
        revoked_at=_moment(key.revoked_at),
        expires_at=_moment(key.expires_at),
    )


def revoked_api_key(key: ApiKey) -> keys_pb.RevokedApiKey:
    return keys_pb.RevokedApiKey(id=key.id, revoked_at="" if key.revoked_at is None else iso(key.revoked_at))


def principal(principal: Principal) -> authentication_pb.Principal:
    return authentication_pb.Principal(
        org_id=principal.org_id,
        kind=principal.kind,
        id=principal.id,
        user_id=principal.user_id,
        scopes=sorted(principal.scopes),
        agent_id=principal.agent_id or "",
        delegation_path=principal.delegation_path,
        granted_tool_ids=sorted(principal.granted_tool_ids),
        expires_at_ms=0 if principal.expires_at is None else unix_ms(principal.expires_at),
        test_mode=principal.test_mode,
    )


def organization(organization: Organization) -> organizations_pb.Organization:
    return organizations_pb.Organization(
        id=organization.org_id,
        name=organization.name,
        plan=organization.plan,
        created_at=iso(organization.created_at),
    )


def user(user: User) -> organizations_pb.User:
    return organizations_pb.User(
        id=user.id,
        org_id=user.org_id,
        email=user.email,
        name=user.name,
        role=user.role,
        created_at=iso(user.created_at),
    )


def _moment(at: datetime | None) -> Value:
    return nullable(None if at is None else iso(at))
