"""Domain → protobuf: principals."""

from __future__ import annotations

from hasp.identity.v1 import authentication_service_pb2 as pb

from services.chassis.access import Principal
from services.chassis.clock import unix_ms


def principal(principal: Principal) -> pb.Principal:
    return pb.Principal(
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
