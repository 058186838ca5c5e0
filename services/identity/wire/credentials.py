"""Domain ↔ protobuf: agents' credentials."""

from __future__ import annotations

from datetime import datetime

from hasp.identity.v1 import credential_service_pb2 as pb

from services.chassis.paging import nullable
from services.identity.domain import texts
from services.identity.domain.credentials import Credential, WantedCredential, expiry_of
from services.identity.wire.values import moment, plain, second, struct


def wanted(request: pb.IssueCredentialRequest, now: datetime) -> WantedCredential:
    """Raises ValidationFailed for text that is none, and what `expiry_of` raises. The grants are still as they were given."""
    description = request.description if request.HasField("description") else None
    return WantedCredential(
        name=texts.line(request.name, "name", at_least=2, at_most=255),
        description=None if description is None else texts.paragraphs(description, "description", at_most=2000),
        granted_scopes=[plain(grant) for grant in request.granted_scopes],
        expires_at=expiry_of(request.expires_at if request.HasField("expires_at") else None, now),
        revocation_policy=request.revocation_policy if request.HasField("revocation_policy") else None,
        max_concurrent_invocations=(
            request.max_concurrent_invocations if request.HasField("max_concurrent_invocations") else None
        ),
        test_mode=request.test_mode if request.HasField("test_mode") else None,
    )


def credential(credential: Credential, now: datetime) -> pb.Credential:
    return pb.Credential(
        id=credential.id,
        agent_id=credential.agent_id,
        name=credential.name,
        description=nullable(credential.description),
        prefix=credential.prefix,
        last_four=credential.last_four,
        granted_scopes=[struct(grant) for grant in credential.granted_scopes],
        delegating_user_id=credential.delegating_user_id,
        parent_credential_id=nullable(credential.parent_id),
        delegation_path=credential.delegation_path,
        chain_depth=credential.chain_depth,
        expires_at=second(credential.expires_at),
        revocation_policy=credential.revocation_policy,
        max_concurrent_invocations=credential.max_concurrent_invocations,
        status=credential.status(now),
        created_at=second(credential.created_at),
        revoked_at=moment(credential.revoked_at),
        last_used_at=moment(credential.last_used_at),
        revocation_reason=nullable(credential.revocation_reason),
    )
