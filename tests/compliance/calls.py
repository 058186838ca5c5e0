"""Calling compliance's servicers, and what they answer."""

from typing import Any

import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2


def as_(who: str, **headers: str) -> dict[str, Any]:
    metadata = [("authorization", f"Bearer {who}"), *headers.items()]
    return {"metadata": metadata, "timeout": 5}


def printed(message: Any) -> dict[str, Any]:
    """As the edge prints it."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


async def refusal(call: Any) -> tuple[str, dict[str, str]]:
    """Reason and metadata of the refusal that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    trailing: Any = failed.value.trailing_metadata()
    status = status_pb2.Status.FromString(dict(trailing)["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason, dict(info.metadata)
