"""Domain → protobuf: invocations."""

from __future__ import annotations

from google.protobuf.struct_pb2 import Value
from hasp.identity.v1 import invocation_service_pb2 as pb

from services.chassis.paging import nullable
from services.identity.usecases.invocations import Permitted
from services.identity.wire.values import second, struct


def invocation(permitted: Permitted) -> pb.Invocation:
    known, filters = permitted.invocation, permitted.filters
    return pb.Invocation(
        id=known.id,
        status=known.status,
        matched_grant=struct(permitted.matched_grant),
        filters=nullable(None) if filters is None else Value(struct_value=struct(filters)),
        expires_at=second(known.expires_at),
        outcome=nullable(known.outcome),
    )
