"""Domain → protobuf: API keys."""

from __future__ import annotations

from hasp.identity.v1 import api_key_service_pb2 as pb

from services.identity.domain.api_keys import ApiKey
from services.identity.usecases.api_keys import Issued
from services.identity.wire.values import moment, second


def api_key(key: ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        last_four=key.last_four,
        scopes=key.scopes,
        last_used_at=moment(key.last_used_at),
        created_at=second(key.created_at),
        revoked_at=moment(key.revoked_at),
        expires_at=moment(key.expires_at),
    )


def created_api_key(issued: Issued) -> pb.CreatedApiKey:
    key = issued.key
    return pb.CreatedApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        last_four=key.last_four,
        scopes=key.scopes,
        plaintext=issued.plaintext,
        last_used_at=moment(key.last_used_at),
        created_at=second(key.created_at),
        revoked_at=moment(key.revoked_at),
        expires_at=moment(key.expires_at),
    )


def revoked_api_key(key: ApiKey) -> pb.RevokedApiKey:
    return pb.RevokedApiKey(id=key.id, revoked_at="" if key.revoked_at is None else second(key.revoked_at))
